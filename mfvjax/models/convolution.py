"""Convolution whose derivative toward the maps is fast on a processor, too, in either mode.

XLA's processor backend has a fast convolution, but takes it only for maps without holes and, inside
a loop such as the ascent's, only for a kernel stored as (rows, columns, channels, features). The
gradient that JAX derives meets neither: a stride spreads what comes in over holes, and the kernel's
channels and features are exchanged. So the derivative is written over blocks of pixels, where the
stride is 1, and with a kernel that is exchanged beforehand, so that its transpose has it in order.
In CaffeNet's first layer it is three times as fast; SqueezeNet's ascent takes 1.6 times as long
without.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from mfvjax.models.ops import Pair
from mfvjax.models.products import precision_of

_MAX_SPLIT_GROUPS = 8


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
    one grouped convolution; many groups (depthwise) stay one operation. Can be differentiated in
    forward and reverse mode, to any order.

    Args:
      kernel: group g makes features ``g * features / groups`` on, from its own input channels.

    Source: Caffe's ``conv_layer.cpp``.
    """
    window = _Window(stride, pad, dilation, precision_of(maps.dtype))
    if groups > _MAX_SPLIT_GROUPS:
        return _plain(maps, kernel, window, groups)
    parts = [
        _convolve(part, weights, window)
        for part, weights in zip(
            jnp.split(maps, groups, axis=-1), jnp.split(kernel, groups, axis=-1), strict=True
        )
    ]
    return parts[0] if groups == 1 else jnp.concatenate(parts, axis=-1)


class _Window(NamedTuple):
    stride: Pair
    pad: Pair
    dilation: Pair
    precision: lax.Precision


def _plain(
    maps: Array, kernel: Array, window: _Window, groups: int = 1, layout: str = "HWIO"
) -> Array:
    return lax.conv_general_dilated(
        maps,
        kernel,
        window_strides=window.stride,
        padding=[(pad, pad) for pad in window.pad],
        rhs_dilation=window.dilation,
        dimension_numbers=("NHWC", layout, "NHWC"),
        feature_group_count=groups,
        precision=window.precision,
    )


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _convolve(maps: Array, kernel: Array, window: _Window) -> Array:
    return _plain(maps, kernel, window)


def _tangent(
    window: _Window, primals: tuple[Array, Array], tangents: tuple[Any, Any]
) -> tuple[Array, Array]:
    """The value, and its change with the maps and the kernel, linear in each of `tangents`.

    A tangent that is zero for sure comes as a symbol and costs nothing.
    """
    maps, kernel = primals
    of_maps, of_kernel = tangents
    value = _convolve(maps, kernel, window)
    changes = []
    if not _is_zero(of_maps):
        fast = functools.partial(_rewritten(window), window=window)
        plain = functools.partial(_plain, window=window)
        changes.append(lax.platform_dependent(of_maps, kernel, cpu=fast, default=plain))
    if not _is_zero(of_kernel):
        changes.append(_plain(maps, of_kernel, window))
    return value, sum(changes[1:], changes[0]) if changes else jnp.zeros_like(value)


_convolve.defjvp(_tangent, symbolic_zeros=True)


def _is_zero(tangent: Any) -> bool:
    return isinstance(tangent, jax.custom_derivatives.SymbolicZero)


def _rewritten(window: _Window) -> Callable[..., Array]:
    """The same convolution, in a form whose transpose is fast."""
    if window.stride == (1, 1):
        return _exchanged
    return _in_blocks if window.dilation == (1, 1) else _plain


def _exchanged(maps: Array, kernel: Array, window: _Window) -> Array:
    """A convolution whose transpose finds its kernel as the processor wants it."""
    return _plain(maps, kernel.transpose(0, 1, 3, 2), window, layout="HWOI")


def _in_blocks(maps: Array, kernel: Array, window: _Window) -> Array:
    """The strided convolution over blocks of ``stride`` pixels; it is its transpose that is fast.

    The pixels of a block are its channels, so the stride is 1. The kernel grows with zeros to whole
    blocks, and maps lose or gain pixels until the last window's blocks end with them.
    """
    spare = [-k % s for k, s in zip(kernel.shape[:2], window.stride, strict=True)]
    whole = jnp.pad(kernel, ((0, spare[0]), (0, spare[1]), (0, 0), (0, 0)))
    edges = [
        (pad, (side + 2 * pad - k) // s * s + wide - pad - side, 0)
        for side, k, wide, pad, s in zip(
            maps.shape[1:3], kernel.shape, whole.shape, window.pad, window.stride, strict=False
        )
    ]
    framed = lax.pad(maps, jnp.zeros((), maps.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    blocks = _blocks(whole.transpose(3, 0, 1, 2), window.stride).transpose(1, 2, 3, 0)
    unit = window._replace(stride=(1, 1), pad=(0, 0))
    return _exchanged(_blocks(framed, window.stride), blocks, unit)


def _blocks(maps: Array, size: Pair) -> Array:
    """Maps of blocks of `size` ``(rows, columns)``, their pixels and channels as channels."""
    batch, height, width, channels = maps.shape
    rows, columns = height // size[0], width // size[1]
    cells = maps.reshape(batch, rows, size[0], columns, size[1], channels)
    return cells.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows, columns, -1)
