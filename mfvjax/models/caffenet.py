"""CaffeNet and AlexNet, written out: five convolutions, three dense layers, Caffe's names."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mfvjax.models import layers


class CaffeNet(nnx.Module):
    """The BVLC reference CaffeNet: max pooling before normalization.

    Args:
      rngs: makes the starting parameters.
      channels: of the images.
      num_classes: outputs of ``fc8`` and ``prob``.
      dtype: of the computation and of the activations.
      param_dtype: of the parameters.

    References: Jia et al. 2014, ``models/bvlc_reference_caffenet/deploy.prototxt`` of Caffe;
      Krizhevsky et al. 2012.
    """

    normalize_first = False

    def __init__(
        self,
        *,
        rngs: nnx.Rngs | None = None,
        channels: int = 3,
        num_classes: int = 1000,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
    ) -> None:
        rngs = nnx.Rngs(0) if rngs is None else rngs
        kinds: dict[str, Any] = {"rngs": rngs, "dtype": dtype, "param_dtype": param_dtype}
        self.conv1 = layers.Conv(channels, 96, kernel_size=11, stride=4, **kinds)
        self.conv2 = layers.Conv(96, 256, kernel_size=5, pad=2, groups=2, **kinds)
        self.conv3 = layers.Conv(256, 384, kernel_size=3, pad=1, **kinds)
        self.conv4 = layers.Conv(384, 384, kernel_size=3, pad=1, groups=2, **kinds)
        self.conv5 = layers.Conv(384, 256, kernel_size=3, pad=1, groups=2, **kinds)
        self.fc6 = layers.Dense(6 * 6 * 256, 4096, **kinds)
        self.fc7 = layers.Dense(4096, 4096, **kinds)
        self.fc8 = layers.Dense(4096, num_classes, **kinds)

    def __call__(
        self, net_input: Float[Array, "batch height width channels"]
    ) -> dict[str, Float[Array, "batch *shape"]]:
        """Every activation by Caffe's name, in execution order; ``conv1`` to ``fc7`` rectified."""
        blobs: dict[str, Array] = {}
        blobs["conv1"] = jax.nn.relu(self.conv1(net_input))
        hidden = self._pool_and_normalize(blobs, "1", blobs["conv1"])
        blobs["conv2"] = jax.nn.relu(self.conv2(hidden))
        hidden = self._pool_and_normalize(blobs, "2", blobs["conv2"])
        blobs["conv3"] = jax.nn.relu(self.conv3(hidden))
        blobs["conv4"] = jax.nn.relu(self.conv4(blobs["conv3"]))
        blobs["conv5"] = jax.nn.relu(self.conv5(blobs["conv4"]))
        blobs["pool5"] = layers.max_pool(blobs["conv5"], kernel=(3, 3), stride=(2, 2))
        blobs["fc6"] = jax.nn.relu(self.fc6(blobs["pool5"]))
        blobs["fc7"] = jax.nn.relu(self.fc7(blobs["fc6"]))
        blobs["fc8"] = self.fc8(blobs["fc7"])
        blobs["prob"] = jax.nn.softmax(blobs["fc8"], axis=-1)
        return blobs

    def _pool_and_normalize(self, blobs: dict[str, Array], stage: str, maps: Array) -> Array:
        steps = ["norm", "pool"] if self.normalize_first else ["pool", "norm"]
        for step in steps:
            if step == "pool":
                maps = layers.max_pool(maps, kernel=(3, 3), stride=(2, 2))
            else:
                maps = layers.local_response_norm(maps, local_size=5, alpha=1e-4, beta=0.75)
            blobs[step + stage] = maps
        return maps


class AlexNet(CaffeNet):
    """The BVLC AlexNet: as `CaffeNet`, with normalization before max pooling.

    References: ``models/bvlc_alexnet/deploy.prototxt`` of Caffe; Krizhevsky et al. 2012.
    """

    normalize_first = True
