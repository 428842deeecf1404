"""Input gradients in float64 against central differences of the same network."""

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
