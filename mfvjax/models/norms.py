"""Normalization with Caffe's rules: local response normalization, stored batch statistics."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float


def at_least_float32(dtype: DTypeLike) -> DTypeLike:
    """The type to sum values of `dtype` in: float32 for narrower ones."""
    return dtype if jnp.dtype(dtype).itemsize >= 4 else jnp.float32


def local_response_norm(
    maps: Float[Array, "batch height width channels"],
    *,
    local_size: int = 5,
    alpha: float = 1.0,
    beta: float = 0.75,
    k: float = 1.0,
    within_channel: bool = False,
) -> Float[Array, "batch height width channels"]:
    """Divides by ``(k + alpha / n * sum of n neighbors squared) ** beta``, n neighbors as in `LRN`.

    Source: Caffe's ``lrn_layer.cpp``. Differs in: nothing.
    """
    exact = maps.astype(at_least_float32(maps.dtype))
    window = (1, local_size, local_size, 1) if within_channel else (1, 1, 1, local_size)
    half = local_size // 2
    sums = lax.reduce_window(
        exact * exact,
        np.array(0, exact.dtype),
        lax.add,
        window,
        (1, 1, 1, 1),
        [(half, half) if size > 1 else (0, 0) for size in window],
    )
    count = local_size**2 if within_channel else local_size
    divisor = k + sums * (alpha / count)
    if beta == 0.75:  # the published value; two roots are twice as fast as a power
        return (exact * lax.rsqrt(divisor) * lax.rsqrt(lax.sqrt(divisor))).astype(maps.dtype)
    return (exact * divisor**-beta).astype(maps.dtype)


def batch_norm(
    inputs: Float[Array, "*batch channels"],
    mean: Float[Array, " channels"],
    variance: Float[Array, " channels"],
    *,
    epsilon: float = 1e-5,
) -> Float[Array, "*batch channels"]:
    """``(inputs - mean) / sqrt(variance + epsilon)`` per channel, with stored statistics.

    Source: Caffe's ``batch_norm_layer.cpp`` outside training. Differs in: nothing.
    """
    shape = (1,) * (inputs.ndim - 1) + (-1,)
    return (inputs - mean.reshape(shape)) * lax.rsqrt(variance + epsilon).reshape(shape)
