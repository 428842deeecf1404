"""Raster order in parallel: the sweeps of a sequential method, exactly, in staggered diagonals.

A sweep in raster order may update a pixel as soon as its upper and left neighbors are done, and the
next sweep may follow two diagonals behind. So sweep s updates diagonal d (row + column) at time
``t = d + 2 s``, and what moves at time t is every pixel of one color whose diagonal is in reach: a
red-black half sweep with a mask that grows from one corner and shrinks into the other. S sweeps of
an ``h x w`` image take ``2 S + h + w - 2`` such steps, and the result is that of the sequential
loop up to rounding.
"""

from __future__ import annotations

from typing import TypeAlias

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from mfvjax.priors.checkerboard import BLACK, RED, Checkerboard
from mfvjax.priors.tv_sweep import RELEASE, Cells, SplitBregman

Diagonals: TypeAlias = tuple[Int[Array, " window"], Int[Array, " window"]]


def raster_sweeps(
    method: SplitBregman,
    cells: tuple[Cells, Cells],
    num_sweeps: Int[Array, " n"],
    *,
    longest: int | Int[Array, ""],
) -> tuple[Cells, Cells]:
    """The state after `num_sweeps` sweeps in raster order, a number per image.

    Args:
      method: of the images.
      cells: the state before.
      num_sweeps: over each image.
      longest: the largest of them; an ``int`` gives a loop whose length compilers see.
    """
    board = method.board
    num_steps = board.height + board.width - 2 + 2 * longest
    diagonals = _diagonals(board)

    def two_steps(index: Array, cells: tuple[Cells, Cells]) -> tuple[Cells, Cells]:
        for color in (RED, BLACK):
            cells, _ = _step(method, diagonals, color, 2 * index + color, num_sweeps, cells)
        return cells

    return lax.fori_loop(0, (num_steps + 1) // 2, two_steps, cells)


def sweeps_to_tolerance(
    method: SplitBregman,
    cells: tuple[Cells, Cells],
    num_sweeps: int,
    tolerance: Float[Array, " n"],
) -> Int[Array, " n"]:
    """Sweeps that each image takes in raster order until one changes it by at most `tolerance`.

    Sweeps overlap, so the squared changes of a time step are added up by diagonal, that is by
    sweep. The answer comes from a run of its own, whose result is of no use: by the time a sweep
    is found to be the last one, the upper left of the image is many sweeps ahead.
    """
    board = method.board
    count, channels = cells[RED].u.shape[:2]
    pixels = board.height * board.width * channels
    diagonals = _diagonals(board)
    last = board.height + board.width - 2
    limit = jnp.full(count, num_sweeps, jnp.int32)
    ends = last + 2 * jnp.arange(num_sweeps, dtype=jnp.int32)  # of each sweep, in steps

    def converged(sums: Array, time: Array) -> Bool[Array, "n sweeps"]:
        change = jnp.sqrt(sums / pixels)
        return (ends < time).reshape(1, -1) & (change <= tolerance.reshape(-1, 1))

    def going_on(carry: tuple) -> Array:
        index, sums, _ = carry
        time = 2 * index
        unfinished = ~jnp.all(jnp.any(converged(sums, time), axis=1))
        return unfinished & (time <= ends[-1])

    def two_steps(carry: tuple) -> tuple:
        index, sums, cells = carry
        for color in (RED, BLACK):
            time = 2 * index + color
            cells, squares = _step(method, diagonals, color, time, limit, cells)
            first = jnp.arange(color, last + 1, 2, dtype=jnp.int32)
            by_diagonal = _diagonal_sums(board, diagonals[color], color, squares)
            sweep = (time - first) // 2  # negative ones would count from the end: put past it
            sweep = jnp.where(sweep < 0, num_sweeps, sweep)
            sums = sums.at[:, sweep].add(by_diagonal, mode="drop")
        return index + 1, sums, cells

    sums = jnp.zeros((count, num_sweeps), cells[RED].u.dtype)
    index, sums, _ = lax.while_loop(going_on, two_steps, (jnp.int32(0), sums, cells))
    done = converged(sums, 2 * index)
    return jnp.where(jnp.any(done, axis=1), jnp.argmax(done, axis=1) + 1, num_sweeps).astype(
        jnp.int32
    )


def _step(
    method: SplitBregman,
    diagonals: Diagonals,
    color: int,
    time: Array,
    num_sweeps: Int[Array, " n"],
    cells: tuple[Cells, Cells],
) -> tuple[tuple[Cells, Cells], Float[Array, "n c window"]]:
    """What moves at `time`, all of one color, and the squared changes of u."""
    other = 1 - color
    own, rest = cells[color], cells[other]
    where = _in_reach(diagonals[color], time, num_sweeps)
    if method.rule == RELEASE:
        moved = method.move_release(color, own, rest, where)
    else:
        moved = method.move_u(color, own, rest, where)
        # The diagonal before has both its differences now.
        behind = _in_reach(diagonals[other], time - 1, num_sweeps)
        rest = method.move_t(other, rest, moved, behind)
    squares = jnp.square(method.board.window(moved.u) - method.board.window(own.u))
    return ((moved, rest) if color == RED else (rest, moved)), squares


def _diagonals(board: Checkerboard) -> Diagonals:
    """Row plus column of each cell of the window by color, -1 in the frame; computed once."""
    both = []
    for color in (RED, BLACK):
        row, column = board.positions(color)
        inside = (row >= 0) & (row < board.height) & (column >= 0) & (column < board.width)
        both.append(jnp.where(inside, row + column, -1))
    return both[RED], both[BLACK]


def _in_reach(
    diagonal: Int[Array, " window"], time: Array, num_sweeps: Int[Array, " n"]
) -> Bool[Array, "n 1 window"]:
    age = (time - diagonal).reshape(1, 1, -1)
    moving = (age >= 0) & (age < 2 * num_sweeps.reshape(-1, 1, 1))
    return moving & (diagonal >= 0).reshape(1, 1, -1)


def _diagonal_sums(
    board: Checkerboard,
    diagonal: Int[Array, " window"],
    color: int,
    values: Float[Array, "n c window"],
) -> Float[Array, "n diagonals"]:
    """Sums over channels and over the diagonals of `color`, in their order.

    Cells of one diagonal lie half a row apart, less one: in rows of that length they form columns.
    """
    stride = board.row_length // 2
    first_column = board.first_pixel - board.start
    diagonal = diagonal[first_column:]
    total = jnp.sum(values, axis=1)[:, first_column:]
    spare = -total.shape[-1] % stride
    count = (board.height + board.width - color) // 2
    sums = []
    for first in range(0, count, stride):  # diagonals that share a column take turns
        mine = (diagonal >= 2 * first) & (diagonal < 2 * (first + stride))
        part = jnp.where(mine.reshape(1, -1), total, 0)
        sums.append(jnp.pad(part, [(0, 0), (0, spare)]).reshape(part.shape[0], -1, stride).sum(1))
    return jnp.concatenate(sums, axis=1)[:, :count]
