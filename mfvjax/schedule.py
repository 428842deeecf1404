"""Schedules of numbers: how a value changes over the steps of a phase.

Everything that changes from step to step is a `Ramp`, turned into an array before the run, so that
no value is compiled into a program.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float64

RAMP_RULES: tuple[str, ...] = ("linear", "half-open", "half-open-integer", "release-weight")


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


def as_number(name: str, value: Any) -> Any:
    """`value` as a part keeps it: a float, or a `Ramp`; a pair is a linear ramp.

    Arrays of any rank are left as they are: in a compiled step, numbers are arrays.

    Raises:
      ValueError: it is something else, or not finite; the message begins with `name`.
    """
    if isinstance(value, Ramp) or (hasattr(value, "shape") and not isinstance(value, np.generic)):
        return value
    if isinstance(value, tuple | list) and len(value) == 2:
        return Ramp(*value)
    try:
        plain = float(value)
    except (TypeError, ValueError):
        plain = math.nan
    if not math.isfinite(plain):
        raise ValueError(
            f"{name}={value!r} must be a finite number, a pair (start, end), or a Ramp"
        )
    return plain


def values_of(value: Any, num_steps: int) -> Float64[np.ndarray, " steps"]:
    """A number at every step of a phase."""
    return value.values(num_steps) if isinstance(value, Ramp) else np.full(num_steps, float(value))
