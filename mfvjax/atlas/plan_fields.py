"""What a stored plan may hold: an atlas may come from anyone, and each refusal names its field."""

from __future__ import annotations

import math
from typing import Any

from mfvjax.types import Unit


def check_fields(plan: dict[str, Any]) -> None:
    """Checks the fields of a plan that was read from JSON, all of which are there.

    Raises:
      ValueError: one has another type, or holds what it cannot hold; the message names it.
    """
    units = plan["units"]
    if not isinstance(units, list) or not all(isinstance(unit, str) for unit in units):
        raise ValueError(_wrong("units", units, "a list of units"))
    for unit in units:
        Unit.parse(unit)
    for name in ("network", "images", "recipe", "top", "discovery"):
        _check(isinstance(plan[name], dict), name, plan[name], "values by name")
    for name in ("name", "fingerprint"):
        value = plan["network"].get(name)
        _check(isinstance(value, str), f"network.{name}", value, "text")
    count = plan["images"].get("count")
    _check(_is_whole(count, 0), "images.count", count, "a number of images")
    facets = plan["num_facets"]
    _check(facets == "auto" or _is_whole(facets, 1), "num_facets", facets, 'a number, or "auto"')
    _check(_is_number(plan["step_fraction"]), "step_fraction", plan["step_fraction"], "a number")
    hold = plan["hold"]
    _check(hold is None or _is_number(hold), "hold", hold, "a number, or null")
    _check(isinstance(plan["controls"], bool), "controls", plan["controls"], "true or false")
    seed = plan["seed"]
    _check(isinstance(seed, int) and not isinstance(seed, bool), "seed", seed, "a whole number")
    _check(isinstance(plan["precision"], str), "precision", plan["precision"], "text")
    size = plan["facets_per_device"]
    _check(_is_whole(size, 1), "facets_per_device", size, "a whole number from 1")


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: object) -> bool:
    is_plain = isinstance(value, int | float) and not isinstance(value, bool)
    return is_plain and math.isfinite(value)  # type: ignore[arg-type]


def _check(holds: bool, name: str, value: object, right: str) -> None:
    if not holds:
        raise ValueError(_wrong(name, value, right))


def _wrong(name: str, value: object, right: str) -> str:
    shown = repr(value)
    return f"{name} is {shown if len(shown) <= 80 else shown[:77] + '...'}; it must be {right}"
