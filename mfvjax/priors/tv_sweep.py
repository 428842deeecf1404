"""One sweep of split Bregman over a checkerboard, for the three shrinkage rules.

Per pixel, with penalty g, the method keeps the denoised value u and the vector t of Goldstein and
Osher's auxiliary variables, ``t = grad u + b``. Everything else follows from t: with
``d = shrink(t)`` and ``b = t - d``, the combination that the pixel update needs is
``d - b = 2 shrink(t) - t``. For each of the rules that is t times a multiplier m in [-1, 1), and m
is stored beside t, so that no update computes a root or a quotient for its neighbors.

Two ways to run, chosen by the board. A processor changes the window of each array in place, which
its compiler does only while nothing else still reads the old value: where two updates read each
other's old values, an index that depends on the first result (`after`) makes the order plain;
without it every sweep would copy whole arrays. An accelerator would wait for each such index. On a
`whole` board nothing is written in the middle of an array, so that updates of the same cells become
one kernel, and a few sweeps in a row (`UNROLLED`) go from one set of buffers to another and back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from mfvjax.priors.checkerboard import BLACK, RED, Checkerboard

Rule: TypeAlias = Literal["isotropic", "anisotropic", "scikit-image"]
RELEASE: Rule = "scikit-image"

# Over-relaxation of the auxiliary variables saves sweeps; 1 would be the plain method.
RELAXATION = 1.5

# Sweeps of a whole board that are compiled in a row, without a loop around each.
UNROLLED = 4


class Cells(NamedTuple):
    """The state of one color: arrays ``(images, channels, cells)``.

    Attributes:
      u: denoised values; frame cells hold what the border rule wants there and never change.
      tx: t toward the right neighbor; zero in the frame.
      ty: t toward the lower neighbor; zero in the frame.
      m: multipliers of tx and ty, one array where both share it.
      rest: what the next update of u takes from the pixel itself; empty but for the release's rule.
    """

    u: Float[Array, "n c cells"]
    tx: Float[Array, "n c cells"]
    ty: Float[Array, "n c cells"]
    m: tuple[Float[Array, "n c cells"], ...]
    rest: Float[Array, "n c rest"]


class Stencil(NamedTuple):
    """What is constant for one color, over its window.

    Attributes:
      data: the fidelity term of the pixel update; in the frame the cell's fixed value.
      gain: one over the diagonal of the pixel update; zero in the frame.
      right: where the pixel has a right difference.
      down: where it has a lower one.
    """

    data: Float[Array, "n c window"]
    gain: Float[Array, "n 1 window"]
    right: Bool[Array, "1 1 window"]
    down: Bool[Array, "1 1 window"]


@dataclasses.dataclass(frozen=True)
class SplitBregman:
    """The method for one batch: geometry, rule and constants, and the moves of one color."""

    board: Checkerboard
    rule: Rule
    penalty: Float[Array, "n 1 1"]
    stencils: tuple[Stencil, Stencil]

    @classmethod
    def build(
        cls,
        board: Checkerboard,
        rule: Rule,
        cells: tuple[Array, Array],
        fidelity: Float[Array, " n"],
    ) -> SplitBregman:
        """Constants for framed images given as red and black `cells` ``(n, c, length)``."""
        fidelity = fidelity.reshape(-1, 1, 1)
        # The release ties the penalty to the fidelity; a penalty that grows with its root needs the
        # fewest sweeps on photographs in [0, 255], over the whole range of published fidelities.
        penalty = 2 * fidelity if rule == RELEASE else jnp.sqrt(fidelity) / 2
        stencils = [
            _stencil(board, rule, color, cells[color], fidelity / penalty) for color in (RED, BLACK)
        ]
        return cls(board, rule, penalty, (stencils[RED], stencils[BLACK]))

    def start(self, cells: tuple[Array, Array]) -> tuple[Cells, Cells]:
        """The state before the first sweep: u is the image, t is zero."""
        zero = jnp.zeros_like(cells[RED])
        m = (self._write(zero, self.board.window(zero) - 1, None),) * (
            2 if self.rule == "anisotropic" else 1
        )
        red, black = (Cells(u, zero, zero, m, zero[..., :0]) for u in cells)
        if self.rule == RELEASE:
            red, black = (
                own._replace(rest=self._write(zero, stencil.data, None))
                for own, stencil in zip((red, black), self.stencils, strict=True)
            )
        return red, black

    def sweeps(self, cells: tuple[Cells, Cells], count: int) -> tuple[Cells, Cells]:
        """`count` red-black sweeps, in a loop whose length compilers see."""
        unroll = min(count, UNROLLED) if self.board.whole else 1
        return lax.fori_loop(0, count, lambda _, now: self.sweep(*now), cells, unroll=unroll)

    def sweep(self, red: Cells, black: Cells) -> tuple[Cells, Cells]:
        """One red-black sweep of the whole image."""
        if self.rule == RELEASE:
            red = self.move_release(RED, red, black)
            return red, self.move_release(BLACK, black, red)
        red = self.move_u(RED, red, black)
        black = self.move_u(BLACK, black, red)
        return self.move_t(RED, red, black), self.move_t(BLACK, black, red)

    def move_release(
        self, color: int, own: Cells, other: Cells, where: Bool[Array, "n 1 window"] | None = None
    ) -> Cells:
        """Moves `color` as scikit-image does: t follows from differences before u moves."""
        read = self.board.window
        stencil = self.stencils[color]
        tx, ty = self._moved_t(color, own, other, 1.0, where)
        u = self._write(
            own.u,
            read(own.rest) + stencil.gain * self._neighbors(color, other),
            where,
            after=(tx, ty),
        )
        own = self.with_multipliers(own._replace(u=u, tx=tx, ty=ty), where)
        rest = stencil.data - stencil.gain * (read(own.m[0]) * (read(own.tx) + read(own.ty)))
        return own._replace(rest=self._write(own.rest, rest, where, after=(u,)))

    def move_u(
        self, color: int, own: Cells, other: Cells, where: Bool[Array, "n 1 window"] | None = None
    ) -> Cells:
        """Moves the pixels of `color` to the minimum of the quadratic part."""
        read = self.board.window
        stencil = self.stencils[color]
        own_part = read(own.m[0]) * read(own.tx) + read(own.m[-1]) * read(own.ty)
        update = stencil.data + stencil.gain * (self._neighbors(color, other) - own_part)
        return own._replace(u=self._write(own.u, update, where))

    def move_t(
        self, color: int, own: Cells, other: Cells, where: Bool[Array, "n 1 window"] | None = None
    ) -> Cells:
        """Moves the auxiliary variables of `color` after u, over-relaxed."""
        tx, ty = self._moved_t(color, own, other, RELAXATION, where)
        return self.with_multipliers(own._replace(tx=tx, ty=ty), where)

    def with_multipliers(self, own: Cells, where: Bool[Array, "n 1 window"] | None = None) -> Cells:
        """Cells with m as it follows from t."""
        tx, ty = self.board.window(own.tx), self.board.window(own.ty)
        if self.rule == "anisotropic":
            sizes = [self.penalty * jnp.abs(tx), self.penalty * jnp.abs(ty)]
        else:
            sizes = [self.penalty * jnp.sqrt(tx * tx + ty * ty)]
        # 2 shrink(t) / t - 1, for the smooth shrink s / (s + 1) and for the threshold at s = 1.
        moved = [1 - 2 / (s + 1 if self.rule == RELEASE else jnp.maximum(s, 1)) for s in sizes]
        written = [self._write(m, new, where) for m, new in zip(own.m, moved, strict=True)]
        return own._replace(m=tuple(written))

    def _neighbors(self, color: int, other: Cells) -> Float[Array, "n c window"]:
        """Sum over the four neighbors, and of ``d - b`` of the left and the upper one."""
        read, shifts = self.board.window, self.board.shifts(color)
        total = read(other.u, shifts.right) + read(other.u, shifts.left)
        total = total + read(other.u, shifts.down) + read(other.u, shifts.up)
        total = total + read(other.m[0], shifts.left) * read(other.tx, shifts.left)
        return total + read(other.m[-1], shifts.up) * read(other.ty, shifts.up)

    def _moved_t(
        self, color: int, own: Cells, other: Cells, relaxation: float, where: Array | None
    ) -> tuple[Array, Array]:
        read, shifts = self.board.window, self.board.shifts(color)
        stencil = self.stencils[color]

        def moved(t: Array, m: Array, shift: int, inside: Array) -> Array:
            difference = relaxation * (read(other.u, shift) - read(own.u))
            keep = 1 - relaxation / 2 * (1 + read(m))  # b, and the relaxed share of d
            return self._write(t, jnp.where(inside, difference + keep * read(t), 0), where)

        tx = moved(own.tx, own.m[0], shifts.right, stencil.right)
        return tx, moved(own.ty, own.m[-1], shifts.down, stencil.down)

    def _write(
        self, cells: Array, window: Array, where: Array | None, after: Sequence[Array] = ()
    ) -> Array:
        """Cells with their window replaced, where `where` allows, once `after` are computed."""
        if where is not None:
            window = jnp.where(where, window, self.board.window(cells))
            after = (*after, cells)  # or the old cells are read in a loop that is not vectorized
        if self.board.whole:
            return window
        start = jnp.int32(self.board.start)
        for earlier in after:
            start += earlier[0, 0, -1].astype(jnp.int32)  # past the frame, where all are zero
        zero = jnp.zeros_like(start)
        return lax.dynamic_update_slice(cells, window, (zero, zero, start))


def release_frame(
    board: Checkerboard, images: Float[Array, "n c h w"]
) -> Float[Array, "n c rows columns"]:
    """Images in scikit-image's frame: second row and column above and left, last ones beyond.

    The frame keeps these values: they are not those of the denoised image.
    """
    height, width = board.height, board.width
    framed = board.frame(images)
    framed = framed.at[..., 0, 1 : width + 1].set(images[..., 1, :])
    framed = framed.at[..., height + 1, 1 : width + 1].set(images[..., -1, :])
    framed = framed.at[..., 1 : height + 1, 0].set(images[..., 1])
    return framed.at[..., 1 : height + 1, width + 1].set(images[..., -1])


def _stencil(
    board: Checkerboard, rule: Rule, color: int, cells: Array, ratio: Float[Array, "n 1 1"]
) -> Stencil:
    row, column = (axis.reshape(1, 1, -1) for axis in board.positions(color))
    last_row, last_column = board.height - 1, board.width - 1
    inside = (row >= 0) & (row <= last_row) & (column >= 0) & (column <= last_column)
    if rule == RELEASE:
        degree, right, down = jnp.full_like(row, 4), inside, inside
    else:
        right, down = inside & (column < last_column), inside & (row < last_row)
        edges = (column > 0, column < last_column, row > 0, row < last_row)
        degree = jnp.sum(jnp.stack(jnp.broadcast_arrays(*edges)), axis=0)
    gain = jnp.where(inside, 1 / (ratio + degree.astype(ratio.dtype)), 0)
    values = board.window(cells)
    data = jnp.where(inside, ratio * gain, 1) * values
    return Stencil(data, gain, right, down)
