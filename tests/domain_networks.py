"""Small networks for images of any domain, and images for them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mfvjax.domain import GREY, RGB, Domain
from mfvjax.network import Network
from mfvjax.preprocess import Preprocessing
from mfvjax.types import LayerInfo, ReceptiveField

DIGITS = Domain(1, 0, 16, "grey")
SOUNDS = Domain(1, -80, 0, "spectrogram")
STEREO = Domain(2, -80, 0, "spectrogram")
BANDS = Domain(5, 0, 1, "bands")
DOMAINS = {"rgb": RGB, "grey": GREY, "digits": DIGITS, "sounds": SOUNDS, "bands": BANDS}

SIZE = (8, 10)
LAYERS = {
    "map": LayerInfo("map", (4, 5, 4), ReceptiveField(size=(3, 3), stride=(2, 2), start=(-1, -1))),
    "hidden": LayerInfo("hidden", (4,)),
    "classes": LayerInfo("classes", (3,)),
}


def small_network(domain: Domain, *, size: tuple[int, int] = SIZE, seed: int = 0) -> Network:
    """A strided convolution behind a ReLU, its means, and three classes; for `SIZE` by default."""
    draw = np.random.default_rng(seed).normal
    params = {
        "map": draw(0, 1 / domain.span, (3, 3, domain.channels, 4)).astype(np.float32),
        "classes": draw(0, 1, (4, 3)).astype(np.float32),
    }

    def forward(params, net_input):
        maps = jax.lax.conv_general_dilated(
            net_input,
            params["map"],
            window_strides=(2, 2),
            padding=((1, 0), (1, 0)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        maps = jax.nn.relu(maps)
        hidden = jnp.mean(maps, axis=(1, 2))
        return {"map": maps, "hidden": hidden, "classes": hidden @ params["classes"]}

    layers = dict(LAYERS)
    field = LAYERS["map"].receptive_field
    layers["map"] = LayerInfo("map", (size[0] // 2, size[1] // 2, 4), field)
    return Network(
        f"small {domain.kind}",
        forward,
        params,
        Preprocessing(size, mean=(domain.low + domain.high) / 2, domain=domain),
        layers,
        logits_layer="classes",
        class_code_layer="hidden",
    )


def slow_activations(network: Network, images: np.ndarray) -> dict[str, np.ndarray]:
    """All layers, window by window in float64."""
    params = {name: value.astype(np.float64) for name, value in network.params.items()}
    domain = network.preprocessing.domain
    found: dict[str, list] = {"map": [], "hidden": [], "classes": []}
    for image in images:
        centered = image.astype(np.float64) - (domain.low + domain.high) / 2
        padded = np.pad(centered, ((1, 0), (1, 0), (0, 0)))
        maps = np.zeros(network.layers["map"].shape)
        for row, column, channel in np.ndindex(maps.shape):
            window = padded[2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            maps[row, column, channel] = max((window * params["map"][..., channel]).sum(), 0)
        found["map"].append(maps)
        found["hidden"].append(maps.mean((0, 1)))
        found["classes"].append(found["hidden"][-1] @ params["classes"])
    return {name: np.array(values) for name, values in found.items()}


def noise_images(
    domain: Domain, count: int, *, size: tuple[int, int] = SIZE, seed: int = 1
) -> np.ndarray:
    """Images of the domain's dtype that fill its range; no two alike."""
    values = np.random.default_rng(seed).uniform(
        domain.low, domain.high, (count, *size, domain.channels)
    )
    return np.rint(values).astype(np.uint8) if domain.is_8bit else values.astype(np.float32)


def two_kinds(
    domain: Domain, count: int, *, size: tuple[int, int] = SIZE, seed: int = 1
) -> np.ndarray:
    """Images that are bright on the left, then as many that are bright on top, with noise."""
    noise = noise_images(domain, 2 * count, size=size, seed=seed).astype(np.float64)
    images = domain.low + 0.3 * (noise - domain.low)
    images[:count, :, : size[1] // 2] += 0.6 * domain.span
    images[count:, : size[0] // 2] += 0.6 * domain.span
    return np.rint(images).astype(np.uint8) if domain.is_8bit else images.astype(np.float32)
