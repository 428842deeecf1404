"""Receptive fields three ways: from the graph, by disturbing the input, and from gradients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfvjax.network import Network
from mfvjax.network.measured import fit_affine, measure_receptive_fields
from mfvjax.types import PixelBox, Unit
from tests.small_caffe import random_images, small_network

MAPS = ["conv1", "pool1", "norm1", "side/narrow", "side/wide", "side/concat", "pool2"]


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Network:
    return small_network(tmp_path_factory.mktemp("small"))


def boxes(network, name, field=None):
    """Clipped pixel box of every position of a map; of `field` if given."""
    info = network.layers[name]
    if field is not None:
        info = dataclasses.replace(info, receptive_field=field)
    layers = {**network.layers, name: info}
    same = dataclasses.replace(network, layers=layers)
    return {
        place: same.receptive_field(Unit(name, 0, place)).clip(network.input_size)
        for place in np.ndindex(*info.shape[:2])
    }


def gradient_supports(network, name, places, num_images):
    """Boxes around the pixels on which any channel at each place depends, in any of some images."""

    @jax.jit
    def slopes(images, weights):
        def activation(images):
            return (network.read(network.params, images)[name] * weights).sum()

        return jnp.abs(jax.grad(activation)(images)).sum((0, 3))

    rng = np.random.default_rng(2)
    for place in places:
        weights = np.zeros((num_images, *network.layers[name].shape), np.float32)
        weights[(slice(None), *place)] = rng.standard_normal((num_images, weights.shape[-1]))
        yield box_around(np.asarray(slopes(random_images(num_images, seed=5), weights)) > 0)


def box_around(seen):
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return PixelBox(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


@pytest.mark.parametrize("name", MAPS)
def test_fields_are_the_support_of_the_gradient(network, name):
    rows, columns, _ = network.layers[name].shape
    places = [(0, 0), (rows // 2, columns // 2), (rows - 1, columns - 1)]
    found = list(gradient_supports(network, name, places, num_images=24))
    fields = [network.receptive_field(Unit(name, 0, place)) for place in places]
    assert found == [field.clip(network.input_size) for field in fields]


def test_measured_fields_are_those_of_the_graph(network):
    shapes = {name: info.shape for name, info in network.layers.items()}
    measured = measure_receptive_fields(
        network.forward, network.params, shapes, network.input_shape
    )
    assert set(measured) == set(MAPS)
    for name in MAPS:
        assert boxes(network, name) == boxes(network, name, measured[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv1", "fire3/concat", "fire6/conv3x3_2", "fire9/concat"])
def test_fields_of_a_real_network_hold_the_support_of_the_gradient(data_dir, name):
    folder = data_dir / "models" / "squeezenet_v1.0"
    network = Network.from_caffe(folder / "deploy.prototxt", folder / "squeezenet_v1.0.caffemodel")
    side = network.layers[name].shape[0]
    noise = np.random.default_rng(0).uniform(0, 255, (4, 227, 227, 3)).astype(np.float32)
    for place in [(0, 0), (side // 2, side // 3), (side - 1, side - 1)]:
        box = network.receptive_field(Unit(name, 0, place)).clip((227, 227))

        def activation(images, place=place):
            return network.read(network.params, images)[name][(slice(None), *place)].sum()

        seen = np.asarray(jnp.abs(jax.jit(jax.grad(activation))(noise)).sum((0, 3))) > 0
        inside = seen[box.top : box.bottom, box.left : box.right]
        assert seen.sum() == inside.sum()
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        assert np.ptp(rows) + 1 >= 0.9 * inside.shape[0]
        assert np.ptp(columns) + 1 >= 0.9 * inside.shape[1]


def dependence(num_inputs, num_outputs, *, size, stride, start, dilation=1):
    """Which of `num_outputs` windows reach which of `num_inputs` places."""
    out = np.zeros((num_outputs, num_inputs), bool)
    for o in range(num_outputs):
        for k in range(0, size, dilation):
            place = start + o * stride + k
            if 0 <= place < num_inputs:
                out[o, place] = True
    return out


windows = st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(0, 4), st.integers(1, 3))


@settings(deadline=None)
@given(window=windows, num_inputs=st.integers(20, 40))
def test_any_window_is_fitted(window, num_inputs):
    taps, stride, pad, dilation = window
    size = (taps - 1) * dilation + 1
    pad = min(pad, size - 1)
    num_outputs = (num_inputs + 2 * pad - size) // stride + 1
    if num_outputs < 3:
        return
    depends = dependence(
        num_inputs, num_outputs, size=size, stride=stride, start=-pad, dilation=dilation
    )
    if not depends.any(axis=1).all():  # a wide dilation may miss the image at its border
        return
    fit = fit_affine(depends)
    if fit is None:  # few outputs, whose dilated windows all meet the border, are no affine set
        assert dilation > 1
        return
    places = np.arange(num_outputs) * fit[1] + fit[2]
    for place, row in zip(places, depends, strict=True):
        reached = np.flatnonzero(row)
        assert max(place, 0) <= reached[0]
        assert min(place + fit[0], num_inputs) > reached[-1]
    if dilation == 1:
        middle = num_outputs // 2
        assert max(places[middle], 0) == np.flatnonzero(depends[middle])[0]


def test_an_exact_window_is_fitted_exactly():
    depends = dependence(40, 19, size=5, stride=2, start=-1)
    assert fit_affine(depends) == (5, 2, -1)
    dilated = dependence(40, 40, size=9, stride=1, start=-4, dilation=4)
    assert fit_affine(dilated) == (9, 1, -4)
    cropped = dependence(40, 10, size=5, stride=2, start=7)
    assert fit_affine(cropped) == (5, 2, 7)


def test_what_is_no_window_is_not_fitted():
    everything = np.ones((5, 20), bool)
    assert fit_affine(everything) is None
    nearly = everything.copy()
    nearly[:, -1] = False  # as a mean over all windows of a map that leaves the last row out
    assert fit_affine(nearly) is None
    nothing = np.zeros((5, 20), bool)
    assert fit_affine(nothing) is None
    scattered = np.eye(20, dtype=bool)[np.random.default_rng(0).permutation(20)]
    assert fit_affine(scattered) is None
    quadratic = np.stack([np.arange(30) == o**2 for o in range(6)])
    assert fit_affine(quadratic) is None
