"""A phase as a compiled step knows it: a structure, and its numbers as arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from mfvjax.parts import PerFacet, is_value
from mfvjax.recipe import Parts, Phase
from mfvjax.schedule import Ramp, values_of

# Steps that one call can take at most: the length of the arrays that carry a chunk's numbers.
MAX_CHUNK = 64
_STEP, _CONSTANT, _FACET = "step", "constant", "facet"


@dataclasses.dataclass(frozen=True)
class StepPlan:
    """The structure of a phase's parts: what, of a phase, a program is compiled for.

    Attributes:
      structure: of the parts.
      kinds: of each leaf: a number of the step, an array for all, or an array of each facet.
      num_views: per step.
      crops: whether a window of the canvas moves.
      has_penalties: whether there are any.
      has_projections: likewise.
    """

    structure: Any
    kinds: tuple[str, ...]
    num_views: int
    crops: bool
    has_penalties: bool
    has_projections: bool

    def parts(
        self, row: Float[Array, " numbers"], constants: Sequence[Array], own: Sequence[Array]
    ) -> Parts:
        """The parts of one facet in one step.

        Args:
          row: numbers of the step, after its index.
          constants: arrays of all facets.
          own: arrays of this facet.
        """
        numbers = iter([row[i + 1] for i in range(self.kinds.count(_STEP))])
        sources = {_STEP: numbers, _CONSTANT: iter(constants), _FACET: iter(own)}
        return jax.tree.unflatten(self.structure, [next(sources[kind]) for kind in self.kinds])


@dataclasses.dataclass(frozen=True, eq=False)
class PhaseValues:
    """A phase, taken apart.

    Attributes:
      plan: its structure.
      steps: ``(num_steps, 1 + numbers)``, float32: the index of each step, and its numbers.
      constants: arrays of all facets.
      per_facet: arrays whose first axis are the facets.
    """

    plan: StepPlan
    steps: Float32[np.ndarray, "steps numbers"]
    constants: tuple[Array, ...]
    per_facet: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, phase: Phase) -> PhaseValues:
        """Flattens the parts of a phase."""
        leaves, structure = jax.tree.flatten(phase.parts, is_leaf=is_value)
        kinds = tuple(map(_kind_of, leaves))
        columns = [np.arange(phase.num_steps, dtype=np.float64)]
        columns += [
            values_of(leaf, phase.num_steps)
            for leaf, kind in zip(leaves, kinds, strict=True)
            if kind == _STEP
        ]
        chosen = list(zip(leaves, kinds, strict=True))
        return cls(
            StepPlan(
                structure,
                kinds,
                phase.num_views,
                phase.crops,
                bool(phase.penalties),
                bool(phase.projections),
            ),
            np.stack(columns, axis=1).astype(np.float32),
            tuple(jnp.asarray(leaf, jnp.float32) for leaf, kind in chosen if kind == _CONSTANT),
            tuple(np.asarray(leaf.values) for leaf, kind in chosen if kind == _FACET),
        )

    def chunk(self, first: int, count: int) -> Float32[np.ndarray, "chunk numbers"]:
        """`MAX_CHUNK` rows, of which the first `count` are those of steps `first` on."""
        rows = np.zeros((MAX_CHUNK, self.steps.shape[1]), np.float32)
        rows[:count] = self.steps[first : first + count]
        return rows


def _kind_of(leaf: Any) -> str:
    if isinstance(leaf, PerFacet):
        return _FACET
    if isinstance(leaf, Ramp | float | int) or np.ndim(leaf) == 0:
        return _STEP
    return _CONSTANT
