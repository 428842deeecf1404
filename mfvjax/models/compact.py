"""The bundled network: CaffeNet's shape at a fraction of its size, for 96x96 pictures."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from mfvjax.models import layers, ops
from mfvjax.models.graph import GraphSpec, LayerSpec

INPUT_SIZE = (96, 96)
_POOL: dict[str, Any] = {"kernel": (3, 3), "stride": (2, 2)}
# Activations here are near 1, not CaffeNet's hundreds, hence the larger alpha.
_NORM: dict[str, Any] = {"local_size": 5, "alpha": 0.1, "beta": 0.75}
_DROP_RATE = 0.25


class Compact(nnx.Module):
    """Five convolutions, three dense layers, 1 million parameters, CaffeNet's layer names.

    Args:
      rngs: makes the starting parameters.
      channels: of the images.
      num_classes: outputs of ``fc8`` and ``prob``.
      dtype: of the computation and of the activations.
      param_dtype: of the parameters.

    References: the layout of Krizhevsky et al. 2012; sizes our own.
    """

    def __init__(
        self,
        *,
        rngs: nnx.Rngs | None = None,
        channels: int = 3,
        num_classes: int = 14,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
    ) -> None:
        rngs = nnx.Rngs(0) if rngs is None else rngs
        kinds: dict[str, Any] = {"rngs": rngs, "dtype": dtype, "param_dtype": param_dtype}
        self.conv1 = layers.Conv(channels, 48, kernel_size=9, stride=3, **kinds)
        self.conv2 = layers.Conv(48, 128, kernel_size=5, pad=2, groups=2, **kinds)
        self.conv3 = layers.Conv(128, 160, kernel_size=3, pad=1, **kinds)
        self.conv4 = layers.Conv(160, 160, kernel_size=3, pad=1, groups=2, **kinds)
        self.conv5 = layers.Conv(160, 128, kernel_size=3, pad=1, groups=2, **kinds)
        self.fc6 = layers.Dense(3 * 3 * 128, 384, **kinds)
        self.fc7 = layers.Dense(384, 256, **kinds)
        self.fc8 = layers.Dense(256, num_classes, **kinds)

    def __call__(
        self,
        net_input: Float[Array, "batch height width channels"],
        *,
        drop_key: Key[Array, ""] | None = None,
    ) -> dict[str, Float[Array, "batch *shape"]]:  # noqa: UP037  (a shape)
        """Every activation by name, in execution order; ``conv1`` to ``fc7`` rectified.

        Args:
          net_input: preprocessed images.
          drop_key: for training, drops a quarter of ``fc6`` and ``fc7`` at random.
        """
        blobs: dict[str, Array] = {}
        blobs["conv1"] = jax.nn.relu(self.conv1(net_input))
        blobs["pool1"] = layers.max_pool(blobs["conv1"], **_POOL)
        blobs["norm1"] = layers.local_response_norm(blobs["pool1"], **_NORM)
        blobs["conv2"] = jax.nn.relu(self.conv2(blobs["norm1"]))
        blobs["pool2"] = layers.max_pool(blobs["conv2"], **_POOL)
        blobs["norm2"] = layers.local_response_norm(blobs["pool2"], **_NORM)
        blobs["conv3"] = jax.nn.relu(self.conv3(blobs["norm2"]))
        blobs["conv4"] = jax.nn.relu(self.conv4(blobs["conv3"]))
        blobs["conv5"] = jax.nn.relu(self.conv5(blobs["conv4"]))
        blobs["pool5"] = layers.max_pool(blobs["conv5"], **_POOL)
        keys = [None, None] if drop_key is None else list(jax.random.split(drop_key))
        blobs["fc6"] = _drop(keys[0], jax.nn.relu(self.fc6(blobs["pool5"])))
        blobs["fc7"] = _drop(keys[1], jax.nn.relu(self.fc7(blobs["fc6"])))
        blobs["fc8"] = self.fc8(blobs["fc7"])
        blobs["prob"] = jax.nn.softmax(blobs["fc8"], axis=-1)
        return blobs


def _drop(key: Key[Array, ""] | None, hidden: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Zeroes a share of `hidden` at random and scales the rest up to keep the mean."""
    if key is None:
        return hidden
    kept = jax.random.bernoulli(key, 1 - _DROP_RATE, hidden.shape)
    return jnp.where(kept, hidden / (1 - _DROP_RATE), jnp.zeros_like(hidden))


def compact_graph(num_classes: int = 14) -> GraphSpec:
    """The same network as data: what a weights file and the layer facts need."""
    weighted: dict[str, ops.Op] = {
        "conv1": ops.Convolution(48, (9, 9), stride=(3, 3)),
        "conv2": ops.Convolution(128, (5, 5), pad=(2, 2), groups=2),
        "conv3": ops.Convolution(160, (3, 3), pad=(1, 1)),
        "conv4": ops.Convolution(160, (3, 3), pad=(1, 1), groups=2),
        "conv5": ops.Convolution(128, (3, 3), pad=(1, 1), groups=2),
        "fc6": ops.InnerProduct(384),
        "fc7": ops.InnerProduct(256),
    }
    steps: list[tuple[str, ops.Op]] = []
    for name, op in weighted.items():
        steps += [(name, op), (f"relu{name[-1]}", ops.ReLU())]
        if name in ("conv1", "conv2", "conv5"):
            steps.append((f"pool{name[-1]}", ops.Pooling("max", **_POOL)))
        if name in ("conv1", "conv2"):
            steps.append((f"norm{name[-1]}", ops.LRN(**_NORM)))
    steps += [("fc8", ops.InnerProduct(num_classes)), ("prob", ops.Softmax())]
    blob, specs = "data", []
    for name, op in steps:
        output = blob if name.startswith("relu") else name
        specs.append(LayerSpec(name, op, (blob,), (output,)))
        blob = output
    return GraphSpec("compact", "data", (*INPUT_SIZE, 3), tuple(specs))
