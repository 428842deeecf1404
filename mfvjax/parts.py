"""Parts of the ascent: values whose numbers may change from step to step.

A part is a frozen dataclass that is also a JAX pytree. Its *numbers* are leaves: a recipe writes
them as floats or as `Ramp`s, and inside the compiled step each is the number of that step, so that
no value is ever compiled in. Its *static* fields are part of the structure, which is what programs
are compiled for. Arrays are leaves that stay the same in all steps.

    @part
    class Clip:
        low: Number = number(default=0.0)
        high: Number = number(default=255.0)

        def __call__(self, window, step):
            return jnp.clip(window, self.low, self.high)

What the engine calls is said by the contracts in ``mfvjax.contracts``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, TypeVar, dataclass_transform

import jax
import numpy as np
from jax.tree_util import GetAttrKey

from mfvjax.schedule import Ramp, as_number

Number: TypeAlias = Any  # Ramp | float | (start, end); in the compiled step an array of rank 0
Leaf: TypeAlias = Any  # an array of NumPy or JAX; its shape stands in the part's docstring
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a number may be at any step of its phase; `scales` says that it counts input pixels."""

    at_least: float = -math.inf
    above: float = -math.inf
    at_most: float = math.inf
    scales: bool = False

    def check(self, name: str, value: Any, num_steps: int) -> None:
        """Raises ValueError unless `value` is in these limits at every one of `num_steps` steps."""
        steps = value.values(num_steps) if isinstance(value, Ramp) else np.asarray([value], float)
        if not ((steps >= self.at_least) & (steps > self.above) & (steps <= self.at_most)).all():
            least = f" (its least value is {steps.min():g})" if isinstance(value, Ramp) else ""
            raise ValueError(f"{name}={value} must be {self} at every step{least}")

    def __str__(self) -> str:
        words = []
        if self.at_least > -math.inf:
            words.append(f"{self.at_least:g} or more")
        if self.above > -math.inf:
            words.append(f"above {self.above:g}")
        if self.at_most < math.inf:
            words.append(f"at most {self.at_most:g}")
        return " and ".join(words) or "a finite number"


@dataclasses.dataclass(frozen=True, eq=False)
class PerFacet:
    """An array with one entry per facet, as a part's value; the step sees the facet's own entry.

    Attributes:
      values: ``(facets, ...)``, in the order of the start images.
    """

    values: Any


def number(
    *,
    default: Any = dataclasses.MISSING,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
    scales: bool = False,
) -> Any:
    """A field that takes a float, a ``(start, end)`` or a `Ramp`, within limits.

    With `scales` it counts pixels of the network's input, and follows that from the size that a
    recipe was written for (`Recipe.for_input`).
    """
    limits = Limits(at_least, above, at_most, scales)
    return dataclasses.field(default=default, metadata={"limits": limits})


def static(*, default: Any = dataclasses.MISSING, choices: tuple[Any, ...] | None = None) -> Any:
    """A field that shapes the compiled program; hashable, one of `choices` if they are given."""
    return dataclasses.field(default=default, metadata={"static": True, "choices": choices})


@dataclass_transform(frozen_default=True, field_specifiers=(number, static, dataclasses.field))
def part(cls: type[T]) -> type[T]:
    """Makes a class a part: a frozen dataclass, a pytree, its options checked when it is made.

    Raises (from the class, when it is called):
      ValueError: a static field is none of its choices, or a number is not finite.
    """
    own_check = cls.__dict__.get("__post_init__")

    def __post_init__(self: Any) -> None:
        for field in dataclasses.fields(self):
            _settle(self, field)
        if own_check is not None:
            own_check(self)

    cls.__post_init__ = __post_init__  # type: ignore[attr-defined]
    made = dataclasses.dataclass(frozen=True)(cls)
    fields = dataclasses.fields(made)  # type: ignore[arg-type]
    names = [field.name for field in fields]
    data = [field.name for field in fields if not field.metadata.get("static")]
    fixed = [name for name in names if name not in data]

    def flatten(value: Any) -> tuple[list[Any], tuple[Any, ...]]:
        return [getattr(value, name) for name in data], tuple(getattr(value, n) for n in fixed)

    def flatten_with_keys(value: Any) -> tuple[list[Any], tuple[Any, ...]]:
        return [(GetAttrKey(name), getattr(value, name)) for name in data], flatten(value)[1]

    def unflatten(aux: tuple[Any, ...], children: Any) -> Any:
        value = object.__new__(made)  # no checks: children may be anything that JAX puts there
        for name, child in zip((*data, *fixed), (*children, *aux), strict=True):
            object.__setattr__(value, name, child)
        return value

    jax.tree_util.register_pytree_with_keys(made, flatten_with_keys, unflatten, flatten)
    return made


def _settle(value: Any, field: dataclasses.Field) -> None:
    """Brings a field to its plain form and checks what can be checked without a phase."""
    given = getattr(value, field.name)
    choices = field.metadata.get("choices")
    if choices is not None and given not in choices:
        raise ValueError(
            f"{type(value).__name__} option {field.name}={given!r} must be one of "
            f"{', '.join(map(str, choices))}"
        )
    if "limits" in field.metadata and given is not None:
        name = f"{type(value).__name__} option {field.name}"
        object.__setattr__(value, field.name, as_number(name, given))


def is_value(leaf: Any) -> bool:
    """Whether a leaf of a part is one of those that JAX must not look into."""
    return isinstance(leaf, Ramp | PerFacet)


def numbers_of(tree: Any, name: str = "") -> Iterator[tuple[str, Any, dataclasses.Field]]:
    """Every part's fields that have limits, in `tree`: (their name, the part, the field)."""
    if _is_row(tree):
        for item in tree:
            yield from numbers_of(item, name)
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type | Ramp | PerFacet):
        for field in dataclasses.fields(tree):
            if "limits" in field.metadata and getattr(tree, field.name) is not None:
                yield f"{type(tree).__name__} option {field.name}", tree, field
            else:
                yield from numbers_of(getattr(tree, field.name), field.name)


def map_parts(tree: T, change: Callable[[Any], Any]) -> T:
    """`tree` with each dataclass in it, from the inside out, replaced by what `change` gives."""
    if _is_row(tree):
        return type(tree)(map_parts(item, change) for item in tree)  # type: ignore
    if isinstance(tree, type | Ramp | PerFacet) or not dataclasses.is_dataclass(tree):
        return tree
    inner = {field.name: getattr(tree, field.name) for field in dataclasses.fields(tree)}
    changed = {name: map_parts(value, change) for name, value in inner.items()}
    return change(dataclasses.replace(tree, **changed))  # type: ignore[type-var]


def _is_row(tree: Any) -> bool:
    return isinstance(tree, tuple | list) and not hasattr(tree, "_fields")
