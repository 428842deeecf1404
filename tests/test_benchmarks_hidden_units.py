"""The comparison of hidden units' facets: its patches, its controls, its table."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import hidden_units
from mfvjax.images import open_images
from mfvjax.types import PixelBox
from tests.exact_network import SIZE, exact_network

sides = st.tuples(st.integers(-9, 30), st.integers(1, 14))


@given(sides, sides)
def test_boxes_move_no_further_than_they_must(vertical, horizontal):
    (top, height), (left, width) = vertical, horizontal
    box = PixelBox(top, left, top + height, left + width)
    moved = hidden_units.moved_inside(box, (10, 12))
    assert moved.size == box.size
    for first, now, side, length in ((top, moved.top, height, 10), (left, moved.left, width, 12)):
        if side > length:
            assert now == first
        else:
            assert now == min(range(length - side + 1), key=lambda place: abs(place - first))


def test_recall_of_groups_that_are_apart_and_of_one_that_is_not():
    facet = np.repeat(np.arange(4), 10)
    codes = np.eye(4)[facet] + np.random.default_rng(0).normal(0, 0.01, (40, 4))
    assert hidden_units.recall(codes, facet) == 1
    assert hidden_units.recall(codes, np.random.default_rng(1).permutation(facet)) < 0.5


def test_the_two_ways_side_by_side(monkeypatch):
    """On a tiny network: its own codes stand for the judge's."""
    network, _ = exact_network()
    monkeypatch.setattr(hidden_units, "NUM_IMAGES", 30)
    monkeypatch.setattr(hidden_units, "NUM_FACETS", 2)
    monkeypatch.setattr(hidden_units, "NUM_NEAREST", 6)
    images = np.random.default_rng(2).integers(0, 12, (60, *SIZE, 3)).astype(np.uint8)
    results = hidden_units.run(network, network, open_images(images), ["map:3"])
    old, new = (results["map:3"][way] for way in hidden_units.WAYS)
    assert old["padding"] > 0
    assert old["recall_by_padding"] is not None
    assert (new["padding"], new["border_facets"], new["recall_by_padding"]) == (0, 0, None)
    assert new["recall"] == new["recall_moved"]
    assert 0 < new["images_as_before"] <= 30
    means = hidden_units.print_table(results)
    assert means["inside"]["recall_by_padding"] is None
    assert means["all"]["padding"] == old["padding"]
