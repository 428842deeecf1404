"""Jitter: where an ascent step crops the canvas, and how the crop is written back."""

from __future__ import annotations

from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from mfvjax.types import Key

Jitter: TypeAlias = Literal["center", "uniform"]


def crop_offset(
    key: Key,
    *,
    canvas_size: tuple[int, int],
    window_size: tuple[int, int],
    offset_std: ArrayLike = 0.3,
    jitter: Jitter = "center",
) -> Int[Array, 2]:
    """Draws the top-left corner of a crop, each axis on its own.

    ``"center"`` is the bias toward the center: ``clip(int(normal(free / 2, free * offset_std)), 0,
    free)`` with ``free = canvas - window``; ``int`` cuts toward zero, so crops lie half a pixel up
    and left of the center on average. ``"uniform"`` gives each of the ``free + 1`` offsets the same
    probability.

    Args:
      key: one crop's key.
      canvas_size: ``(height, width)`` in pixels.
      window_size: ``(height, width)`` of the crop, no larger than the canvas.
      offset_std: >= 0, standard deviation as a fraction of the free range; may be traced. Unused by
        ``"uniform"``.
      jitter: the distribution.

    Returns:
      ``(row, column)``, each in ``[0, free]``.

    Raises:
      ValueError: the window is larger than the canvas, or `jitter` is not one of the two.

    References:
      Nguyen et al. 2016, section S2.3; its released script draws offsets this way.
    """
    free = tuple(c - w for c, w in zip(canvas_size, window_size, strict=True))
    if min(free) < 0:
        raise ValueError(
            f"window_size {tuple(window_size)} does not fit into canvas_size {tuple(canvas_size)}; "
            "the crop may at most be as large as the canvas"
        )
    if jitter not in ("center", "uniform"):
        raise ValueError(f"jitter {jitter!r} is unknown; it is 'center' or 'uniform'")
    return offset_within(key, jnp.asarray(free, jnp.int32), offset_std=offset_std, jitter=jitter)


def offset_within(
    key: Key, free: Int[Array, 2], *, offset_std: ArrayLike = 0.3, jitter: Jitter = "center"
) -> Int[Array, 2]:
    """`crop_offset` of a canvas that is `free` pixels larger than the window; may be traced."""
    if jitter == "uniform":
        return jax.random.randint(key, (2,), 0, free + 1, jnp.int32)
    span = free.astype(jnp.float32)
    std = jnp.broadcast_to(jnp.asarray(offset_std, jnp.float32), (2,))
    draw = span / 2 + span * std * jax.random.normal(key, (2,))
    return jnp.clip(draw.astype(jnp.int32), 0, free)


def crop(
    canvas: Float[Array, "h w c"], offset: Int[Array, 2], size: tuple[int, int]
) -> Float[Array, "a b c"]:
    """The window of `size` ``(height, width)`` whose top-left pixel is at `offset`."""
    start = (offset[0], offset[1], jnp.zeros_like(offset[0]))
    return jax.lax.dynamic_slice(canvas, start, (*size, canvas.shape[-1]))


def paste(
    canvas: Float[Array, "h w c"], window: Float[Array, "a b c"], offset: Int[Array, 2]
) -> Float[Array, "h w c"]:
    """The canvas with `window` written at `offset`, the rest unchanged."""
    start = (offset[0], offset[1], jnp.zeros_like(offset[0]))
    return jax.lax.dynamic_update_slice(canvas, window, start)


def margin_mask(size: tuple[int, int], margin_px: ArrayLike) -> Float[Array, "h w 1"]:
    """One inside, zero on the outer `margin_px` pixels of a window of `size` ``(height, width)``.

    The gradient is multiplied by it: with a margin of 50 only the central 127 x 127 of 227 x 227
    pixels move. `margin_px` may be traced; a margin of half the window or more leaves nothing.
    """
    margin = jnp.asarray(margin_px, jnp.int32)
    inside = [(jnp.arange(n) >= margin) & (jnp.arange(n) < n - margin) for n in size]
    return (inside[0].reshape(-1, 1, 1) & inside[1].reshape(1, -1, 1)).astype(jnp.float32)
