"""Where a unit of a map is read: inside the image, against loops over boxes and positions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from mfvjax.atlas.choice import choose_images
from mfvjax.atlas.locks import UnitLocks
from mfvjax.atlas.passes import PassPlan
from mfvjax.atlas.pool_pass import PoolPass
from mfvjax.facets import compute_codes, load_patches, top_images
from mfvjax.facets.discover import discover_facets
from mfvjax.facets.places import MapWindow, counted_window
from mfvjax.facets.reading import as_arrays, read_units, request_unit
from mfvjax.images import open_images
from mfvjax.network import Network
from mfvjax.preprocess import Preprocessing
from mfvjax.types import LayerInfo, ReceptiveField
from tests.exact_network import exact_network
from tests.unchecked import without_type_checks

SIDE = 32


class BorderNet(nnx.Module):
    """Two convolutions that pad, with a bias, so that units answer to the border itself."""

    def __init__(self, padding, *, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(3, 6, (5, 5), strides=2, padding=padding, rngs=rngs)
        self.conv2 = nnx.Conv(6, 8, (3, 3), padding=padding, rngs=rngs)
        self.conv3 = nnx.Conv(8, 4, (19, 19), padding="SAME", rngs=rngs)
        self.fc = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, net_input):
        out = {}
        out["conv1"] = x = nnx.relu(self.conv1(net_input))
        out["conv2"] = x = self.conv2(x)
        out["conv3"] = x = self.conv3(x)
        out["fc"] = self.fc(x.mean((1, 2)))
        return out


@pytest.fixture(scope="module", params=["SAME", ((2, 1), (1, 2))], ids=["same", "uneven"])
def network(request):
    """Of two styles of padding; its receptive fields are measured."""
    preprocessing = Preprocessing((SIDE, SIDE), mean=(120.0, 110.0, 100.0), scale=1 / 64)
    net = BorderNet(request.param, rngs=nnx.Rngs(3))
    return Network.from_nnx(net, preprocessing=preprocessing, logits_layer="fc")


@pytest.fixture(scope="module")
def images():
    """Flat pictures with a little noise: what a unit answers to is the border."""
    rng = np.random.default_rng(0)
    levels = rng.uniform(0, 255, (40, 1, 1, 3)) + rng.normal(0, 12, (40, SIDE, SIDE, 3))
    return levels.clip(0, 255).astype(np.uint8)


def is_inside(network, unit, position):
    box = network.receptive_field(f"{unit}@{position[0]},{position[1]}")
    return box == box.clip(network.input_size)


axes = st.tuples(
    st.integers(1, 9),
    st.integers(1, 20),
    st.integers(1, 4),
    st.integers(-12, 3),
    st.integers(4, 20),
)


def seen_along(axis):
    """How much of the image each position sees, and how long field and image are."""
    count, size, stride, start, length = axis
    fields = [range(start + i * stride, start + i * stride + size) for i in range(count)]
    return [len([p for p in field if 0 <= p < length]) for field in fields], size, length


@settings(deadline=None)
@given(axes, axes)
def test_those_count_that_see_most_of_the_image(vertical, horizontal):
    """Pixel by pixel: whole fields where there are any; all positions where none fits."""
    (rows, *field), (columns, *other) = vertical, horizontal
    size, stride, start, length = zip(field, other, strict=True)
    info = LayerInfo("map", (rows, columns, 2), ReceptiveField(size, stride, start))
    window = counted_window(info, length, "inside")
    window = window or MapWindow((0, rows), (0, columns))
    for axis, found in ((vertical, window.rows), (horizontal, window.columns)):
        seen, size, length = seen_along(axis)
        if max(seen) == 0:  # a field that misses the image altogether is of no network
            continue
        wanted = [i for i, pixels in enumerate(seen) if size > length or pixels == max(seen)]
        assert list(range(*found)) == wanted
        if size in seen:
            assert [seen[i] for i in range(*found)] == [size] * len(wanted)


def test_what_has_no_choice_counts_as_a_whole():
    field = ReceptiveField((5, 5), (2, 2), (-2, -2))
    size = (9, 9)
    small = LayerInfo("map", (4, 4, 3), field)
    assert counted_window(small, size, "inside") == MapWindow((1, 4), (1, 4))
    assert counted_window(small, size, "all") is None
    assert counted_window(LayerInfo("tokens", (16, 3), field), size, "inside") is None
    assert counted_window(LayerInfo("dense", (3,)), size, "inside") is None
    assert counted_window(LayerInfo("map", (4, 4, 3)), size, "inside") is None
    assert counted_window(LayerInfo("classes", (1, 1, 3), field), size, "inside") is None
    unpadded = dataclasses.replace(field, start=(0, 0), size=(3, 3))
    assert counted_window(LayerInfo("map", (4, 4, 3), unpadded), size, "inside") is None
    taller = dataclasses.replace(field, size=(11, 5), start=(-4, -2))
    only_columns = counted_window(LayerInfo("map", (4, 4, 3), taller), size, "inside")
    assert only_columns == MapWindow((0, 4), (1, 4))
    with pytest.raises(ValueError, match=r'positions must be "inside" or "all", got \'border\''):
        without_type_checks(counted_window)(small, size, "border")


@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_units_are_read_inside(network, images, layer):
    """Every unit of a map, against the slow way; at the border it would be stronger."""
    maps = np.asarray(network.activations(images, layer)[layer])
    at_border = 0
    for channel in range(maps.shape[-1]):
        unit = f"{layer}:{channel}"
        inside = [at for at in np.ndindex(maps.shape[1:3]) if is_inside(network, unit, at)]
        assert 0 < len(inside) < maps[0, ..., 0].size
        found = compute_codes(network, images, unit=unit)
        every = compute_codes(network, images, unit=unit, positions="all")
        for one, values, position in zip(
            maps[..., channel], found.activations, found.positions, strict=True
        ):
            best = max(inside, key=lambda at: one[at])
            assert tuple(position) == best
            np.testing.assert_allclose(values, one[best], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            every.activations, maps[..., channel].max((1, 2)), rtol=1e-5, atol=1e-6
        )
        at_border += sum(not is_inside(network, unit, at) for at in every.positions)
    assert at_border > 40 * maps.shape[-1] / 4  # else nothing was shown


def test_a_field_larger_than_the_image_is_read_everywhere(network, images):
    assert min(network.receptive_field("conv3:0@8,8").size) >= SIDE
    for unit in ("conv3:0", "conv3:2"):
        found, every = (
            compute_codes(network, images, unit=unit, positions=positions)
            for positions in ("inside", "all")
        )
        np.testing.assert_array_equal(found.positions, every.positions)
        np.testing.assert_array_equal(found.codes, every.codes)


def test_a_position_that_was_asked_for_is_read_at_the_border(network, images):
    together = compute_codes(network, images, units=["conv2:1@0,0", "conv2:1"])
    alone = compute_codes(network, images, unit="conv2:1@0,0", positions="all")
    np.testing.assert_array_equal(together[0].activations, alone.activations)
    assert (together[0].positions == 0).all()
    assert (together[1].positions > 0).all()


def test_images_are_ranked_by_what_is_inside(network, images):
    for unit in ("conv2:0", "conv2:5"):
        (top,) = top_images(network, images, units=[unit], count=12)
        found = compute_codes(network, images, unit=unit)
        order = np.argsort(-found.activations, kind="stable")[:12]
        np.testing.assert_array_equal(top.indices, order)
        np.testing.assert_array_equal(top.positions, found.positions[order])
        _, valid = load_patches(network, open_images(images), unit, top.indices, top.positions)
        assert valid.all()


def test_facets_are_of_what_is_inside(network, images):
    options = {"unit": "conv2:3", "num_facets": 2, "num_mean_images": 5, "top_count": 25}
    inside, every = (
        discover_facets(network, images, **options, **extra) for extra in ({}, {"positions": "all"})
    )
    assert (inside.options["positions"], every.options["positions"]) == ("inside", "all")
    assert all(is_inside(network, "conv2:3", at) for at in inside.positions)
    assert not all(is_inside(network, "conv2:3", at) for at in every.positions)


@pytest.mark.parametrize("positions", ["inside", "all"])
def test_a_pass_for_an_atlas_reads_at_the_same_positions(network, images, tmp_path, positions):
    source = open_images(images)
    choices = choose_images(
        network,
        source,
        ["conv2:3", "conv2:5", "conv2:1@0,0"],
        num_facets=2,
        num_mean_images=5,
        top_fraction=0.5,
        positions=positions,
    )
    with UnitLocks(tmp_path) as locks:
        reading = PoolPass(PassPlan(tmp_path, (), 16), network, source, choices, locks=locks)
        reading.read()
        found = [reading.codes(choice.unit)[0] for choice in choices]
    for codes in found:
        (top,) = top_images(network, source, units=[codes.unit], count=20, positions=positions)
        np.testing.assert_array_equal(codes.indices, top.indices)
        np.testing.assert_array_equal(codes.positions, top.positions)
        np.testing.assert_allclose(codes.activations, top.activations, atol=1e-6)
    inside = [is_inside(network, "conv2:3", at) for codes in found[:2] for at in codes.positions]
    assert all(inside) == (positions == "inside")


def test_a_unit_that_answers_to_the_border_alone_is_told_of(network, images):
    """The first channel is 0 wherever its field lies inside the image."""

    def forward(params, net_input):
        ones = jnp.zeros_like(network.forward(params, net_input)["conv2"]).at[:, 0].set(1.0)
        return {**network.forward(params, net_input), "conv2": ones}

    bordered = dataclasses.replace(network, forward=forward)
    options = {"unit": "conv2:0", "num_facets": 2, "num_mean_images": 5, "top_count": 25}
    message = r'no image .* conv2:0 where its receptive field .*, or positions="all"$'
    with pytest.raises(ValueError, match=message):
        discover_facets(bordered, images, **options)
    (top,) = top_images(bordered, images, units=["conv2:0"], count=9, positions="all")
    assert (top.activations == 1).all()


def test_cached_codes_of_the_two_ways_are_apart(network, images, tmp_path):
    first, second = (
        [
            compute_codes(network, images, unit="conv2:2", cache_dir=tmp_path, positions=where)
            for where in ("inside", "all")
        ]
        for _ in range(2)
    )
    assert len(list(tmp_path.iterdir())) == 2
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.positions, other.positions)
    assert not np.array_equal(first[0].positions, first[1].positions)


def test_other_units_of_a_layer_compile_nothing_new():
    exact, traces = exact_network()
    images = np.zeros((4, *exact.input_size, 3), np.uint8)
    for unit in ("map:0", "map:4", "map:1@0,0"):
        compute_codes(exact, images, unit=unit)
    assert len(traces) == 1
    compute_codes(exact, images, unit="map:0", positions="all")
    assert len(traces) == 2


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
@settings(deadline=None, max_examples=30)
def test_reading_is_the_first_maximum_of_a_window(seed, rows, columns):
    """Few whole numbers, so that maxima are shared; NumPy's argmax takes the first."""
    rng = np.random.default_rng(seed)
    maps = rng.integers(0, 3, (3, rows, columns, 2)).astype(np.float32)
    (top, bottom), (left, right) = (
        sorted(rng.choice(side + 1, 2, replace=False).tolist()) for side in (rows, columns)
    )
    exact, _ = exact_network()
    asked = as_arrays([request_unit(exact, "map:0")])
    asked = asked._replace(window=MapWindow((top, bottom), (left, right)))
    values, places = jax.jit(read_units)(jnp.asarray(maps), asked)
    cut = maps[:, top:bottom, left:right, 0].reshape(3, -1)
    row, column = np.divmod(cut.argmax(1), right - left)
    np.testing.assert_array_equal(values[:, 0], cut.max(1))
    np.testing.assert_array_equal(places[:, 0], (row + top) * columns + column + left)
