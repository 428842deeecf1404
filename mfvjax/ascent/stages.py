"""The phases of a recipe for one network and one size of start images, ready to run."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfvjax.ascent.loop import State
from mfvjax.ascent.plan import PhaseValues
from mfvjax.ascent.scene import Frame
from mfvjax.ascent.step import Facets, Now, Step
from mfvjax.contracts import Size
from mfvjax.objective import Objective, Objectives, climb_probability, stack_objectives
from mfvjax.priors.resample import spline_zoom
from mfvjax.recipe import Parts, Phase, Recipe
from mfvjax.types import LayerInfo


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
    """A phase with its sizes.

    Attributes:
      phase: of the recipe.
      values: its structure and numbers.
      step: that is compiled.
      size: ``(height, width)`` of the canvas.
      room: of the arrays that hold it, in the upper left corner: phases that crop share one room,
        and so one program.
    """

    phase: Phase
    values: PhaseValues
    step: Step
    size: Size
    room: Size

    def start(self, canvases: Array, facets: Facets, status: Array, stopped_at: Array) -> State:
        """State at the start of the phase, from canvases of the phase before, in levels."""
        if tuple(canvases.shape[1:3]) != self.size:
            canvases = spline_zoom(canvases, self.size)
        spare = [(0, room - had) for room, had in zip(self.room, self.size, strict=True)]
        canvases = jnp.pad(canvases, [(0, 0), *spare, (0, 0)])
        now = Now(jnp.asarray(self.values.steps[0]), self.values.constants, facets.keys)
        numbers, opt_state = _start(self.step, self.room, canvases, facets.own, now)
        return State(numbers, opt_state, status, stopped_at)

    def canvases(self, state: State, facets: Facets) -> Float[Array, "facets h w c"]:
        """The canvases that a state's numbers stand for, in levels."""
        now = Now(jnp.asarray(self.values.steps[-1]), self.values.constants, facets.keys)
        canvases = _decode(self.step, self.room, state.numbers, facets.own, now)
        return canvases[:, : self.size[0], : self.size[1]]

    def objectives(
        self,
        objectives: Sequence[Objective],
        layers: dict[str, LayerInfo],
        softmax_layers: Collection[str],
    ) -> Objectives:
        """What the phase climbs, as arrays."""
        if self.phase.target == "probability":
            objectives = [climb_probability(one, softmax_layers) for one in objectives]
        return stack_objectives(objectives, layers)

    def own(self, indices: np.ndarray) -> tuple[Array, ...]:
        """Arrays that each facet has its own of, of some facets.

        Raises:
          ValueError: there are not enough.
        """
        for array in self.values.per_facet:
            if len(array) <= indices.max():
                raise ValueError(
                    f"a part of the recipe has arrays for {len(array)} facets (PerFacet), and "
                    f"there are at least {indices.max() + 1}"
                )
        return tuple(jnp.asarray(array[indices]) for array in self.values.per_facet)


def stages_of(frame: Frame, recipe: Recipe, start_size: Size) -> list[Stage]:
    """The phases of a recipe, from start images of `start_size`."""
    sizes = recipe.canvas_sizes(start_size)
    cropped = [size for phase, size in zip(recipe.phases, sizes, strict=True) if phase.crops]
    shared = tuple(max(lengths) for lengths in zip(*cropped, strict=True)) or (0, 0)
    stages = []
    for phase, size in zip(recipe.phases, sizes, strict=True):
        values = PhaseValues.of(phase)
        step = Step(frame, values.plan, frame.window_size if phase.crops else size)
        stages.append(
            Stage(phase, values, step, size, (shared[0], shared[1]) if phase.crops else size)
        )
    return stages


@functools.partial(jax.jit, static_argnums=(0, 1))
def _start(
    step: Step, size: Size, canvases: Array, own: tuple[Array, ...], now: Now
) -> tuple[Any, Any]:
    scene = step.frame.scene(size)

    def start(parts: Parts, key: Array, canvas: Array) -> tuple[Any, Any]:
        numbers = parts.parametrization.encode(canvas, scene)
        return numbers, parts.transformation().init(numbers)

    return step.each(start, own, now, canvases)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _decode(step: Step, size: Size, numbers: Any, own: tuple[Array, ...], now: Now) -> Array:
    scene = step.frame.scene(size)
    return step.each(
        lambda parts, key, n: parts.parametrization.decode(n, scene), own, now, numbers
    )
