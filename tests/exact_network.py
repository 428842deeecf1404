"""A network of whole numbers: its activations are the same to the last bit in any batch.

It has a layer of every kind that codes and top images are read from, and few enough values for
many ties. `slow_activations` computes the same with loops in NumPy.
"""

import jax
import jax.numpy as jnp
import numpy as np

from mfvjax.network import Network
from mfvjax.preprocess import Preprocessing
from mfvjax.types import LayerInfo, ReceptiveField

SIZE = (9, 11)
MEAN = (2.0, 4.0, 3.0)  # of blue, green and red
NUM_CLASSES = 4

_FIELD = ReceptiveField(size=(4, 3), stride=(2, 2), start=(-1, -1))
LAYERS = {
    "map": LayerInfo("map", (4, 6, 5), _FIELD),
    "tokens": LayerInfo("tokens", (24, 7)),
    "hidden": LayerInfo("hidden", (6,)),
    "unused": LayerInfo("unused", (1237,)),
    "classes": LayerInfo("classes", (NUM_CLASSES,)),
}

INSIDE = (range(1, 4), range(1, 5))  # rows and columns of the map whose field lies in the image


def counted(positions: str) -> list[tuple[int, int]]:
    """The map's positions that count, in row-major order."""
    rows, columns = INSIDE if positions == "inside" else (range(4), range(6))
    return [(row, column) for row in rows for column in columns]


def exact_params(seed: int = 0) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed).integers
    shapes = {"map": (4, 3, 3, 5), "tokens": (5, 7), "hidden": (5, 6), "unused": (6, 1237)}
    shapes |= {"classes": (6, NUM_CLASSES)}
    return {name: draw(-2, 3, shape).astype(np.float32) for name, shape in shapes.items()}


def exact_network(seed: int = 0, **options) -> tuple[Network, list[int]]:
    """The network, and a list that grows by one whenever the network is traced or run."""
    traces: list[int] = []

    def forward(params, net_input):
        traces.append(len(traces))
        conv = jax.lax.conv_general_dilated(
            net_input,
            params["map"],
            window_strides=(2, 2),
            padding=((1, 0), (1, 1)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        maps = jnp.floor(jax.nn.relu(conv) / 16)
        tokens = maps.reshape(maps.shape[0], 24, 5) @ params["tokens"]
        hidden = maps.max(axis=(1, 2)) @ params["hidden"]
        return {
            "map": maps,
            "tokens": tokens,
            "hidden": hidden,
            "unused": jnp.tanh(hidden @ params["unused"]),
            "classes": hidden @ params["classes"],
        }

    network = Network(
        "exact",
        forward,
        exact_params(seed),
        Preprocessing(SIZE, "BGR", MEAN),
        LAYERS,
        logits_layer="classes",
        **({"class_code_layer": "hidden"} | options),
    )
    return network, traces


def slow_activations(images: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """All layers but ``unused`` for RGB images, in float64."""
    params = {name: value.astype(np.float64) for name, value in exact_params(seed).items()}
    out: dict[str, list] = {"map": [], "tokens": [], "hidden": [], "classes": []}
    for image in images:
        net_input = image[..., ::-1].astype(np.float64) - MEAN
        padded = np.pad(net_input, ((1, 0), (1, 1), (0, 0)))
        maps = np.zeros((4, 6, 5))
        for row, column, channel in np.ndindex(maps.shape):
            window = padded[2 * row : 2 * row + 4, 2 * column : 2 * column + 3]
            total = (window * params["map"][..., channel]).sum()
            maps[row, column, channel] = max(total, 0) // 16
        hidden = maps.reshape(-1, 5).max(axis=0) @ params["hidden"]
        out["map"].append(maps)
        out["tokens"].append(maps.reshape(24, 5) @ params["tokens"])
        out["hidden"].append(hidden)
        out["classes"].append(hidden @ params["classes"])
    return {name: np.array(values) for name, values in out.items()}


def small_images(count: int, seed: int = 1) -> np.ndarray:
    """Images of the network's size with few grey levels, some of them twice."""
    levels = np.random.default_rng(seed).integers(0, 12, (count, *SIZE, 3))
    levels[count // 2] = levels[0]
    levels[-1] = levels[1]
    return levels.astype(np.uint8)
