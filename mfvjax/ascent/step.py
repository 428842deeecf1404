"""One iteration of a batch of facets: what is seen, what it is worth, the step, the projections.

With the paper's parts it is the release's ``make_step``: Nguyen et al. 2016, sections 2 and S2.3.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Int8

from mfvjax.ascent.plan import StepPlan
from mfvjax.ascent.relu import read_with_relu_inputs
from mfvjax.ascent.scene import Frame
from mfvjax.ascent.worth import Views, total_worth, worth_of_views
from mfvjax.contracts import Scene, StepInfo
from mfvjax.objective import Objectives, opened_layers
from mfvjax.parametrizations.pixels import Pixels
from mfvjax.recipe import Parts
from mfvjax.types import Keys, Params

# Why a facet stopped moving; 0 while it moves.
RUNNING, NOT_FINITE, VANISHED = 0, 1, 2


class Facets(NamedTuple):
    """What belongs to each facet; every leaf has the facets as its first axis.

    Attributes:
      objectives: from `stack_objectives`.
      keys: of randomness.
      groups: ``(facets,)``, equal for facets that joint terms take together.
      own: arrays of the recipe's parts that each facet has its own of.
    """

    objectives: Objectives
    keys: Keys
    groups: Int[Array, " facets"]
    own: tuple[Array, ...] = ()


class Now(NamedTuple):
    """What belongs to the step.

    Attributes:
      row: its index in the phase, and the parts' numbers.
      constants: arrays of the parts.
      keys: of this step, one per facet.
    """

    row: Float[Array, " numbers"]
    constants: tuple[Array, ...]
    keys: Keys


class StepResult(NamedTuple):
    """A step's outcome.

    Attributes:
      numbers: what moved, after the step.
      opt_state: of the optimizer.
      values: objective of each facet **before** the step, without the recipe's penalties.
      status: `RUNNING`, `NOT_FINITE` or `VANISHED` for each facet.
    """

    numbers: Any
    opt_state: Any
    values: Float[Array, " facets"]
    status: Int8[Array, " facets"]


@dataclasses.dataclass(frozen=True)
class Step:
    """What shapes a compiled step, besides its arguments.

    Attributes:
      frame: the network, and the window's place in its input.
      plan: structure of the parts.
      moving_size: ``(height, width)`` of what moves: the window of a phase that crops, else the
        canvas.
    """

    frame: Frame
    plan: StepPlan
    moving_size: tuple[int, int]

    def __call__(
        self, params: Params, facets: Facets, now: Now, numbers: Any, opt_state: Any
    ) -> StepResult:
        """Takes one step with every facet.

        Args:
          params: of the network.
          facets: objectives and what else is each facet's.
          now: of the step.
          numbers: what moves, of each facet.
          opt_state: of the optimizer, likewise.
        """
        # One facet's loss does not depend on another's numbers, but for joint terms, which are
        # meant to part facets from both sides: so the gradient of the sum is each facet's own.
        loss = functools.partial(self._loss, params, facets, now)
        # Users' own backward rules are traced here, outside of what sets the forward's precision.
        with jax.default_matmul_precision("highest"):
            losses, pullback, values = jax.vjp(loss, numbers, has_aux=True)
            (gradient,) = pullback(jnp.ones_like(losses))
        updates, opt_state = self.each(_updated, facets.own, now, gradient, opt_state, numbers)
        status = _status(losses, gradient, updates)

        def move(old: Array, update: Array) -> Array:
            return select(status == RUNNING, old + update, old)

        moved = jax.tree.map(move, numbers, updates)
        if self.plan.has_projections:
            project = functools.partial(self._projected, now.row[0])
            moved = self.each(project, facets.own, now, moved, gradient)
        return StepResult(moved, opt_state, values, status)

    @property
    def scene(self) -> Scene:
        """Of what moves."""
        return self.frame.scene(self.moving_size)

    @property
    def zero(self) -> Float[Array, " channels"]:
        """The levels that the network's preprocessing turns into zero."""
        return jnp.asarray(self.frame.zero, jnp.float32)

    def each(
        self, function: Callable[..., Any], own: tuple[Array, ...], now: Now, *args: Any
    ) -> Any:
        """``function(parts, key, *args)`` of every facet, with its own parts and rows of args."""

        def of_one(own: tuple[Array, ...], key: Array, *args: Any) -> Any:
            return function(self.plan.parts(now.row, now.constants, own), key, *args)

        return jax.vmap(of_one)(own, now.keys, *args)

    def _loss(
        self, params: Params, facets: Facets, now: Now, numbers: Any
    ) -> tuple[Float[Array, " facets"], Float[Array, " facets"]]:
        """Minus the objective and the penalties of each facet; and the objective."""
        windows, images = self.each(self._seen, facets.own, now, numbers)
        views = self.views(params, facets.objectives, windows, images)
        objective = total_worth(facets.objectives, views, facets.groups, self.zero)
        if not self.plan.has_penalties:
            return -objective, objective

        def penalty(parts: Parts, key: Array, views: Views) -> Array:
            worths = [worth_of_views(term, views, self.zero) for term in parts.penalties]
            return sum(worths[1:], worths[0])

        return -(objective + self.each(penalty, facets.own, now, views)), objective

    def views(
        self,
        params: Params,
        objectives: Objectives,
        windows: Float[Array, "facets rows columns c"],
        images: Float[Array, "facets views h w c"],
    ) -> Views:
        """What the network answers to `images`, as far as the objectives ask for it."""
        count, num_views = images.shape[:2]
        flat = images.reshape(count * num_views, *images.shape[2:])
        read = functools.partial(self.frame.activations, params)
        found, inputs = read_with_relu_inputs(read, flat, opened_layers(objectives))
        wanted = {name for term in objectives for name in term.reads}

        def by_view(named: Mapping[str, Array]) -> dict[str, Array]:
            return {
                name: named[name]
                .astype(jnp.float32)
                .reshape(count, num_views, *named[name].shape[1:])
                for name in sorted(wanted & set(named))
            }

        return Views(by_view(found), by_view(inputs), images, windows)

    def _seen(self, parts: Parts, key: Array, numbers: Any) -> tuple[Array, Array]:
        """One facet's window, and ``(views, h, w, c)`` of what the network sees."""
        window = parts.parametrization.decode(numbers, self.scene)

        def one(key: Array) -> Array:
            image = window
            for index, view in enumerate(parts.views, 1):  # the key itself places the window
                own = jax.random.fold_in(key, index)
                image = view.see(own, image, self.frame.window_size, self.scene)
            return image

        num_views = self.plan.num_views
        images = (
            one(key)[None] if num_views == 1 else jax.vmap(one)(jax.random.split(key, num_views))
        )
        wanted = self.frame.window_size
        if images.shape[1:3] != wanted:
            raise ValueError(
                f"the views give images of {images.shape[1]}x{images.shape[2]}, and the network "
                f"takes {wanted[0]}x{wanted[1]}; end with a view that resizes, such as "
                "RandomView(), or keep the canvas at that size (scale=1)"
            )
        return window, images

    def _projected(
        self, index: Array, parts: Parts, key: Array, numbers: Any, gradient: Any
    ) -> Any:
        """One facet's numbers after all projections of its window."""
        scene = self.scene
        is_pixels = isinstance(parts.parametrization, Pixels)
        info = StepInfo(index, -gradient if is_pixels else None, self.zero)
        window = parts.parametrization.decode(numbers, scene)
        for projection in parts.projections:
            window = projection(window, info)
        return parts.parametrization.encode(window, scene)


def _updated(parts: Parts, key: Array, gradient: Any, state: Any, numbers: Any) -> tuple[Any, Any]:
    # Optax's own arithmetic mixes integers and floats, which a user may have made an error.
    with jax.numpy_dtype_promotion("standard"):
        return parts.transformation().update(gradient, state, numbers)


def select(condition: Array, yes: Array, no: Array) -> Array:
    """`yes` for the rows where `condition` holds, else `no`."""
    return jnp.where(condition.reshape(-1, *[1] * (yes.ndim - 1)), yes, no)


def _status(losses: Float[Array, " facets"], gradient: Any, updates: Any) -> Int8[Array, " facets"]:
    def every(test: Callable[[Array], Array], tree: Any) -> Array:
        leaves = jax.tree.leaves(tree)
        rows = [jnp.all(test(leaf).reshape(len(leaf), -1), axis=1) for leaf in leaves]
        return functools.reduce(jnp.logical_and, rows)

    def is_zero(leaf: Array) -> Array:
        return leaf == 0

    finite = every(jnp.isfinite, gradient) & every(jnp.isfinite, updates) & jnp.isfinite(losses)
    vanished = every(is_zero, gradient) & every(is_zero, updates)
    status = jnp.where(finite, jnp.where(vanished, VANISHED, RUNNING), NOT_FINITE)
    return status.astype(jnp.int8)
