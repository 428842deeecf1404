"""A start from coarser images, for fidelities so low that smoothing reaches across the image.

A sweep carries information a few pixels far. Where the minimum is almost flat, hundreds of sweeps
are needed, unless the flat parts are found first on an image of half the size, and so on. Pixels of
twice the width turn the energy into that of the smaller image at twice the fidelity, and the dual
variable ``p = penalty * b``, of length at most one, keeps its meaning.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from mfvjax.priors.checkerboard import Checkerboard
from mfvjax.priors.tv_sweep import Cells, SplitBregman

# Halving smaller images gains nothing.
_SMALLEST = 8


def coarse_start(
    method: SplitBregman,
    cells: tuple[Array, Array],
    fidelity: Float[Array, " n"],
    levels: int,
    num_sweeps: int,
) -> tuple[Cells, Cells]:
    """The state before the first sweep, from the result on an image of half the size.

    Args:
      method: of the full size; rule ``"isotropic"`` or ``"anisotropic"``.
      cells: the framed images, red and black.
      fidelity: of the full size.
      levels: how many times to halve, each with a start from the next; less for small images.
      num_sweeps: over each of the smaller images.
    """
    board = method.board
    if levels == 0 or min(board.height, board.width) < 2 * _SMALLEST:
        return method.start(cells)
    images = _halved(board.join(*cells))
    small_board = dataclasses.replace(board, height=images.shape[-2], width=images.shape[-1])
    small_cells = small_board.split(small_board.frame(images))
    small = SplitBregman.build(small_board, method.rule, small_cells, 2 * fidelity)
    state = coarse_start(small, small_cells, 2 * fidelity, levels - 1, num_sweeps)
    state = small.sweeps(state, num_sweeps)
    values = [_doubled(value, board) for value in _primal_and_dual(small, state)]
    return _resumed(method, *values)


def _primal_and_dual(method: SplitBregman, cells: tuple[Cells, Cells]) -> tuple[Array, ...]:
    """Images u and the two components of p, ``(n, c, h, w)`` each."""
    both = [
        (own.u, *(t * (1 - m) / 2 for t, m in ((own.tx, own.m[0]), (own.ty, own.m[-1]))))
        for own in cells
    ]
    u, bx, by = (method.board.join(*pair) for pair in zip(*both, strict=True))
    penalty = method.penalty[..., None]
    return u, penalty * bx, penalty * by


def _resumed(method: SplitBregman, u: Array, px: Array, py: Array) -> tuple[Cells, Cells]:
    """The state with the given images and dual: t is their gradient plus b."""
    board, penalty = method.board, method.penalty[..., None]
    tx = jnp.diff(u, axis=-1) + px[..., :-1] / penalty
    ty = jnp.diff(u, axis=-2) + py[..., :-1, :] / penalty
    tx = jnp.pad(tx, [(0, 0)] * 3 + [(0, 1)])
    ty = jnp.pad(ty, [(0, 0)] * 2 + [(0, 1), (0, 0)])
    values, right, down = (board.split(board.frame(plane)) for plane in (u, tx, ty))
    red, black = (
        method.with_multipliers(own._replace(tx=tx, ty=ty))
        for own, tx, ty in zip(method.start(values), right, down, strict=True)
    )
    return red, black


def _halved(images: Float[Array, "n c h w"]) -> Float[Array, "n c half_h half_w"]:
    """Means of 2 x 2 pixels; an odd last row or column counts twice."""
    height, width = images.shape[-2:]
    even = jnp.pad(images, [(0, 0)] * 2 + [(0, height % 2), (0, width % 2)], mode="edge")
    blocks = even.reshape(*even.shape[:2], even.shape[2] // 2, 2, even.shape[3] // 2, 2)
    return jnp.mean(blocks, axis=(3, 5))


def _doubled(images: Array, board: Checkerboard) -> Array:
    """Each pixel as 2 x 2, cut to the size of `board`."""
    twice = jnp.repeat(jnp.repeat(images, 2, axis=-2), 2, axis=-1)
    return twice[..., : board.height, : board.width]
