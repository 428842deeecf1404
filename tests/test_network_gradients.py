"""Derivatives by the input in float64 against central differences of the same network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mfvjax.network import Network
from tests.small_caffe import random_images, small_network

SQUEEZENET_LAYERS = ["fire3/concat", "fire8/conv3x3_2", "pool_final"]


def value_and_slope(network: Network, unit: str):
    """Compiled ``(images, params) -> (unit's activation, its gradient)`` for images of batch 1."""
    resolved = network.resolve(unit)

    def activation(images, params):
        maps = network.read(params, images)[resolved.layer]
        return maps[(0, *(resolved.position or ()), resolved.index)]

    return jax.jit(jax.value_and_grad(activation))


def compare(
    network: Network, unit: str, image: np.ndarray, *, num_pixels: int, step: float, rtol: float
):
    """Holds the gradient against differences along single pixels and one dense direction.

    `step` is in grey levels: small, so that a kink (a rectifier, a maximum) is rarely crossed, but
    not so small that the difference drowns in rounding.
    """
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda a: a.astype(jnp.float64), network.params)
        images = jnp.asarray(image[None], jnp.float64)
        both = value_and_slope(network, unit)
        gradient = np.asarray(both(images, params)[1])
        seen = np.argwhere(gradient[0])  # pixels in the receptive field, past closed rectifiers
        assert len(seen) > num_pixels
        directions = [rng.standard_normal(image.shape)]
        for place in rng.permutation(seen)[:num_pixels]:
            directions.append(np.zeros(image.shape))
            directions[-1][tuple(place)] = 1.0
        scale = np.abs(gradient).max()
        for direction in directions:
            move = step / np.abs(direction).max() * direction
            ends = [float(both(images + s * jnp.asarray(move[None]), params)[0]) for s in (1, -1)]
            difference = (ends[0] - ends[1]) / 2
            slope = float((gradient[0] * move).sum())
            assert slope == pytest.approx(difference, rel=rtol, abs=rtol * scale * step)


@pytest.mark.parametrize("unit", ["norm1:2", "side/concat:1@1,2", "fc:4", "prob:2"])
def test_gradients_of_every_kind_of_layer(unit, tmp_path):
    network = small_network(tmp_path)
    compare(network, unit, random_images(1, seed=3)[0], num_pixels=6, step=1e-4, rtol=1e-5)


def squeezenet(data_dir, tmp_path, side):
    """The real network, with its real weights, for images of another size."""
    folder = data_dir / "models" / "squeezenet_v1.0"
    prototxt = tmp_path / "deploy.prototxt"
    prototxt.write_text((folder / "deploy.prototxt").read_text().replace("227", str(side)))
    return Network.from_caffe(prototxt, folder / "squeezenet_v1.0.caffemodel")


@pytest.mark.parametrize("side", [83, pytest.param(227, marks=pytest.mark.slow)])
@pytest.mark.parametrize("layer", SQUEEZENET_LAYERS)
def test_gradients_of_a_real_network(layer, side, data_dir, tmp_path):
    network = squeezenet(data_dir, tmp_path, side)
    photo = Image.open(sorted((data_dir / "images" / "one_per_class").iterdir())[498])
    image = np.asarray(photo.convert("RGB"), np.float32)[:side, :side]
    maps = np.asarray(network.activations(image[None], layer)[layer])[0]
    row, column, index = np.unravel_index(maps.argmax(), maps.shape)  # past its rectifier
    unit = f"{layer}:{index}@{row},{column}"
    compare(network, unit, image, num_pixels=4, step=1e-6, rtol=1e-4)


def scalar(network: Network, unit: str):
    """Smooth around almost any images: a unit's activation, plus half its square."""
    resolved = network.resolve(unit)

    def function(images, params):
        maps = network.read(params, images)[resolved.layer]
        value = maps[(0, *(resolved.position or ()), resolved.index)]
        return value + value**2 / 2

    return function


@pytest.mark.parametrize("unit", ["norm1:2", "side/concat:1@1,2", "prob:2"])
def test_forward_mode_and_hessians(unit, tmp_path):
    """Held against central differences, reverse mode, and the symmetry of a Hessian."""
    network, rng = small_network(tmp_path), np.random.default_rng(2)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda a: a.astype(jnp.float64), network.params)
        images = jnp.asarray(random_images(1, seed=3), jnp.float64)
        first, second = (jnp.asarray(rng.standard_normal(images.shape)) for _ in range(2))
        function = scalar(network, unit)

        @jax.jit
        def derivatives(images, one, other):
            def slope(x):
                return jax.grad(function)(x, params)

            along = jax.jvp(lambda x: function(x, params), (images,), (one,))[1]
            twice = jax.jvp(slope, (images,), (one,))[1]
            mixed = jax.grad(lambda x: jax.jvp(lambda y: function(y, params), (x,), (one,))[1])
            return along, slope(images), twice, jnp.vdot(other, twice), mixed(images)

        step = 1e-5
        steps = (images, images + step * first, images - step * first)
        (along, gradient, twice, product, mixed), *ends = (
            [np.asarray(a) for a in derivatives(x, first, second)] for x in steps
        )
        values = [float(jax.jit(function)(x, params)) for x in steps]
        exchanged = float(derivatives(images, second, first)[3])
    scale, bend = np.abs(gradient).max(), np.abs(twice).max()
    assert bend > 0
    difference = (values[1] - values[2]) / (2 * step)
    np.testing.assert_allclose(along, difference, rtol=1e-5, atol=1e-6 * scale)
    np.testing.assert_allclose(along, np.vdot(gradient, first), rtol=1e-9, atol=1e-10 * scale)
    slopes = (ends[0][1] - ends[1][1]) / (2 * step)
    np.testing.assert_allclose(twice, slopes, rtol=1e-4, atol=1e-5 * bend)
    np.testing.assert_allclose(mixed, twice, rtol=1e-8, atol=1e-9 * bend)
    np.testing.assert_allclose(product, exchanged, rtol=1e-8)


def test_forward_mode_through_a_model_written_out():
    """<v, J u> is the same in both modes."""
    network = Network.load("compact")
    rng = np.random.default_rng(4)
    images = jnp.asarray(rng.uniform(0, 255, (1, 96, 96, 3)), jnp.float32)
    move = jnp.asarray(rng.normal(size=images.shape), jnp.float32)

    @jax.jit
    def both(params, images, move):
        def read(images):
            return network.read(params, images)["fc8"]

        change = jax.jvp(read, (images,), (move,))[1]
        (gradient,) = jax.vjp(read, images)[1](change)
        return jnp.vdot(change, change), jnp.vdot(gradient, move)

    forward, reverse = both(network.params, images, move)
    assert float(forward) > 0
    np.testing.assert_allclose(forward, reverse, rtol=1e-4)
