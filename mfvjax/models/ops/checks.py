"""Checks of an operation's options: they come from files that nobody vouches for."""

import math
from typing import Any, TypeAlias

Pair: TypeAlias = tuple[int, int]
Shape: TypeAlias = tuple[int, ...]

MAX_SIZE = 2**31 - 1
"""Largest value of a size, and most elements of one activation: Caffe's own limit."""


def check_size(name: str, value: Any, *, minimum: int = 1) -> None:
    """Raises ``ValueError`` unless `value` is an integer from `minimum` to ``MAX_SIZE``."""
    if type(value) is not int or not minimum <= value <= MAX_SIZE:
        raise ValueError(f"{name} must be an integer from {minimum} to {MAX_SIZE}, got {value!r}")


def check_pair(name: str, value: Any, *, minimum: int = 1) -> None:
    """Raises ``ValueError`` unless `value` is a tuple of two such integers (rows, columns)."""
    if not isinstance(value, tuple) or len(value) != 2:
        raise ValueError(f"{name} must be two integers (rows, columns), got {value!r}")
    for entry in value:
        check_size(name, entry, minimum=minimum)


def check_real(name: str, value: Any) -> None:
    """Raises ``ValueError`` unless `value` is a finite float."""
    if type(value) is not float or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")


def check_flag(name: str, value: Any) -> None:
    """Raises ``ValueError`` unless `value` is a ``bool``."""
    if type(value) is not bool:
        raise ValueError(f"{name} must be true or false, got {value!r}")


def check_axes(name: str, axes: Any) -> None:
    """Raises ``ValueError`` unless `axes` are distinct, ascending axes counted from the end."""
    good = isinstance(axes, tuple) and all(type(a) is int and -8 <= a < 0 for a in axes)
    if not good or list(axes) != sorted(set(axes)):
        raise ValueError(f"{name} must be ascending negative axes such as (-1,), got {axes!r}")


def map_shape(shape: Shape) -> tuple[int, int, int]:
    """`shape` as ``(height, width, channels)``; ``ValueError`` if it is no map."""
    if len(shape) != 3:
        raise ValueError(f"needs a map (height, width, channels), its input has shape {shape}")
    return shape[0], shape[1], shape[2]


def axis_of(shape: Shape, axis: int) -> int:
    """The size of `shape` along the negative `axis`; ``ValueError`` if there is no such axis."""
    if len(shape) < -axis:
        raise ValueError(f"has no axis {axis}: its input has shape {shape}")
    return shape[axis]
