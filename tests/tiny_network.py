"""A small network for tests of the ascent: two convolutions and a dense layer, random weights."""

from __future__ import annotations

import jax
from flax import nnx

from mfvjax.network import Network
from mfvjax.preprocess import Preprocessing

SIZE = 24
NUM_CLASSES = 7


class TinyNet(nnx.Module):
    """conv1 (5x5, stride 2), conv2 (3x3), fc; activations smooth enough to climb."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(3, 8, (5, 5), strides=2, padding="VALID", rngs=rngs)
        self.conv2 = nnx.Conv(8, 6, (3, 3), padding="VALID", rngs=rngs)
        self.fc = nnx.Linear(8 * 8 * 6, NUM_CLASSES, rngs=rngs)

    def __call__(self, net_input: jax.Array) -> dict[str, jax.Array]:
        out = {}
        out["conv1"] = x = nnx.relu(self.conv1(net_input))
        out["conv2"] = x = nnx.relu(self.conv2(x))
        out["fc"] = self.fc(x.reshape(x.shape[0], -1))
        return out


def tiny_network(seed: int = 0) -> Network:
    """`TinyNet` behind the one face, for RGB images of 24x24."""
    return Network.from_nnx(
        TinyNet(rngs=nnx.Rngs(seed)),
        preprocessing=Preprocessing((SIZE, SIZE), mean=(120.0, 110.0, 100.0), scale=1 / 64),
        logits_layer="fc",
    )
