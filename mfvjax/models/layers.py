"""Layers that every model shares, with Caffe's rules, for maps in (batch, row, column, channel).

Functions take arrays and keyword options; ``Conv`` and ``Dense`` also hold parameters. Float32 and
float64 are computed exactly (``precision`` highest, no TF32), other types at the device's default.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mfvjax.models.norms import batch_norm as batch_norm
from mfvjax.models.norms import local_response_norm as local_response_norm
from mfvjax.models.ops import Pair
from mfvjax.models.pooling import average_pool as average_pool
from mfvjax.models.pooling import max_pool as max_pool

_MAX_SPLIT_GROUPS = 8


def precision_of(dtype: DTypeLike) -> lax.Precision:
    """Exact products for float32 and wider, the device's fastest for narrower types."""
    return lax.Precision.HIGHEST if jnp.dtype(dtype).itemsize >= 4 else lax.Precision.DEFAULT


def convolve(
    maps: Float[Array, "batch height width channels"],
    kernel: Float[Array, "rows columns group_channels features"],
    *,
    stride: Pair = (1, 1),
    pad: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Float[Array, "batch out_height out_width features"]:
    """Convolves maps; sizes are ``(rows, columns)`` and output sizes round down.

    A few groups are computed one by one and joined, which a CPU differentiates twice as fast as
    one grouped convolution; many groups (depthwise) stay one operation.

    Args:
      kernel: group g makes features ``g * features / groups`` on, from its own input channels.

    Source: Caffe's ``conv_layer.cpp``.
    """
    splits = groups if groups <= _MAX_SPLIT_GROUPS else 1
    parts = [
        lax.conv_general_dilated(
            part,
            weights,
            window_strides=stride,
            padding=[(pad[0], pad[0]), (pad[1], pad[1])],
            rhs_dilation=dilation,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups // splits,
            precision=precision_of(maps.dtype),
        )
        for part, weights in zip(
            jnp.split(maps, splits, axis=-1), jnp.split(kernel, splits, axis=-1), strict=True
        )
    ]
    return parts[0] if splits == 1 else jnp.concatenate(parts, axis=-1)


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
