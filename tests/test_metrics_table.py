"""The table of metrics: what pages and tables rely on."""

import dataclasses

import pytest

from mfvjax.metrics import METRICS, Metric
from tests.run_example import example_run


def test_every_number_of_a_run_has_its_meaning():
    run = example_run()
    facet = {name for name, metric in METRICS.items() if not metric.whole_run}
    assert set(run.scores) <= facet
    assert set(run.summary) <= set(METRICS) - facet


def test_entries_are_fit_to_be_shown():
    titles = [metric.title for metric in METRICS.values()]
    assert len(set(titles)) == len(titles)
    for metric in METRICS.values():
        assert metric.definition.endswith(".")
        assert metric.definition[0].isupper() or metric.definition[0].isdigit()
        assert metric.better in ("higher", "lower", None)
        assert len(metric.title) < 32


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError, match="does not support item assignment"):
        METRICS["new"] = METRICS["activation"]
    with pytest.raises(dataclasses.FrozenInstanceError, match="title"):
        METRICS["activation"].title = "other"
    assert isinstance(METRICS["activation"], Metric)
