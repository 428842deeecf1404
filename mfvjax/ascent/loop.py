"""Many steps of a batch of facets on one canvas: cut the window, step, write it back, again."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Int8, Int32

from mfvjax.ascent.plan import MAX_CHUNK
from mfvjax.ascent.step import RUNNING, Facets, Now, Step, select
from mfvjax.priors.jitter import crop, paste
from mfvjax.recipe import Parts
from mfvjax.types import Params


class State(NamedTuple):
    """What a facet carries from step to step; every leaf has the facets as its first axis.

    Attributes:
      numbers: what the parametrization makes of the canvas.
      opt_state: of the optimizer, one per facet.
      status: `RUNNING`, or why the facet stopped.
      stopped_at: the step at which it stopped, -1 before that.
    """

    numbers: Any
    opt_state: Any
    status: Int8[Array, " facets"]
    stopped_at: Int32[Array, " facets"]


def start_status(count: int) -> tuple[Int8[Array, " facets"], Int32[Array, " facets"]]:
    """Of facets that have not stopped."""
    return jnp.full(count, RUNNING, jnp.int8), jnp.full(count, -1, jnp.int32)


def run_chunk(
    step: Step,
    state: State,
    params: Params,
    facets: Facets,
    rows: Float[Array, "chunk numbers"],
    constants: tuple[Array, ...],
    first_step: Int[Array, ""],
    count: Int[Array, ""],
    canvas_size: Int[Array, 2],
) -> tuple[State, Float[Array, "chunk facets"]]:
    """Takes `count` steps; step i of a whole run draws from ``fold_in(key, i)``.

    Crops come from the first ``canvas_size`` rows and columns of the canvases; what lies beyond is
    neither read nor written.
    """

    def body(i: Array, carry: tuple[State, Array]) -> tuple[State, Array]:
        state, trace = carry
        keys = jax.vmap(lambda key: jax.random.fold_in(key, first_step + i))(facets.keys)
        now = Now(rows[i], constants, keys)
        new, values = _take_step(step, state, params, facets, now, canvas_size)
        newly = (new.status != RUNNING) & (state.status == RUNNING)
        stopped_at = jnp.where(newly, first_step + i, state.stopped_at)
        return new._replace(stopped_at=stopped_at), trace.at[i].set(values)

    trace = jnp.full((MAX_CHUNK, len(state.status)), jnp.nan, jnp.float32)
    return jax.lax.fori_loop(0, count, body, (state, trace))


def _take_step(
    step: Step,
    state: State,
    params: Params,
    facets: Facets,
    now: Now,
    canvas_size: Int[Array, 2],
) -> tuple[State, Float[Array, " facets"]]:
    window = _Window.draw(step, facets, now, canvas_size)
    mirrors = _mirrors(step, facets, now, state.opt_state)
    opt_state = jax.tree.map(window.cut_if, mirrors, state.opt_state)
    result = step(params, facets, now, jax.tree.map(window.cut, state.numbers), opt_state)
    # A facet that stopped stays as it was before the step that stopped it, for good.
    status = jnp.where(state.status == RUNNING, result.status, state.status)
    is_running = status == RUNNING

    def keep(old: Array, new: Array) -> Array:
        return select(is_running, new, old)

    numbers = jax.tree.map(window.write, state.numbers, result.numbers)
    opt_state = jax.tree.map(window.write_if, mirrors, state.opt_state, result.opt_state)
    new = State(
        jax.tree.map(keep, state.numbers, numbers),
        jax.tree.map(keep, state.opt_state, opt_state),
        status,
        state.stopped_at,
    )
    return new, result.values.astype(jnp.float32)


class _Window(NamedTuple):
    """Where each facet's window lies; ``None`` where the whole canvas moves."""

    offsets: Int[Array, "facets 2"] | None
    size: tuple[int, int]

    @classmethod
    def draw(cls, step: Step, facets: Facets, now: Now, canvas_size: Int[Array, 2]) -> _Window:
        if not step.plan.crops:
            return cls(None, step.moving_size)
        free = canvas_size - jnp.asarray(step.moving_size, jnp.int32)

        def place(parts: Parts, key: Array) -> Array:
            return parts.views[0].offset(key, free)

        return cls(step.each(place, facets.own, now), step.moving_size)

    def cut(self, leaf: Array) -> Array:
        if self.offsets is None:
            return leaf
        return jax.vmap(lambda canvas, offset: crop(canvas, offset, self.size))(leaf, self.offsets)

    def write(self, leaf: Array, new: Array) -> Array:
        return new if self.offsets is None else jax.vmap(paste)(leaf, new, self.offsets)

    def cut_if(self, mirrors: bool, leaf: Array) -> Array:
        return self.cut(leaf) if mirrors else leaf

    def write_if(self, mirrors: bool, leaf: Array, new: Array) -> Array:
        return self.write(leaf, new) if mirrors else new


def _mirrors(step: Step, facets: Facets, now: Now, opt_state: Any) -> Any:
    """For each leaf of the optimizer's state, whether it mirrors the numbers, as a momentum does.

    Such leaves move with the window; counters do not.
    """
    if not step.plan.crops:
        return jax.tree.map(lambda _: False, opt_state)
    parts = step.plan.parts(now.row, now.constants, [array[0] for array in facets.own])
    try:
        return optax.tree_utils.tree_map_params(
            parts.transformation().init,
            lambda _: True,
            opt_state,
            transform_non_params=lambda _: False,
        )
    except Exception as error:
        raise ValueError(
            "optax cannot tell which parts of this optimizer's state mirror the image, so that "
            f"they could move with a crop ({error}); use a view that does not crop"
        ) from error
