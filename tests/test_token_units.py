"""Units of transformers: positions are tokens."""

import numpy as np
import pytest

from mfvjax.facets.codes import compute_codes
from mfvjax.network.units import resolve_unit
from mfvjax.types import LayerInfo, Unit
from tests.exact_network import exact_network, small_images

LAYERS = {
    "block": LayerInfo("block", (17, 8)),
    "map": LayerInfo("map", (4, 5, 8)),
    "head": LayerInfo("head", (8,)),
    "probes": LayerInfo("probes", (17, 2), unit_names=("stripes", "dots")),
}


@pytest.mark.parametrize(
    ("text", "printed", "token"),
    [
        ("block:3@cls", "block:3@0", 0),
        ("block:3@16", "block:3@16", 16),
        ("block:3@16,0", "block:3@16", 16),
        ("block:3", "block:3@8", 8),
        ("probes:dots@cls", "probes:1@0", 0),
        ("probes:dots@9", "probes:1@9", 9),
    ],
)
def test_a_token_is_resolved_and_printed(text, printed, token):
    unit = resolve_unit(LAYERS, text)
    assert unit.position == (token, 0)
    assert str(unit) == printed
    assert resolve_unit(LAYERS, str(unit)) == unit


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ("block:3@17", "block:3@17: layer 'block' has tokens @0 .or @cls. to @16"),
        ("block:3@2,1", "block:3@2,1: layer 'block' has tokens"),
        (Unit("block", 3, (-1, 0)), "has tokens"),
        ("map:3@cls", "layer 'map' is a map, not tokens; give @ROW,COLUMN, rows 0 to 3"),
        ("map:3@2", "is a map, not tokens"),
        ("head:3@cls", "is dense and has no positions; write head:3"),
    ],
)
def test_positions_that_are_none_are_refused(unit, message):
    with pytest.raises(ValueError, match=message):
        resolve_unit(LAYERS, unit)


def test_codes_are_read_at_the_token():
    first, same, other = compute_codes(
        exact_network()[0], small_images(11), units=["tokens:6@cls", "tokens:6@0,0", "tokens:6@9"]
    )
    np.testing.assert_array_equal(first.codes, same.codes)
    assert np.abs(first.codes - other.codes).max() > 0
    assert other.positions.tolist() == [[9, 0]] * len(other.positions)
