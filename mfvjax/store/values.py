"""Values of ``run.json``: JSON types only, so that what is read is what was written."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any


def json_bytes(header: dict[str, Any]) -> bytes:
    """Strict JSON, readable as it is; escaped only where a file name is not text on this system."""
    try:
        return _text(header, ensure_ascii=False)
    except UnicodeEncodeError:
        return _text(header, ensure_ascii=True)


def number(value: float) -> float | str:
    """A number, or the word for one that JSON cannot write; `float` reads both."""
    known = float(value)
    if math.isnan(known):
        return "NaN"
    return known if math.isfinite(known) else f"{'-' if known < 0 else ''}Infinity"


def numbers(values: Iterable[float]) -> list[float | str]:
    """A row of them."""
    return [number(value) for value in values]


def plain(value: Any, where: str) -> Any:
    """The value in JSON types; tuples become lists.

    Raises:
      ValueError: there is another type in it; `where` says in which part of the run.
    """
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    raise ValueError(f"run.{where} cannot be stored: {value!r} is not of a JSON type")


def _text(header: dict[str, Any], *, ensure_ascii: bool) -> bytes:
    text = json.dumps(header, indent=1, ensure_ascii=ensure_ascii, allow_nan=False)
    return text.encode() + b"\n"
