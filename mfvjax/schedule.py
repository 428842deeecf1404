"""Schedules: what the ascent does in each phase, as plain values.

A `Schedule` is a tuple of `Phase`s. Everything that changes from step to step is a `Ramp`, turned
into an array before the run, so that no value of a schedule is compiled into a program; what shapes
the program (the layer, the TV rule, the number of sweeps) is named as such below.

The published presets are in ``mfvjax.presets``.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np
from jaxtyping import Float64

RAMP_RULES: tuple[str, ...] = ("linear", "half-open", "half-open-integer", "release-weight")
TV_RULES: tuple[str, ...] = ("isotropic", "anisotropic", "scikit-image")
TV_ORDERS: tuple[str, ...] = ("red-black", "raster")
TARGETS: tuple[str, ...] = ("unit", "probability")
JITTERS: tuple[str, ...] = ("center", "uniform")


@dataclasses.dataclass(frozen=True)
class Ramp:
    """A value that changes linearly over the n steps of a phase; step i counts from 0.

    Attributes:
      start: first value named by the author of the schedule.
      end: last value named.
      rule: the arithmetic.
        ``"linear"``: ``start + (end - start) * i / (n - 1)``, which hits both ends;
        ``"half-open"``: ``start + (end - start) * i / n``, which stops one step short of `end`,
        as the step sizes of the authors' release do;
        ``"half-open-integer"``: the floor of that, which is what Python 2 made of step sizes
        written without a decimal point;
        ``"release-weight"``: ``start - (start - end * i) / n``, the TV weights of the release,
        whose misplaced parenthesis makes "0.4 to 0.4" run from ``0.4 (1 - 1/n)`` to almost 0.8.
    """

    start: float
    end: float
    rule: str = "linear"

    def __post_init__(self) -> None:
        if self.rule not in RAMP_RULES:
            raise ValueError(f"ramp rule {self.rule!r} is unknown; known: {', '.join(RAMP_RULES)}")
        for name in ("start", "end"):
            value = getattr(self, name)
            if not math.isfinite(value):
                raise ValueError(f"ramp {name} must be a finite number, not {value!r}")

    def values(self, num_steps: int) -> Float64[np.ndarray, " steps"]:
        """The value of every step, float64."""
        i = np.arange(num_steps, dtype=np.float64)
        if self.rule == "release-weight":
            return self.start - (self.start - self.end * i) / num_steps
        if self.rule == "linear":
            return self.start + (self.end - self.start) * i / max(num_steps - 1, 1)
        values = self.start + (self.end - self.start) * i / num_steps
        return np.floor(values) if self.rule == "half-open-integer" else values


def constant(value: float) -> Ramp:
    """A ramp that stays at `value`."""
    return Ramp(value, value)


def _as_ramp(value: Ramp | float | tuple[float, float]) -> Ramp:
    if isinstance(value, Ramp):
        return value
    if isinstance(value, tuple):
        return Ramp(*value)
    return constant(float(value))


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase of the ascent: a canvas size and the steps taken on it.

    `step_size` and `fidelity` also take a number, or a pair ``(start, end)`` for a linear ramp.

    Attributes:
      num_steps: iterations of ascent, TV denoising and jitter; at least 1.
      scale: the canvas is enlarged by this factor before the phase (cubic spline); at least 1.
      offset_std: standard deviation of the crop's offset, as a fraction of the free range of each
        axis (the release's ``window``); small values keep crops near the center.
      jitter: ``"center"`` draws offsets from that normal distribution, ``"uniform"`` draws every
        offset alike (`offset_std` is then not used).
      margin_px: this many pixels at each side of the crop get no gradient; the TV step still
        reaches them.
      step_size: mean absolute change of one ascent step, in grey levels.
      fidelity: weight of the TV step's data term; larger keeps more of the image.
      target: what is ascended. ``"unit"``: the activation as given; ``"probability"``: the softmax
        over the units of its layer, which for a unit of fc8 is the same unit of prob.
      tv_rule: ``"isotropic"``, ``"anisotropic"`` or ``"scikit-image"``.
      tv_order: ``"red-black"``, or ``"raster"`` for the sweep order of scikit-image.
      num_sweeps: inner split-Bregman iterations; 0 switches TV off.
      tv_tolerance: root mean square change of a sweep, in grey levels, at which the inner
        iterations end; ``None`` runs all of them.

    A program is compiled for each combination of `target` and the TV options, apart from
    `fidelity`; the other values only enter it.

    Raises:
      ValueError: a value is out of range; the message names it.
    """

    num_steps: int
    step_size: Ramp
    fidelity: Ramp
    scale: float = 1.0
    offset_std: float = 0.3
    jitter: Literal["center", "uniform"] = "center"
    margin_px: int = 0
    target: Literal["unit", "probability"] = "unit"
    tv_rule: Literal["isotropic", "anisotropic", "scikit-image"] = "isotropic"
    tv_order: Literal["red-black", "raster"] = "red-black"
    num_sweeps: int = 100
    tv_tolerance: float | None = None

    def __init__(
        self,
        *,
        num_steps: int,
        step_size: Ramp | float | tuple[float, float],
        fidelity: Ramp | float | tuple[float, float],
        scale: float = 1.0,
        offset_std: float = 0.3,
        jitter: str = "center",
        margin_px: int = 0,
        target: str = "unit",
        tv_rule: str = "isotropic",
        tv_order: str = "red-black",
        num_sweeps: int = 100,
        tv_tolerance: float | None = None,
    ) -> None:
        values = {k: v for k, v in locals().items() if k not in ("self", "step_size", "fidelity")}
        values["step_size"] = _as_ramp(step_size)
        values["fidelity"] = _as_ramp(fidelity)
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._validate()

    def _validate(self) -> None:
        _check(self.num_steps >= 1, "num_steps", self.num_steps, "at least 1")
        _check(self.scale >= 1, "scale", self.scale, "at least 1: the canvas never shrinks")
        _check(self.offset_std >= 0, "offset_std", self.offset_std, "0 or more")
        _check(self.margin_px >= 0, "margin_px", self.margin_px, "0 or more")
        _check(self.num_sweeps >= 0, "num_sweeps", self.num_sweeps, "0 (no TV) or more")
        for name, value, known in (
            ("jitter", self.jitter, JITTERS),
            ("target", self.target, TARGETS),
            ("tv_rule", self.tv_rule, TV_RULES),
            ("tv_order", self.tv_order, TV_ORDERS),
        ):
            _check(value in known, name, value, f"one of {', '.join(known)}")
        if self.tv_tolerance is not None:
            _check(self.tv_tolerance > 0, "tv_tolerance", self.tv_tolerance, "above 0, or None")
        steps = self.step_size.values(self.num_steps)
        _check(bool((steps >= 0).all()), "step_size", self.step_size, "0 or more at every step")
        weights = self.fidelity.values(self.num_steps)
        _check(
            self.num_sweeps == 0 or bool((weights > 0).all()),
            "fidelity",
            self.fidelity,
            f"above 0 at every step (its least value is {weights.min():g})",
        )


def _check(holds: bool, name: str, value: object, right: str) -> None:
    if not holds:
        raise ValueError(f"phase option {name}={value!r} must be {right}")


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A named sequence of phases.

    Attributes:
      name: shown in reports.
      phases: at least one.
      design_size: side in pixels of the network input that margins were written for; `for_input`
        turns them into those of another size. ``None``: margins are taken as they are.
    """

    name: str
    phases: tuple[Phase, ...]
    design_size: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "phases", tuple(self.phases))
        if not self.phases:
            raise ValueError(f"schedule {self.name!r} has no phases; give at least one")

    @property
    def num_steps(self) -> int:
        """Steps of all phases together."""
        return sum(phase.num_steps for phase in self.phases)

    def replace(self, *, name: str | None = None, **changes: object) -> Schedule:
        """The schedule with the same `changes` (options of `Phase`) made in every phase."""
        phases = tuple(dataclasses.replace(phase, **changes) for phase in self.phases)  # type: ignore[arg-type]
        return dataclasses.replace(self, name=name or self.name, phases=phases)

    def shortened(self, factor: float) -> Schedule:
        """The schedule with `factor` (0 to 1] times the steps in each phase, at least two each.

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

    def for_input(self, input_size: tuple[int, int]) -> Schedule:
        """The schedule for another network input: margins in proportion to its shorter side.

        Canvas sizes follow from the factors `scale` and need no change.

        Raises:
          ValueError: a margin leaves no pixel of the input free.
        """
        side = min(input_size)
        factor = side / self.design_size if self.design_size else 1.0
        phases = tuple(
            dataclasses.replace(phase, margin_px=round(phase.margin_px * factor))
            for phase in self.phases
        )
        for number, phase in enumerate(phases, 1):
            if 2 * phase.margin_px >= side:
                raise ValueError(
                    f"schedule {self.name!r}, phase {number}: a margin of {phase.margin_px} pixels "
                    f"at each side leaves nothing of an input of {input_size[0]}x{input_size[1]}"
                )
        return dataclasses.replace(self, phases=phases, design_size=side)

    def canvas_sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Canvas ``(height, width)`` of each phase, from a start image of `size`.

        Sizes are rounded as `scipy.ndimage.zoom` rounds them: 227, 272, 326.
        """
        sizes = []
        for phase in self.phases:
            size = (round(size[0] * phase.scale), round(size[1] * phase.scale))
            sizes.append(size)
        return sizes
