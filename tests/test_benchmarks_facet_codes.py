"""The benchmark of codes: its truth, its units, and its tables."""

import sys

import numpy as np
import pytest

from benchmarks import facet_codes
from mfvjax.network import Network
from mfvjax.pipeline.sources import PaintedSource


@pytest.fixture(scope="module")
def network():
    return Network.load("compact")


def test_agreement_is_with_what_was_painted(network):
    source = PaintedSource("pool table", per_facet=12)
    arguments = (2, "fc8:2", "relevance", "fc7")
    right = facet_codes.agreement(network, source, source.truth, *arguments)
    assert (right.of_map, right.of_codes) == (1, 1)
    assert abs(right.floor) < 0.1
    halves = np.arange(24) % 2
    wrong = facet_codes.agreement(network, source, halves, *arguments)
    assert max(abs(wrong.of_map), abs(wrong.of_codes)) < 0.1


def test_units_are_awake_and_answer_to_several_facets(network, monkeypatch):
    monkeypatch.setattr(facet_codes, "TOP", 20)
    source = PaintedSource("pool table", per_facet=12)
    chosen = facet_codes._awake(network, source, source.truth, "fc6", 3)
    assert len(chosen) == 3
    for unit, rows in chosen:
        assert unit.startswith("fc6:")
        assert np.bincount(source.truth[rows], minlength=2).min() >= facet_codes.LEAST
    alone = facet_codes._awake(network, source, np.zeros(24, int), "fc6", 3)
    assert alone == []


def row(value, **about):
    return {"k": 2, "of_map": value, "of_codes": value / 2, "floor": 0.0, **about}


def test_tables_are_means():
    classes = [
        row(value, network="n", layer="a", code=code)
        for code, values in (("activation", (0.2, 0.4)), ("relevance", (0.6, 0.8)))
        for value in values
    ]
    hidden = [
        row(0.5, network="n", unit="b:1", layer="b", code="activation", own=True),
        row(0.3, network="n", unit="b:1", layer="a", code="activation", own=False),
        row(0.9, network="n", unit="b:1", layer="a", code="relevance", own=False),
    ]
    first, second = facet_codes.tables(classes, hidden)
    assert first.rows == [["n, a", 0.3, 0.7, 0.15, 0.35, 0.0]]
    assert second.rows == [["n, b (below: a), 1", 0.5, 0.3, 0.9, 0.25, 0.15, 0.45, 0.0, 2.0]]
    assert len(second.columns) == len(second.rows[0])


def test_an_unknown_network(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["facet_codes", "--networks", "nothing"])
    with pytest.raises(SystemExit):
        facet_codes.main()
    assert "no network 'nothing'; there are compact, compact-resnet" in capsys.readouterr().err
