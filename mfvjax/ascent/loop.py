"""Many steps of a batch of facets on one canvas size: crop, step, write back, again."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Int8, Int32

from mfvjax.ascent.step import RUNNING, ReadFn, StepOptions, ascend
from mfvjax.objective import Readouts
from mfvjax.priors.jitter import crop, margin_mask, offset_within, paste
from mfvjax.schedule import Phase
from mfvjax.types import Images, Key, Keys, Params

# Steps that one call can take at most: the length of the arrays that carry a chunk's step values.
MAX_CHUNK = 64


class StepValues(NamedTuple):
    """Schedule values of `MAX_CHUNK` steps; entries past the chunk's end are not used."""

    step_size: ArrayLike
    fidelity: ArrayLike
    offset_std: ArrayLike
    uniform: ArrayLike
    margin_px: ArrayLike

    @classmethod
    def of(cls, phase: Phase, first: int, count: int) -> StepValues:
        """Values of steps `first` to ``first + count`` of `phase`."""

        def chunk(values: np.ndarray, dtype: type) -> np.ndarray:
            padded: np.ndarray = np.zeros(MAX_CHUNK, dtype)
            padded[:count] = values[first : first + count]
            return padded

        n = phase.num_steps
        return cls(
            chunk(phase.step_size.values(n), np.float32),
            chunk(phase.fidelity.values(n), np.float32),
            chunk(np.full(n, phase.offset_std), np.float32),
            chunk(np.full(n, phase.jitter == "uniform"), np.bool_),
            chunk(np.full(n, phase.margin_px), np.int32),
        )


class State(NamedTuple):
    """What a facet carries from step to step; every leaf has the facets as its first axis.

    Attributes:
      canvases: the images.
      opt_state: of the optimizer, one per facet.
      status: `RUNNING`, or why the facet stopped.
      stopped_at: the step at which it stopped, -1 before that.
    """

    canvases: Images
    opt_state: Any
    status: Int8[Array, " batch"]
    stopped_at: Int32[Array, " batch"]


@dataclasses.dataclass(frozen=True)
class Loop:
    """What shapes the compiled loop, besides its arguments."""

    read: ReadFn
    optimizer: optax.GradientTransformation
    options: StepOptions


def init_state(optimizer: optax.GradientTransformation, canvases: Images) -> State:
    """State at the start of a run."""
    status = jnp.full(canvases.shape[:1], RUNNING, jnp.int8)
    stopped_at = jnp.full(canvases.shape[:1], -1, jnp.int32)
    return State(canvases, jax.vmap(optimizer.init)(canvases), status, stopped_at)


def next_phase(optimizer: optax.GradientTransformation, state: State, canvases: Images) -> State:
    """State at the start of a later phase: stopped facets stay so, the optimizer begins anew."""
    return state._replace(canvases=canvases, opt_state=jax.vmap(optimizer.init)(canvases))


def run_chunk(
    loop: Loop,
    state: State,
    params: Params,
    readouts: Readouts,
    keys: Keys,
    values: StepValues,
    first_step: Int[Array, ""],
    count: Int[Array, ""],
    canvas_size: Int[Array, 2],
) -> tuple[State, Float[Array, "steps batch"]]:
    """Takes `count` steps; step i of a whole run draws its crop from ``fold_in(key, i)``.

    Crops come from the first ``canvas_size`` rows and columns of the canvases; what lies beyond is
    neither read nor written.
    """
    free = canvas_size - jnp.asarray(loop.options.window_size, jnp.int32)

    def body(i: Array, carry: tuple[State, Array]) -> tuple[State, Array]:
        state, trace = carry
        now = jax.tree.map(lambda v: v[i], values)
        draw = functools.partial(_draw_offset, now=now, free=free)
        offsets = jax.vmap(draw)(jax.vmap(lambda k: jax.random.fold_in(k, first_step + i))(keys))
        new, activations = _step(loop, state, params, readouts, offsets, now)
        newly = (new.status != RUNNING) & (state.status == RUNNING)
        stopped_at = jnp.where(newly, first_step + i, state.stopped_at)
        state = new._replace(stopped_at=stopped_at)
        return state, trace.at[i].set(activations)

    trace = jnp.full((MAX_CHUNK, state.canvases.shape[0]), jnp.nan, jnp.float32)
    return jax.lax.fori_loop(0, count, body, (state, trace))


def _draw_offset(key: Key, *, now: StepValues, free: Int[Array, 2]) -> Int[Array, 2]:
    uniform = offset_within(key, free, jitter="uniform")
    return jnp.where(now.uniform, uniform, offset_within(key, free, offset_std=now.offset_std))


def _step(
    loop: Loop,
    state: State,
    params: Params,
    readouts: Readouts,
    offsets: Int[Array, "batch 2"],
    now: StepValues,
) -> tuple[State, Float[Array, " batch"]]:
    size = loop.options.window_size
    canvas_shape = state.canvases.shape

    def cut(leaf: Array) -> Array:
        # Optimizer state that mirrors the canvas moves with the crop; counters do not.
        return jax.vmap(lambda c, o: crop(c, o, size))(leaf, offsets) if _is_canvas(leaf) else leaf

    def write(leaf: Array, new: Array) -> Array:
        return jax.vmap(paste)(leaf, new, offsets) if _is_canvas(leaf) else new

    def _is_canvas(leaf: Array) -> bool:
        return leaf.shape == canvas_shape

    result = ascend(
        loop.read,
        params,
        readouts,
        cut(state.canvases),
        jax.tree.map(cut, state.opt_state),
        options=loop.options,
        optimizer=loop.optimizer,
        step_size=now.step_size,
        fidelity=now.fidelity,
        mask=margin_mask(size, now.margin_px),
    )
    # A facet that stopped stays as it was before the step that stopped it, for good.
    status = jnp.where(state.status == RUNNING, result.status, state.status)
    running = status == RUNNING

    def keep(old: Array, new: Array) -> Array:
        return jnp.where(running.reshape(-1, *[1] * (old.ndim - 1)), new, old)

    canvases = write(state.canvases, result.windows)
    opt_state = jax.tree.map(write, state.opt_state, result.opt_state)
    state = State(
        keep(state.canvases, canvases),
        jax.tree.map(keep, state.opt_state, opt_state),
        status,
        state.stopped_at,
    )
    return state, result.activations.astype(jnp.float32)
