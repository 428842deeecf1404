"""Recipes: a way of making pictures, as plain values that a person can compare with a paper.

A `Recipe` is a tuple of `Phase`s, and a phase a choice of parts: what moves (a parametrization),
what the network sees of it in a step (views), what is asked of the window besides the facet's
objective (penalties), how a gradient becomes a step (updates), and what is done after each step
(projections). Numbers of parts may ramp over the steps of a phase; only the structure is compiled.

The published recipes are in ``mfvjax.recipes``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import optax

from mfvjax.contracts import CroppingView, Parametrization, Projection, Size, Update, View
from mfvjax.facet_objective import FacetObjective, UnitHeld
from mfvjax.objective.term import Term
from mfvjax.parametrizations.pixels import Pixels
from mfvjax.parts import Limits, PerFacet, is_value, map_parts, numbers_of
from mfvjax.priors.projections import Clip
from mfvjax.schedule import Ramp
from mfvjax.updates.steps import Given
from mfvjax.views.crop import Crop

TARGETS = ("unit", "probability")


@dataclasses.dataclass(frozen=True)
class Phase:
    """Some steps of the ascent on a canvas of one size.

    Attributes:
      num_steps: at least 1.
      update: how a gradient becomes a step: an update of `mfvjax.updates`, an optax transformation
        with optax's own sign (``optax.adam(0.05)`` climbs), or several in a row.
      view: what the network sees, of `mfvjax.views`; or several in a row, of which the first may
        crop.
      projections: what is done to the window after each step, in this order.
      parametrization: what moves, of `mfvjax.parametrizations`.
      penalties: terms that look at the window alone, of `mfvjax.objective`, their weights here.
      target: what a facet's readings are of: ``"unit"``, the activation as given;
        ``"probability"``, the softmax over the units of its layer, which for a unit of fc8 is the
        same unit of prob.
      scale: the canvas is enlarged by this factor before the phase (cubic spline); a pair
        ``(rows, columns)`` where they differ. At least 1.
      num_views: views per step, whose objectives are averaged; each draws its own random numbers.

    Raises:
      ValueError: a value is out of range at any step; the message names it.
    """

    num_steps: int
    update: Update | optax.GradientTransformation | Sequence[Any]
    view: View | Sequence[View] = Crop()  # noqa: RUF009 (frozen)
    projections: Sequence[Projection] = (Clip(),)
    parametrization: Parametrization = Pixels()  # noqa: RUF009
    penalties: Sequence[Term] = ()
    target: str = "unit"
    scale: float | tuple[float, float] = 1.0
    num_views: int = 1

    def __post_init__(self) -> None:
        for name, value in (
            ("update", tuple(Given(one) if _is_optax(one) else one for one in _row(self.update))),
            ("view", _row(self.view)),
            ("projections", tuple(self.projections)),
            ("penalties", tuple(self.penalties)),
        ):
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        _check(self.num_steps >= 1, "num_steps", self.num_steps, "at least 1")
        _check(self.num_views >= 1, "num_views", self.num_views, "at least 1")
        _check(self.target in TARGETS, "target", self.target, f"one of {', '.join(TARGETS)}")
        _check(min(self.scales) >= 1, "scale", self.scale, "at least 1: the canvas never shrinks")
        _check(bool(_row(self.update)), "update", self.update, "an update, or several")
        _check(bool(self.view), "view", self.view, "a view, or several")
        places = not self.crops or isinstance(_row(self.view)[0], CroppingView)
        _check(places, "view", self.view, "one with a method offset, since it crops")
        late = [view for view in _row(self.view)[1:] if view.crops]
        _check(not late, "view", self.view, "several of which only the first crops")
        crops = self.crops and not self.parametrization.is_local
        what = f"pixels, or a view other than Crop: {type(self.parametrization).__name__} moves as "
        _check(not crops, "parametrization", self.parametrization, f"{what}a whole")
        for link in () if self.parametrization.is_local else _row(self.update):
            name = type(self.parametrization).__name__
            right = f"one without a margin or a blur: the numbers of {name} are no pixels"
            _check(not getattr(link, "needs_axes", False), "update", link, right)
        for term in self.penalties:
            _check(not term.reads and not term.is_joint, "penalties", term, "terms of the window")
        for name, part, field in numbers_of(self.parts):
            limits: Limits = field.metadata["limits"]
            limits.check(f"phase: {name}", getattr(part, field.name), self.num_steps)

    @property
    def parts(self) -> Parts:
        """The five kinds of parts."""
        return Parts(self.parametrization, self.view, self.penalties, self.update, self.projections)

    @property
    def crops(self) -> bool:
        """Whether a window of the canvas moves, instead of all of it."""
        return _row(self.view)[0].crops

    @property
    def scales(self) -> tuple[float, float]:
        """Factors of rows and columns."""
        return self.scale if isinstance(self.scale, tuple) else (self.scale, self.scale)

    def change(self, kind: type, **changes: Any) -> Phase:
        """The phase with the same `changes` made in each of its parts of `kind`."""

        def changed(part: Any) -> Any:
            return dataclasses.replace(part, **changes) if isinstance(part, kind) else part  # type: ignore[type-var]

        return map_parts(self, changed)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Parts:
    """The parts of a phase: a pytree whose leaves are their numbers and arrays."""

    parametrization: Any
    views: Any
    penalties: Any
    updates: Any
    projections: Any

    def transformation(self) -> optax.GradientTransformation:
        """The chain of updates."""
        links = [update() for update in self.updates]
        return links[0] if len(links) == 1 else optax.chain(*links)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A named sequence of phases.

    Attributes:
      name: shown in reports.
      phases: at least one.
      design_size: side in pixels of the network input that lengths such as margins were written
        for; `for_input` turns them into those of another size. ``None``: they are taken as they
        are.
      objective: what a facet's picture climbs besides its unit, in a run; `mfvjax.visualize` takes
        objectives as they are.
    """

    name: str
    phases: tuple[Phase, ...]
    design_size: int | None = None
    objective: FacetObjective = UnitHeld()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        object.__setattr__(self, "phases", tuple(self.phases))
        if not self.phases:
            raise ValueError(f"recipe {self.name!r} has no phases; give at least one")

    @property
    def num_steps(self) -> int:
        """Steps of all phases together."""
        return sum(phase.num_steps for phase in self.phases)

    def replace(self, *, name: str | None = None, **changes: Any) -> Recipe:
        """The recipe with the same `changes` (options of `Phase`) made in every phase."""
        phases = tuple(dataclasses.replace(phase, **changes) for phase in self.phases)
        return dataclasses.replace(self, name=name or self.name, phases=phases)

    def change(self, kind: type, *, name: str | None = None, **changes: Any) -> Recipe:
        """The recipe with the same `changes` made in every part of `kind`.

        ``MEAN_IMAGE.change(TV, rule="isotropic", tolerance=None)``
        """
        phases = tuple(phase.change(kind, **changes) for phase in self.phases)
        return dataclasses.replace(self, name=name or self.name, phases=phases)

    def holding(self, hold: float) -> Recipe:
        """The recipe with another weight of the term that holds each code at its facet.

        Raises:
          ValueError: `hold` is negative or not finite.
        """
        return dataclasses.replace(self, objective=dataclasses.replace(self.objective, hold=hold))

    def shortened(self, factor: float) -> Recipe:
        """The recipe with `factor` (0 to 1] times the steps in each phase, at least two each.

        With one step the weight ramp of the release would be 0.
        """
        if not 0 < factor <= 1:
            raise ValueError(f"factor={factor!r} must be above 0 and at most 1")
        phases = tuple(
            dataclasses.replace(
                phase, num_steps=min(phase.num_steps, max(2, round(phase.num_steps * factor)))
            )
            for phase in self.phases
        )
        return dataclasses.replace(self, phases=phases)

    def for_input(self, input_size: Size) -> Recipe:
        """The recipe for another network input: margins in proportion to its shorter side.

        Canvas sizes follow from the factors `scale` and need no change.

        Raises:
          ValueError: a margin leaves no pixel of the input free.
        """
        side = min(input_size)
        factor = side / self.design_size if self.design_size else 1.0
        phases = self.phases if factor == 1 else tuple(_scaled(p, factor) for p in self.phases)
        for index, phase in enumerate(phases, 1):
            for _, part, field in numbers_of(phase.parts):
                value = getattr(part, field.name)
                most = max(value.start, value.end) if isinstance(value, Ramp) else value
                if field.metadata["limits"].scales and np.ndim(most) == 0 and 2 * most >= side:
                    raise ValueError(
                        f"recipe {self.name!r}, phase {index}: a margin of {most:g} pixels at each "
                        f"side leaves nothing of an input of {input_size[0]}x{input_size[1]}"
                    )
        return dataclasses.replace(self, phases=phases, design_size=side)

    def canvas_sizes(self, size: Size) -> list[Size]:
        """Canvas ``(height, width)`` of each phase, from a start image of `size`.

        Sizes are rounded as `scipy.ndimage.zoom` rounds them: 227, 272, 326.
        """
        sizes = []
        for phase in self.phases:
            size = (round(size[0] * phase.scales[0]), round(size[1] * phase.scales[1]))
            sizes.append(size)
        return sizes

    @property
    def sha256(self) -> str:
        """Of every value and structure of its phases, arrays included; not of its name.

        A transformation of optax that is given as it is counts by the names of its functions. The
        objective counts without its `hold`, which is an option of its own in a run.
        """
        digest = hashlib.sha256(repr(self.design_size).encode())
        if not isinstance(self.objective, UnitHeld):
            digest.update(repr(dataclasses.replace(self.objective, hold=0.0)).encode())
        for phase in self.phases:
            rest = (phase.num_steps, phase.target, phase.scales, phase.num_views)
            digest.update(repr(rest).encode())
            _digest_parts(digest, phase.parts)
        return digest.hexdigest()


def _scaled(phase: Phase, factor: float) -> Phase:
    """The phase with numbers that count input pixels times `factor`, in whole pixels."""

    def scaled(part: Any) -> Any:
        fields = [f for _, owner, f in numbers_of(part) if owner is part]
        names = [f.name for f in fields if f.metadata["limits"].scales]
        changes = {name: _times(getattr(part, name), factor) for name in names}
        return dataclasses.replace(part, **changes)

    return map_parts(phase, scaled)


def _times(value: Any, factor: float) -> Any:
    if isinstance(value, Ramp):
        start, end = round(value.start * factor), round(value.end * factor)
        return dataclasses.replace(value, start=start, end=end)
    return float(round(value * factor))


def _digest_parts(digest: Any, parts: Parts) -> None:
    leaves, structure = jax.tree.flatten(parts, is_leaf=is_value)
    digest.update(re.sub(r" at 0x[0-9a-f]+", "", str(structure)).encode())  # of functions
    for leaf in leaves:
        value = leaf.values if isinstance(leaf, PerFacet) else leaf
        if isinstance(value, Ramp | float | int):
            digest.update(repr(value).encode())
        else:
            array = np.asarray(value)
            digest.update(f"{array.shape} {array.dtype}".encode() + array.tobytes())


def _row(value: Any) -> tuple[Any, ...]:
    """Several parts as a tuple; a single one as a tuple of it."""
    is_row = isinstance(value, tuple | list) and not hasattr(value, "_fields")
    return tuple(value) if is_row else (value,)


def _is_optax(value: Any) -> bool:
    return isinstance(value, optax.GradientTransformation) or (
        hasattr(value, "init") and hasattr(value, "update") and not callable(value)
    )


def _check(holds: bool, name: str, value: object, right: str) -> None:
    if not holds:
        raise ValueError(f"phase option {name}={value!r} must be {right}")
