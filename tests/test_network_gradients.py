"""Input gradients in float64 against central differences of the same network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfvjax.network import Network
from tests.small_caffe import random_images, small_network

STEP = 1e-4  # grey levels; small enough that a kink (a rectifier, a maximum) is rarely crossed
SQUEEZENET_UNITS = ["conv1:5", "fire3/concat:70@20,30", "fire8/conv3x3_2:9", "conv_final:498"]


def value_and_slope(network: Network, unit: str):
    """Compiled ``(params, images) -> (unit's activation, its gradient)`` for images of batch 1."""
    resolved = network.resolve(unit)

    def activation(images, params):
        maps = network.read(params, images)[resolved.layer]
        return maps[(0, *(resolved.position or ()), resolved.index)]

    return jax.jit(jax.value_and_grad(activation))


def compare(network: Network, unit: str, image: np.ndarray, *, num_pixels: int, rtol: float):
    """Holds the gradient against differences along single pixels and one dense direction."""
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
            step = STEP / np.abs(direction).max() * direction
            ends = [float(both(images + s * jnp.asarray(step[None]), params)[0]) for s in (1, -1)]
            difference = (ends[0] - ends[1]) / 2
            slope = float((gradient[0] * step).sum())
            assert slope == pytest.approx(difference, rel=rtol, abs=rtol * scale * STEP)


@pytest.mark.parametrize(
    "unit",
    ["conv1:3", "norm1:2", "side/concat:1@1,2", "side/concat:7", "pool2:5", "fc:4", "prob:2"],
)
def test_gradients_of_every_kind_of_layer(unit, tmp_path):
    network = small_network(tmp_path)
    compare(network, unit, random_images(1, seed=3)[0], num_pixels=6, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("unit", [*SQUEEZENET_UNITS, "pool_final:498"])
def test_gradients_of_a_real_network(unit, data_dir):
    from PIL import Image

    folder = data_dir / "models" / "squeezenet_v1.0"
    network = Network.from_caffe(folder / "deploy.prototxt", folder / "squeezenet_v1.0.caffemodel")
    photo = Image.open(sorted((data_dir / "images" / "one_per_class").iterdir())[498])
    image = np.asarray(photo.convert("RGB"), np.float32)[:227, :227]
    compare(network, unit, image, num_pixels=4, rtol=1e-4)
