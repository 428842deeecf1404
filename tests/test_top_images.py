"""Top images against sorting the whole table of activations at once."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from mfvjax.facets.top import top_images
from mfvjax.images import ArraySource, SelectedSource, UnreadableImageError
from mfvjax.network import Network
from mfvjax.preprocess import Preprocessing
from mfvjax.types import LayerInfo, Unit
from tests.exact_network import counted, exact_network, slow_activations, small_images

IMAGES = small_images(23)
SLOW = slow_activations(IMAGES)
NETWORK = exact_network()[0]
UNITS = ["map:0", "classes:3", "map:4", "map:2@3,5", "tokens:1", "tokens:6@9,0", "hidden:5"]


def table_of(unit: str, positions: str = "inside") -> tuple[np.ndarray, np.ndarray | None]:
    """The unit's activation on every image, and where it was."""
    parsed = Unit.parse(unit)
    values = SLOW[parsed.layer][..., parsed.index]
    if values.ndim == 1:
        return values, None
    grid = values.reshape(len(values), values.shape[1], -1)
    if parsed.position is not None:
        at = np.tile(parsed.position, (len(values), 1))
    elif parsed.layer == "map":
        at = np.array([max(counted(positions), key=lambda at: one[at]) for one in grid])
    else:
        flat = grid.reshape(len(values), -1).argmax(axis=1)
        at = np.stack(np.unravel_index(flat, grid.shape[1:]), axis=1)
    return grid[np.arange(len(values)), at[:, 0], at[:, 1]], at


@pytest.mark.parametrize("where", ["inside", "all"])
@pytest.mark.parametrize(("count", "batch_size"), [(1, 5), (6, 1), (6, 5), (6, 40), (23, 5)])
def test_equal_to_sorting_everything(count, batch_size, where):
    """Whole numbers and repeated images: ties abound, and must go to the earlier image."""
    options = {"count": count, "batch_size": batch_size}
    options |= {} if where == "inside" else {"positions": where}
    results = top_images(NETWORK, IMAGES, units=UNITS, **options)
    for unit, found in zip(UNITS, results, strict=True):
        values, positions = table_of(unit, where)
        order = sorted(range(len(values)), key=lambda index: (-values[index], index))[:count]
        assert found.unit == Unit.parse(unit)
        assert found.indices.tolist() == order
        assert np.array_equal(found.activations, values[order])
        if positions is None:
            assert found.positions is None
        else:
            assert np.array_equal(found.positions, positions[order])
        assert found.names == tuple(str(index) for index in order)
        assert found.skipped == ()


@pytest.mark.parametrize("batch_size", [1, 5, 40])
def test_images_that_do_not_activate_a_unit_can_be_left_out(batch_size):
    options = {"count": 20, "batch_size": batch_size, "only_active": True}
    counts = []
    for unit, found in zip(UNITS, top_images(NETWORK, IMAGES, units=UNITS, **options), strict=True):
        values, positions = table_of(unit)
        order = sorted(range(len(values)), key=lambda index: (-values[index], index))
        order = [index for index in order if values[index] != 0][:20]
        assert found.indices.tolist() == order
        assert np.array_equal(found.activations, values[order])
        if positions is not None:
            assert np.array_equal(found.positions, positions[order])
        counts.append(len(order))
    assert min(counts) < 20


def test_there_are_ties_to_break():
    values, _ = table_of("map:0")
    assert len(np.unique(values)) < len(values)


@pytest.mark.parametrize(("fraction", "count"), [(0.02, 1), (0.2, 5), (0.5, 12), (1.0, 23)])
def test_a_share_of_the_pool(fraction, count):
    (found,) = top_images(NETWORK, IMAGES, units=["classes:0"], fraction=fraction, batch_size=5)
    (same,) = top_images(NETWORK, IMAGES, units=["classes:0"], count=count, batch_size=5)
    assert len(found.indices) == count
    assert np.array_equal(found.indices, same.indices)


def test_one_compilation_for_the_whole_pool():
    network, traces = exact_network()
    for unit in ("map:1", "map:3", "map:3@0,0"):
        top_images(network, IMAGES, units=[unit], count=4, batch_size=5)
    assert len(traces) == 1


class BreakableSource(ArraySource):
    broken = frozenset({0, 7, 8, 9, 22})

    def read(self, index):
        if index in self.broken:
            raise UnreadableImageError(self.names[index], "it is broken")
        return super().read(index)


def test_unreadable_images_are_left_out_and_named():
    source = BreakableSource(IMAGES)
    kept = [index for index in range(23) if index not in source.broken]
    results = top_images(NETWORK, source, units=UNITS, count=23, batch_size=5)
    for unit, found in zip(UNITS, results, strict=True):
        values, _ = table_of(unit)
        assert found.indices.tolist() == sorted(kept, key=lambda index: (-values[index], index))
        assert {image.index for image in found.skipped} == source.broken
    with pytest.raises(UnreadableImageError, match="image '0' cannot be read: it is broken"):
        top_images(NETWORK, source, units=UNITS, count=2, on_error="raise")


def test_progress_counts_every_image_once():
    calls = []
    report = lambda done, total: calls.append((done, total))  # noqa: E731
    source = BreakableSource(IMAGES)
    top_images(NETWORK, source, units=["map:0"], count=2, batch_size=5, progress=report)
    assert [total for _, total in calls] == [23] * len(calls)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert calls[-1] == (23, 23)


def pixel_network(num_units: int) -> Network:
    """A dense layer whose units are random weightings of a tiny image."""
    weights = np.random.default_rng(0).standard_normal((12, num_units)).astype(np.float32)

    def forward(params, net_input):
        return {"fc": net_input.reshape(net_input.shape[0], -1) @ params}

    layers = {"fc": LayerInfo("fc", (num_units,))}
    return Network("pixels", forward, jnp.asarray(weights), Preprocessing((2, 2)), layers, "fc")


def test_thousands_of_units_in_one_pass():
    network = pixel_network(3000)
    images = np.random.default_rng(1).integers(0, 256, (150, 2, 2, 3)).astype(np.uint8)
    units = [Unit("fc", index) for index in range(3000)]
    results = top_images(network, images, units=units, count=10, batch_size=16)
    table = images.reshape(150, 12).astype(np.float64) @ np.asarray(network.params, np.float64)
    expected = -np.sort(-table, axis=0)[:10].T
    found = np.stack([result.activations for result in results])
    # Twelve products below 1000 each, summed in float32.
    np.testing.assert_allclose(found, expected, atol=2e-3)
    rows = np.stack([result.indices for result in results])
    at_rows = np.take_along_axis(table.T, rows, axis=1)
    np.testing.assert_allclose(at_rows, expected, atol=2e-3)
    assert all(len(set(row)) == 10 for row in rows.tolist())


def value_network() -> Network:
    """Its two units are given by the image: red / 0, and zero with the sign of green."""

    def forward(params, net_input):
        red, green = net_input[:, 0, 0, 0], net_input[:, 0, 0, 1]
        zero = jnp.where(green > 0, 0.0, -0.0).astype(jnp.float32)
        return {"fc": jnp.stack([(red - 1.0) / params, zero], axis=1)}

    layers = {"fc": LayerInfo("fc", (2,))}
    return Network("values", forward, jnp.float32(0), Preprocessing((1, 1)), layers, "fc")


def test_both_zeros_are_equal():
    images = np.zeros((6, 1, 1, 3), np.uint8)
    images[[2, 5], ..., 1] = 1
    network = dataclasses.replace(value_network(), params=jnp.float32(1))
    (found,) = top_images(network, images, units=["fc:1"], count=6, batch_size=4)
    assert found.indices.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("red", [0, 1, 2])  # minus infinity, not a number, infinity
def test_activations_that_are_not_finite_are_told(red):
    images = np.full((1, 1, 1, 3), red, np.uint8)
    with pytest.raises(ValueError, match="unit fc:0 has an activation that is not finite on '0'"):
        top_images(value_network(), images, units=["fc:0"], count=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either count or fraction, not count=None, fraction=None"),
        ({"count": 3, "fraction": 0.1}, "either count or fraction, not count=3, fraction=0.1"),
        ({"count": 0}, "count=0 must be from 1 to the 23 images of the pool"),
        ({"count": 24}, "count=24 must be from 1 to the 23 images of the pool"),
        ({"fraction": 0.0}, r"fraction=0.0 must be in \(0, 1\]"),
        ({"fraction": 2.0}, r"fraction=2.0 must be in \(0, 1\]; the top 2 % are 0.02"),
        ({"count": 1, "units": []}, "units is empty"),
        ({"count": 1, "units": ["map:0", "map:9"]}, "has units map:0 to map:4"),
        ({"count": 1, "units": ["fc6:0"]}, "no layer 'fc6'"),
        ({"count": 1, "batch_size": 0}, "batch_size=0"),
    ],
)
def test_wrong_questions(options, message):
    with pytest.raises(ValueError, match=message):
        top_images(NETWORK, IMAGES, **({"units": ["map:0"]} | options))


def test_no_readable_image():
    source = SelectedSource(BreakableSource(IMAGES), [0, 7])
    with pytest.raises(ValueError, match="none of 2 images can be read; the first: 0: it is bro"):
        top_images(NETWORK, source, units=["map:0"], count=1)
