"""Running split Bregman to its end: a number of sweeps, or a tolerance for each image."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float, Int

from mfvjax.priors.checkerboard import BLACK, RED, Checkerboard
from mfvjax.priors.tv_coarse import coarse_start
from mfvjax.priors.tv_sweep import RELEASE, Cells, Rule, SplitBregman, release_frame
from mfvjax.priors.tv_wavefront import raster_sweeps, sweeps_to_tolerance

Order: TypeAlias = Literal["red-black", "raster"]
Kernel: TypeAlias = Literal["xla", "pallas"]

# Red-black sweeps between two looks at the change: the look costs half as much as a sweep.
CHECK_EVERY = 4


class Plan(NamedTuple):
    """What is compiled in; see `mfvjax.priors.tv.denoise_tv`."""

    rule: Rule
    order: Order = "red-black"
    num_sweeps: int = 100
    stops: bool = False
    coarse_levels: int = 0
    kernel: Kernel = "xla"


@functools.cache
def solver(plan: Plan) -> Callable[..., Any]:
    """Denoises ``(n, h, w, c)`` images; under `jax.vmap` the mapped axis joins n."""

    @custom_vmap
    def solve(images: Array, fidelity: Array, tolerance: Array) -> tuple[Array, Array]:
        board = Checkerboard(*images.shape[1:3])
        planes = jnp.moveaxis(images, -1, 1)
        framed = release_frame(board, planes) if plan.rule == RELEASE else board.frame(planes)
        if plan.kernel == "pallas":
            return run_fused(board, plan, framed, fidelity)
        run = functools.partial(run_batch, board, plan)
        red, black, used = lax.platform_dependent(
            *board.split(framed),
            fidelity,
            tolerance,
            cpu=functools.partial(run_one_by_one, run, by_plane=not plan.stops),
            default=run,
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


def run_fused(
    board: Checkerboard,
    plan: Plan,
    framed: Float[Array, "n c rows columns"],
    fidelity: Float[Array, " n"],
) -> tuple[Float[Array, "n h w c"], Int[Array, " n"]]:
    """Denoised images by the fused kernel, interpreted where there is no accelerator."""
    from mfvjax.priors.tv_pallas import pallas_sweeps  # experimental in JAX: only where asked for

    count, channels = framed.shape[:2]
    height, width = board.height, board.width
    planes = framed[..., : height + 2, : width + 2].reshape(-1, height + 2, width + 2)
    run = functools.partial(pallas_sweeps, rule=plan.rule, num_sweeps=plan.num_sweeps)
    planes = lax.platform_dependent(
        planes,
        jnp.repeat(fidelity, channels),
        cpu=functools.partial(run, interpret=True),
        default=run,
    )
    images = planes.reshape(count, channels, height + 2, width + 2)[..., 1:-1, 1:-1]
    used = jnp.full(fidelity.shape, plan.num_sweeps, jnp.int32)
    return jnp.moveaxis(images, 1, -1), used


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
    if plan.order == "raster":
        if plan.stops:
            used = sweeps_to_tolerance(method, cells, limit, tolerance)
        cells = raster_sweeps(method, cells, used)
    elif plan.stops:
        cells, used = _sweeps_to_tolerance(method, cells, limit, tolerance)
    else:
        cells = lax.fori_loop(0, limit, lambda _, state: method.sweep(*state), cells)
    return cells[RED].u, cells[BLACK].u, used


def _sweeps_to_tolerance(
    method: SplitBregman,
    cells: tuple[Cells, Cells],
    num_sweeps: int,
    tolerance: Float[Array, " n"],
) -> tuple[tuple[Cells, Cells], Int[Array, " n"]]:
    """Red-black sweeps; an image that met its tolerance keeps its state while others go on."""
    count, channels = cells[RED].u.shape[:2]
    pixels = method.board.height * method.board.width * channels

    def going_on(carry: tuple) -> Array:
        index, active, _, _ = carry
        return (index < num_sweeps) & jnp.any(active)

    def some_sweeps(carry: tuple) -> tuple:
        index, active, used, cells = carry
        few = jnp.minimum(CHECK_EVERY, num_sweeps - index)
        start = (cells, (cells[RED].u, cells[BLACK].u))
        moved, before = lax.fori_loop(0, few, lambda _, now: one_sweep(now[0]), start)
        squares = sum(
            jnp.sum(jnp.square(new.u - old), axis=(1, 2))
            for new, old in zip(moved, before, strict=True)
        )
        if count > 1:  # a single image ends its own loop
            keep = active.reshape(-1, 1, 1)
            moved = jax.tree.map(lambda new, old: jnp.where(keep, new, old), moved, cells)
        used = used + jnp.where(active, few, 0)
        return index + few, active & (jnp.sqrt(squares / pixels) > tolerance), used, moved

    def one_sweep(cells: tuple[Cells, Cells]) -> tuple:
        return method.sweep(*cells), (cells[RED].u, cells[BLACK].u)

    start = (jnp.int32(0), jnp.ones(count, bool), jnp.zeros(count, jnp.int32), cells)
    _, _, used, cells = lax.while_loop(going_on, some_sweeps, start)
    return cells, used
