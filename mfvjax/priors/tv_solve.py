"""Running split Bregman to its end: a number of sweeps, or a tolerance for each image."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool, Float, Int

from mfvjax.priors.checkerboard import BLACK, RED, Checkerboard
from mfvjax.priors.tv_coarse import coarse_start
from mfvjax.priors.tv_sweep import RELEASE, Cells, Rule, SplitBregman, release_frame
from mfvjax.priors.tv_wavefront import raster_sweeps, sweeps_to_tolerance

Order: TypeAlias = Literal["red-black", "raster"]

# Red-black sweeps between two looks at the change: the look costs half as much as a sweep.
CHECK_EVERY = 4


class Plan(NamedTuple):
    """What is compiled in; see `mfvjax.priors.tv.denoise_tv`."""

    rule: Rule
    order: Order = "red-black"
    num_sweeps: int = 100
    stops: bool = False
    coarse_levels: int = 0


@functools.cache
def solver(plan: Plan) -> Callable[..., Any]:
    """Denoises ``(n, h, w, c)`` images; under `jax.vmap` the mapped axis joins n."""

    @custom_vmap
    def solve(images: Array, fidelity: Array, tolerance: Array) -> tuple[Array, Array]:
        board = Checkerboard(images.shape[1], images.shape[2])
        planes = jnp.moveaxis(images, -1, 1)
        framed = release_frame(board, planes) if plan.rule == RELEASE else board.frame(planes)
        run = functools.partial(run_batch, board, plan)
        run_whole = functools.partial(run_batch, dataclasses.replace(board, whole=True), plan)
        red, black, used = lax.platform_dependent(
            *board.split(framed),
            fidelity,
            tolerance,
            cpu=functools.partial(run_one_by_one, run, by_plane=not plan.stops),
            default=run_whole,
        )
        return jnp.moveaxis(board.join(red, black), 1, -1), used

    @solve.def_vmap
    def solve_mapped(axis_size: int, in_batched: list[bool], *args: Array) -> tuple[Any, Any]:
        spread = [
            arg if batched else jnp.broadcast_to(arg, (axis_size, *arg.shape))
            for arg, batched in zip(args, in_batched, strict=True)
        ]
        denoised, used = solve(*(arg.reshape(-1, *arg.shape[2:]) for arg in spread))
        return (
            denoised.reshape(spread[0].shape),
            used.reshape(spread[1].shape),
        ), (True, True)

    return jax.jit(solve)


def run_one_by_one(
    run: Callable[..., Any], *args: Array, by_plane: bool
) -> tuple[Array, Array, Array]:
    """Runs images in turn, or single planes: the state of one fits a processor's cache."""
    red, black, fidelity, tolerance = args
    channels = red.shape[1]
    if by_plane:
        red, black = (cells.reshape(-1, 1, cells.shape[-1]) for cells in (red, black))
        fidelity, tolerance = (jnp.repeat(value, channels) for value in (fidelity, tolerance))
    args = (red[:, None], black[:, None], fidelity[:, None], tolerance[:, None])
    red, black, used = lax.map(lambda one: run(*one), args)
    shape = (-1, channels, red.shape[-1])
    return (
        red.reshape(shape),
        black.reshape(shape),
        used.reshape(-1)[:: channels if by_plane else 1],
    )


def run_batch(
    board: Checkerboard,
    plan: Plan,
    red: Float[Array, "n c cells"],
    black: Float[Array, "n c cells"],
    fidelity: Float[Array, " n"],
    tolerance: Float[Array, " n"],
) -> tuple[Array, Array, Int[Array, " n"]]:
    """Denoised red and black cells, and the sweeps they took."""
    limit = plan.num_sweeps
    method = SplitBregman.build(board, plan.rule, (red, black), fidelity)
    cells = coarse_start(method, (red, black), fidelity, plan.coarse_levels, limit)
    used = jnp.full(fidelity.shape, limit, jnp.int32)
    if plan.order == "raster" and plan.stops:
        used = sweeps_to_tolerance(method, cells, limit, tolerance)
        cells = raster_sweeps(method, cells, used, longest=jnp.max(used))
    elif plan.order == "raster":
        cells = raster_sweeps(method, cells, used, longest=limit)
    elif plan.stops:
        return _sweeps_to_tolerance(method, cells, limit, tolerance)
    else:
        cells = method.sweeps(cells, limit)
    return cells[RED].u, cells[BLACK].u, used


class _Progress(NamedTuple):
    """Where the images of a batch are; those that met their tolerance go on, but nobody looks.

    Attributes:
      rounds: of `CHECK_EVERY` sweeps, done so far.
      active: which images have not met their tolerance.
      used: sweeps of each image until then.
      cells: the state of all.
      kept: u of each color as of then; nothing for a single image, which ends its own loop.
    """

    rounds: Int[Array, ""]
    active: Bool[Array, " n"]
    used: Int[Array, " n"]
    cells: tuple[Cells, Cells]
    kept: tuple[Float[Array, "n c cells"], ...]

    def moved(self, cells: tuple[Cells, Cells], num_sweeps: int) -> _Progress:
        """After so many sweeps, which led to `cells`."""
        active = self.active.reshape(-1, 1, 1)
        kept = [
            jnp.where(active, own.u, u) for own, u in zip(cells, self.kept, strict=bool(self.kept))
        ]
        used = self.used + jnp.where(self.active, num_sweeps, 0)
        return self._replace(used=used, cells=cells, kept=tuple(kept))


def _sweeps_to_tolerance(
    method: SplitBregman,
    cells: tuple[Cells, Cells],
    num_sweeps: int,
    tolerance: Float[Array, " n"],
) -> tuple[Array, Array, Int[Array, " n"]]:
    """Denoised cells after red-black sweeps until every image met its tolerance, and their numbers.

    The loop takes `CHECK_EVERY` sweeps at a time, a number that compilers see; what is left of
    `num_sweeps` comes after it.
    """
    num_rounds, rest = divmod(num_sweeps, CHECK_EVERY)

    def going_on(now: _Progress) -> Array:
        return (now.rounds < num_rounds) & jnp.any(now.active)

    def one_round(now: _Progress) -> _Progress:
        cells, change = _watched_sweeps(method, now.cells, CHECK_EVERY)
        after = now.moved(cells, CHECK_EVERY)
        return after._replace(rounds=now.rounds + 1, active=now.active & (change > tolerance))

    def last_sweeps(now: _Progress) -> _Progress:
        return now.moved(method.sweeps(now.cells, rest), rest)

    count = tolerance.size
    kept = (cells[RED].u, cells[BLACK].u) if count > 1 else ()
    none = jnp.zeros(count, jnp.int32)
    now = _Progress(jnp.int32(0), jnp.ones(count, bool), none, cells, kept)
    now = lax.while_loop(going_on, one_round, now)
    if rest:
        now = lax.cond(jnp.any(now.active), last_sweeps, lambda now: now, now)
    red, black = now.kept or (now.cells[RED].u, now.cells[BLACK].u)
    return red, black, now.used


def _watched_sweeps(
    method: SplitBregman, cells: tuple[Cells, Cells], count: int
) -> tuple[tuple[Cells, Cells], Float[Array, " n"]]:
    """The state after `count` sweeps, and how much the last one changed each image (rms)."""
    before = method.sweeps(cells, count - 1)
    after = method.sweep(*before)
    squares = sum(
        jnp.sum(jnp.square(new.u - old.u), axis=(1, 2))
        for new, old in zip(after, before, strict=True)
    )
    pixels = method.board.height * method.board.width * cells[RED].u.shape[1]
    return after, jnp.sqrt(squares / pixels)
