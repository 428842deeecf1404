"""Units, boxes and receptive fields as values."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfvjax.types import LayerInfo, PixelBox, ReceptiveField, Unit
from mfvjax.unit_names import Token

names = st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1, max_size=20)
maps = st.tuples(st.integers(0, 500), st.integers(0, 500))
places = st.none() | maps | st.integers(0, 500).map(Token)


@settings(deadline=None)
@given(layer=names, index=st.integers(0, 10**6), position=places)
def test_a_printed_unit_is_read_back(layer, index, position):
    unit = Unit(layer, index, position)
    again = Unit.parse(str(unit))
    assert again == unit
    assert type(again.position) is type(position)


@pytest.mark.parametrize(("text", "token"), [("b.5:12@cls", 0), ("b.5:12@0", 0), ("b.5:12@17", 17)])
def test_tokens_are_read_and_printed_as_one_number(text, token):
    unit = Unit.parse(text)
    assert unit == Unit("b.5", 12, (token, 0))
    assert str(unit) == f"b.5:12@{token}"
    for again in (pickle.loads(pickle.dumps(unit)), copy.deepcopy(unit)):
        assert str(again) == str(unit)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("fc8:945", Unit("fc8", 945)),
        ("conv4:12", Unit("conv4", 12)),
        ("conv4:12@6,7", Unit("conv4", 12, (6, 7))),
        (" fire9/concat:3 ", Unit("fire9/concat", 3)),
        ("inception_3a/1x1:0@0,0", Unit("inception_3a/1x1", 0, (0, 0))),
        ("odd:name:7", Unit("odd:name", 7)),
    ],
)
def test_units_are_read(text, unit):
    assert Unit.parse(text) == unit


@pytest.mark.parametrize(
    "text",
    ["", "fc8", "fc8:", ":3", "fc8:-1", "fc8:1.5", "conv4:1@clss", "conv4:1@2,", "conv4:1@-1,2"],
)
def test_text_that_is_no_unit_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match=r"LAYER:INDEX.*such as fc8:945"):
        Unit.parse(text)


def test_units_sort_by_layer_then_index():
    assert sorted([Unit("b", 0), Unit("a", 10), Unit("a", 9)])[0] == Unit("a", 9)


def brute_force_interval(windows, position):
    """Input rows that reach one output row, by walking through (kernel, stride, pad) backwards."""
    rows = {position}
    for kernel, stride, pad in reversed(windows):
        rows = {row * stride - pad + k for row in rows for k in range(kernel)}
    return min(rows), max(rows) + 1


@settings(deadline=None)
@given(
    windows=st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 2)), min_size=1, max_size=4
    ),
    position=st.integers(0, 20),
)
def test_a_box_is_what_stacked_windows_reach(windows, position):
    size, stride, start = 1, 1, 0
    for kernel, step, pad in windows:
        size, start, stride = size + (kernel - 1) * stride, start - pad * stride, stride * step
    field = ReceptiveField((size, 1), (stride, 1), (start, 0))
    box = field.box((position, 4))
    assert (box.top, box.bottom) == brute_force_interval(windows, position)
    assert (box.left, box.right) == (4, 5)
    assert box.size == (size, 1)


@settings(deadline=None)
@given(st.tuples(*[st.integers(-30, 60)] * 2), st.tuples(*[st.integers(1, 40)] * 2))
def test_a_clipped_box_keeps_just_the_pixels_inside(corner, size):
    box = PixelBox(*corner, corner[0] + size[0], corner[1] + size[1])
    image = np.zeros((32, 24), bool)
    inside = [
        (y, x)
        for y in range(box.top, box.bottom)
        for x in range(box.left, box.right)
        if 0 <= y < 32 and 0 <= x < 24
    ]
    for place in inside:
        image[place] = True
    clipped = box.clip((32, 24))
    if inside:
        assert image[clipped.top : clipped.bottom, clipped.left : clipped.right].all()
        assert clipped.size[0] * clipped.size[1] == image.sum()
    else:
        assert min(clipped.size) <= 0


def test_layers_know_their_units_and_center():
    assert LayerInfo("conv", (6, 7, 32)).centre == (3, 3)
    assert LayerInfo("conv", (6, 7, 32)).num_units == 32
    assert not LayerInfo("tokens", (16, 32)).is_dense
    assert LayerInfo("tokens", (16, 32)).centre is None
    assert LayerInfo("fc", (10,)).is_dense
