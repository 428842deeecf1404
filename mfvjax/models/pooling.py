"""Pooling with Caffe's rules: sizes round up, and averages count the padded frame."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from mfvjax.models.ops import Pair, Pooling


def max_pool(
    maps: Float[Array, "batch height width channels"],
    *,
    kernel: Pair,
    stride: Pair = (1, 1),
    pad: Pair = (0, 0),
    round_up: bool = True,
) -> Float[Array, "batch out_height out_width channels"]:
    """Largest value of each window; padding never wins.

    Source: Caffe's ``pooling_layer.cpp``. Differs in: nothing.
    """
    plan = Pooling("max", kernel, stride, pad, round_up)
    return lax.reduce_window(
        maps,
        jnp.asarray(-jnp.inf, maps.dtype),
        lax.max,
        (1, *kernel, 1),
        (1, *stride, 1),
        _padding(plan, maps.shape[1:]),
    )


def average_pool(
    maps: Float[Array, "batch height width channels"],
    *,
    kernel: Pair,
    stride: Pair = (1, 1),
    pad: Pair = (0, 0),
    round_up: bool = True,
) -> Float[Array, "batch out_height out_width channels"]:
    """Sum of each window over the number of its cells inside the padded frame.

    Source: Caffe's ``pooling_layer.cpp``. Differs in: nothing.
    """
    plan = Pooling("average", kernel, stride, pad, round_up)
    sums = lax.reduce_window(
        maps,
        jnp.asarray(0, maps.dtype),
        lax.add,
        (1, *kernel, 1),
        (1, *stride, 1),
        _padding(plan, maps.shape[1:]),
    )
    rows, columns = (
        _window_sizes(plan, axis, maps.shape[1 + axis], sums.shape[1 + axis]) for axis in (0, 1)
    )
    cells = (rows[:, None] * columns[None, :])[None, :, :, None]
    return sums / jnp.broadcast_to(jnp.asarray(cells, maps.dtype), sums.shape)


def _padding(plan: Pooling, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    sizes = plan.output_shapes([shape], 1)[0]
    padding = [(0, 0)]
    for axis in (0, 1):
        end = (sizes[axis] - 1) * plan.stride[axis] + plan.kernel[axis]
        padding.append((plan.pad[axis], end - shape[axis] - plan.pad[axis]))
    return [*padding, (0, 0)]


def _window_sizes(plan: Pooling, axis: int, size: int, windows: int) -> np.ndarray:
    starts = np.arange(windows) * plan.stride[axis] - plan.pad[axis]
    return np.minimum(starts + plan.kernel[axis], size + plan.pad[axis]) - starts
