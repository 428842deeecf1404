"""Layers that every model shares, with Caffe's rules, for maps in (batch, row, column, channel).

Functions take arrays and keyword options; ``Conv`` and ``Dense`` also hold parameters. Float32 and
float64 are computed exactly (``precision`` highest, no TF32) unless `float32_products` says
otherwise, other types at the device's default.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mfvjax.models.convolution import convolve as convolve
from mfvjax.models.norms import batch_norm as batch_norm
from mfvjax.models.norms import local_response_norm as local_response_norm
from mfvjax.models.pooling import average_pool as average_pool
from mfvjax.models.pooling import max_pool as max_pool
from mfvjax.models.products import float32_products as float32_products
from mfvjax.models.products import precision_of as precision_of


def dense(
    inputs: Float[Array, "batch *shape"], kernel: Float[Array, "inputs outputs"]
) -> Float[Array, "batch outputs"]:
    """Matrix product; maps are flattened in row, column, channel order first."""
    flat = inputs.reshape(inputs.shape[0], -1)
    return jnp.matmul(flat, kernel, precision=precision_of(inputs.dtype))


def along(
    vector: Float[Array, "*sizes"], axes: tuple[int, ...], rank: int
) -> Float[Array, "*broadcastable"]:
    """`vector`, whose axes are `axes` (from the end) of an array of `rank`, ready to broadcast."""
    shape = [1] * rank
    for axis, size in zip(axes, vector.shape, strict=True):
        shape[axis] = size
    return vector.reshape(shape)


def add_bias(
    inputs: Float[Array, "*batch channels"], bias: Float[Array, " channels"]
) -> Float[Array, "*batch channels"]:
    """Adds one number per channel."""
    return inputs + along(bias, (-1,), inputs.ndim)


class Conv(nnx.Module):
    """Convolution with parameters ``kernel`` ``(rows, columns, channels / groups, features)``.

    Args:
      features: output channels.
      kernel_size, stride, pad: of rows and columns alike.
      dtype: of the computation; parameters are kept in `param_dtype`.
    """

    def __init__(
        self,
        channels: int,
        features: int,
        *,
        kernel_size: int,
        stride: int = 1,
        pad: int = 0,
        groups: int = 1,
        rngs: nnx.Rngs,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
    ) -> None:
        shape = (kernel_size, kernel_size, channels // groups, features)
        self.kernel = nnx.Param(initial("kernel", shape, rngs, param_dtype))
        self.bias = nnx.Param(initial("bias", (features,), rngs, param_dtype))
        self.stride, self.pad, self.groups, self.dtype = stride, pad, groups, dtype

    def __call__(
        self, maps: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch out_height out_width features"]:
        """The convolved maps, before any rectifier."""
        outputs = convolve(
            maps.astype(self.dtype),
            self.kernel[...].astype(self.dtype),
            stride=(self.stride, self.stride),
            pad=(self.pad, self.pad),
            groups=self.groups,
        )
        return add_bias(outputs, self.bias[...].astype(self.dtype))


class Dense(nnx.Module):
    """Dense layer with parameters ``kernel`` ``(inputs, outputs)`` and ``bias``; flattens maps."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        rngs: nnx.Rngs,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
    ) -> None:
        self.kernel = nnx.Param(initial("kernel", (inputs, outputs), rngs, param_dtype))
        self.bias = nnx.Param(initial("bias", (outputs,), rngs, param_dtype))
        self.dtype = dtype

    def __call__(self, inputs: Float[Array, "batch *shape"]) -> Float[Array, "batch outputs"]:
        """The layer's outputs, before any rectifier."""
        outputs = dense(inputs.astype(self.dtype), self.kernel[...].astype(self.dtype))
        return add_bias(outputs, self.bias[...].astype(self.dtype))


def initial(
    name: str, shape: tuple[int, ...], rngs: nnx.Rngs, dtype: DTypeLike
) -> Float[Array, "*shape"]:
    """Starting value of a parameter by its name; kernels keep the scale of rectified maps."""
    if name == "kernel":
        return jax.nn.initializers.he_normal()(rngs.params(), shape, dtype)
    value = {"bias": 0.0, "mean": 0.0, "slope": 0.25}.get(name, 1.0)
    return jnp.full(shape, value, dtype)
