"""Red-black sweeps as one Pallas kernel: many sweeps for each pass over memory.

Why: on an accelerator the plain sweeps are bound by memory. Each reads and writes the whole state,
some 60 bytes per pixel, although a sweep moves information by three pixels only. Here a block
takes a tile with a halo into fast memory, sweeps it several times, and writes back its inside; what
went wrong at the rim of the halo has not reached the inside by then.

Sizes: a tile of 64 x 128 with a halo of 12 for four sweeps holds u, t and the image in 4 arrays of
88 x 152, 214 KB in float32, below the 227 KB of fast memory that a multiprocessor of an H100 or
H200 gives a block, and far below a TPU core's. Counted in bytes of slow memory per pixel and sweep:
``(4 * 4 * 1.63 + 3 * 4) / 4 = 9.5``, of which 1.63 is the overlap of the tiles; about 31
microseconds for 100 sweeps of a 227 x 227 RGB image at 4.8 TB/s, where the plain sweeps need some
190. Both colors are computed everywhere and one is kept: twice the arithmetic, which is not the
limit, for neighbors that are plain shifts.

Not yet run on hardware: tested in interpret mode against the plain sweeps. The plain sweeps remain
the default everywhere.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jaxtyping import Array, Bool, Float

from mfvjax.priors.tv_sweep import RELAXATION, RELEASE, Rule

SWEEPS_PER_PASS = 4
_REACH = 3  # pixels that one sweep carries information: two half sweeps and the differences
_TILE = (64, 128)


class _Geometry(NamedTuple):
    """A framed image in tiles: `rows` x `columns` pixels, so many tiles, sweeps per pass."""

    rows: int
    columns: int
    sweeps: int
    tile: tuple[int, int]

    @property
    def halo(self) -> int:
        return _REACH * self.sweeps

    @property
    def tiles(self) -> tuple[int, int]:
        down, right = self.tile
        return pl.cdiv(self.rows + 2, down), pl.cdiv(self.columns + 2, right)

    @property
    def padded(self) -> tuple[int, int]:
        (down, right), (tall, wide) = self.tiles, self.tile
        return down * tall + 2 * self.halo, right * wide + 2 * self.halo


def pallas_sweeps(
    planes: Float[Array, "n framed_h framed_w"],
    fidelity: Float[Array, " n"],
    *,
    rule: Rule,
    num_sweeps: int,
    sweeps_per_pass: int = SWEEPS_PER_PASS,
    tile: tuple[int, int] = _TILE,
    interpret: bool = False,
) -> Float[Array, "n framed_h framed_w"]:
    """The framed planes after so many red-black sweeps, as `SplitBregman.sweep` makes them.

    Args:
      planes: one channel of one image each, in a frame one pixel wide that holds what the rule
        wants there.
      fidelity: of each plane.
      rule: as of `mfvjax.priors.tv.denoise_tv`.
      num_sweeps: in all.
      sweeps_per_pass: sweeps that a tile takes while it is in fast memory.
      tile: rows and columns that a block writes.
      interpret: run the kernel's steps as plain JAX, on any device.
    """
    height, width = planes.shape[1] - 2, planes.shape[2] - 2
    room = _Geometry(height, width, sweeps_per_pass, tile)
    spare = [p - room.halo - s for p, s in zip(room.padded, planes.shape[1:], strict=True)]
    data = jnp.pad(planes, [(0, 0)] + [(room.halo, after) for after in spare])
    penalty = 2 * fidelity if rule == RELEASE else jnp.sqrt(fidelity) / 2
    weights = jnp.stack([penalty, fidelity / penalty], axis=1)
    state: tuple[Array, ...] = (data, jnp.zeros_like(data), jnp.zeros_like(data))

    def one_pass(state: tuple[Array, ...], sweeps: int) -> tuple[Array, ...]:
        return _pass(room, rule, sweeps, interpret, data, weights, state)

    passes, rest = divmod(num_sweeps, sweeps_per_pass)
    state = lax.fori_loop(0, passes, lambda _, now: one_pass(now, sweeps_per_pass), state)
    if rest:
        state = one_pass(state, rest)
    inside = slice(room.halo, room.halo + height + 2), slice(room.halo, room.halo + width + 2)
    return state[0][:, *inside]


def _pass(
    room: _Geometry,
    rule: Rule,
    sweeps: int,
    interpret: bool,
    data: Array,
    weights: Array,
    state: tuple[Array, ...],
) -> tuple[Array, ...]:
    """`sweeps` sweeps of every tile, each from the state before."""
    tall, wide = room.tile
    halo = room.halo

    def window(n: Array, i: Array, j: Array) -> tuple[Array, Array, Array]:
        return n, i * tall, j * wide

    def inside(n: Array, i: Array, j: Array) -> tuple[Array, Array, Array]:
        return n, i * tall + halo, j * wide + halo

    whole = (pl.Element(tall + 2 * halo), pl.Element(wide + 2 * halo))
    read = pl.BlockSpec((None, *whole), window)
    write = pl.BlockSpec((None, pl.Element(tall), pl.Element(wide)), inside)
    # The margins of the results are never written: whatever they hold is masked when read.
    out = [jax.ShapeDtypeStruct(plane.shape, plane.dtype) for plane in state]
    kernel = functools.partial(_kernel, room=room, rule=rule, sweeps=sweeps)
    return tuple(
        pl.pallas_call(
            kernel,
            out,
            grid=(data.shape[0], *room.tiles),
            in_specs=[pl.BlockSpec((None, 2), lambda n, i, j: (n, 0)), *[read] * 4],
            out_specs=[write] * 3,
            interpret=interpret,
            name=f"tv_{rule}_{sweeps}_sweeps",
        )(weights, data, *state)
    )


def _kernel(
    weights_ref: Any,
    data_ref: Any,
    u_ref: Any,
    tx_ref: Any,
    ty_ref: Any,
    *out_refs: Any,
    room: _Geometry,
    rule: Rule,
    sweeps: int,
) -> None:
    penalty, ratio = weights_ref[0], weights_ref[1]
    halo, shape = room.halo, data_ref.shape
    row, column = (  # of the image; the frame is at -1 and at its size
        lax.broadcasted_iota(jnp.int32, shape, axis)
        + pl.program_id(1 + axis) * room.tile[axis]
        - (halo + 1)
        for axis in (0, 1)
    )
    method = _Tile.build(rule, room, penalty, ratio, row, column, data_ref[...])
    framed = (row >= -1) & (row <= room.rows) & (column >= -1) & (column <= room.columns)
    # `where`, not a product: what was never written may not be a number.
    state = tuple(jnp.where(framed, ref[...], 0) for ref in (u_ref, tx_ref, ty_ref))
    state = lax.fori_loop(0, sweeps, lambda _, now: method.sweep(*now), state)
    for ref, plane in zip(out_refs, state, strict=True):
        ref[...] = plane[halo:-halo, halo:-halo]


class _Tile(NamedTuple):
    """The method on one tile; see `mfvjax.priors.tv_sweep` for its arithmetic."""

    rule: Rule
    penalty: Float[Array, ""]
    data: Float[Array, "rows columns"]
    gain: Float[Array, "rows columns"]
    right: Bool[Array, "rows columns"]
    down: Bool[Array, "rows columns"]
    red: Bool[Array, "rows columns"]

    @classmethod
    def build(
        cls,
        rule: Rule,
        room: _Geometry,
        penalty: Array,
        ratio: Array,
        row: Array,
        column: Array,
        values: Array,
    ) -> _Tile:
        inside = (row >= 0) & (row < room.rows) & (column >= 0) & (column < room.columns)
        right = down = inside
        degree = jnp.full(row.shape, 4, values.dtype)
        if rule != RELEASE:
            right, down = inside & (column < room.columns - 1), inside & (row < room.rows - 1)
            edges = (column > 0, column < room.columns - 1, row > 0, row < room.rows - 1)
            degree = sum(edge.astype(values.dtype) for edge in edges)  # type: ignore[assignment]
        # The corner of a tile may lie outside the image, where nothing moves and nothing is free.
        gain = jnp.where(inside, 1 / (ratio + degree), 0)
        data = jnp.where(inside, ratio * gain * values, values)
        return cls(rule, penalty, data, gain, right, down, (row + column) % 2 == 0)

    def sweep(self, u: Array, tx: Array, ty: Array) -> tuple[Array, Array, Array]:
        """One red-black sweep of the tile; its rim takes zeros for what lies beyond."""
        if self.rule == RELEASE:
            u, tx, ty = self._half_release(self.red, u, tx, ty)
            return self._half_release(~self.red, u, tx, ty)
        for color in (self.red, ~self.red):
            u = jnp.where(color, self._moved_u(u, tx, ty), u)
        return u, *self._moved_t(u, tx, ty, RELAXATION)

    def _half_release(
        self, color: Array, u: Array, tx: Array, ty: Array
    ) -> tuple[Array, Array, Array]:
        moved = (self._moved_u(u, tx, ty), *self._moved_t(u, tx, ty, 1.0))
        new, tx, ty = (
            jnp.where(color, after, before)
            for after, before in zip(moved, (u, tx, ty), strict=True)
        )
        return new, tx, ty

    def _moved_u(self, u: Array, tx: Array, ty: Array) -> Array:
        mx, my = self._multipliers(tx, ty)
        px, py = mx * tx, my * ty
        total = _shifted(u, 0, 1) + _shifted(u, 0, -1) + _shifted(u, 1, 1) + _shifted(u, 1, -1)
        return self.data + self.gain * (total + _shifted(px, 1, 1) - px + _shifted(py, 0, 1) - py)

    def _moved_t(self, u: Array, tx: Array, ty: Array, relaxation: float) -> tuple[Array, Array]:
        mx, my = self._multipliers(tx, ty)

        def moved(t: Array, m: Array, beyond: Array, inside: Array) -> Array:
            keep = 1 - relaxation / 2 * (1 + m)
            return jnp.where(inside, relaxation * (beyond - u) + keep * t, 0)

        tx_new = moved(tx, mx, _shifted(u, 1, -1), self.right)
        return tx_new, moved(ty, my, _shifted(u, 0, -1), self.down)

    def _multipliers(self, tx: Array, ty: Array) -> tuple[Array, Array]:
        if self.rule == "anisotropic":
            sizes = (self.penalty * jnp.abs(tx), self.penalty * jnp.abs(ty))
        else:
            sizes = (self.penalty * jnp.sqrt(tx * tx + ty * ty),) * 2
        mx, my = (1 - 2 / (s + 1 if self.rule == RELEASE else jnp.maximum(s, 1)) for s in sizes)
        return mx, my


def _shifted(plane: Array, axis: int, by: int) -> Array:
    """The plane moved by one pixel toward higher (1) or lower (-1) indices, zeros moving in."""
    zeros = jnp.zeros_like(lax.slice_in_dim(plane, 0, 1, axis=axis))
    size = plane.shape[axis]
    kept = lax.slice_in_dim(plane, 0, size - 1, axis=axis)
    if by < 0:
        kept = lax.slice_in_dim(plane, 1, size, axis=axis)
    return lax.concatenate([zeros, kept] if by > 0 else [kept, zeros], axis)
