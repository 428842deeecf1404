"""Names for what a user's module computes: which activations there are, in which order."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr
from jaxtyping import Array

from mfvjax.preprocess import Preprocessing
from mfvjax.types import Activations

OUTPUT = "output"  # name of what a module returns without naming it
_PROBE_BATCH = 7  # an axis of this length, first in the shape, is taken for the batch
_BODIES = ("jaxpr", "call_jaxpr")  # parameters of a call that hold the program of what it calls
_EVALUATION = {
    "train": False,
    "training": False,
    "is_training": False,
    "deterministic": True,
    "use_running_average": True,
}


@dataclasses.dataclass(frozen=True)
class Traced:
    """What a trace of a model told.

    Attributes:
      shapes: of each named activation, without the batch axis, in the order of execution.
      returned: name of what the model returned outside any dictionary, if it returned such.
    """

    shapes: dict[str, tuple[int, ...]]
    returned: str | None


def evaluation_arguments(call: Callable[..., Any]) -> dict[str, bool]:
    """Keyword arguments that put a module's `call` into evaluation mode, where it has them.

    Known names: train, training, is_training, deterministic, use_running_average.
    """
    known = inspect.signature(call).parameters
    return {name: value for name, value in _EVALUATION.items() if name in known}


@dataclasses.dataclass(frozen=True)
class Result:
    """What one call of a user's module gave.

    Attributes:
      returned: the array returned without a name, if any.
      named: activations returned under names; ``None`` if the module returned no dictionary.
      captured: outputs of submodules, and values the module has sown.
    """

    returned: Array | None
    named: Activations | None
    captured: Activations

    @classmethod
    def of(cls, result: Any, captured: Mapping[Any, Any]) -> Result:
        """Takes apart a module's `result`: an array, a dictionary of named activations
        (dictionaries inside it become names joined by "/"), or ``(array, dictionary)``.

        Raises:
          ValueError: the module returned something else.
        """
        sown = captured_names(captured)
        if isinstance(result, Mapping):
            return cls(None, flatten_names(result), sown)
        if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping):
            return cls(result[0], flatten_names(result[1]), sown)
        if isinstance(result, jax.Array):
            return cls(result, None, sown)
        raise ValueError(
            "a module must return an array, a dictionary of named activations, or "
            f"(logits, dictionary), not {type(result).__name__}"
        )

    @property
    def activations(self) -> Activations:
        """All of them; what was returned without a name is called ``"output"``.

        Raises:
          ValueError: "output" is already the name of another activation.
        """
        activations = {**self.captured, **(self.named or {})}
        if self.returned is None or any(a is self.returned for a in activations.values()):
            return activations
        if OUTPUT in activations:
            raise ValueError(f"{OUTPUT!r} names an activation, but the module returns another one")
        return {**activations, OUTPUT: self.returned}


@runtime_checkable
class Run(Protocol):
    """Calls a user's module as a pure function of its parameters."""

    def __call__(self, params: Any, net_input: Array, /) -> Result:
        """Calls the module once."""
        ...

    def layer_at(self, error: Exception, /) -> str:
        """Path of the submodule that raised `error`; empty if it was none."""
        ...


def flatten_names(tree: Mapping[Any, Any], prefix: str = "") -> dict[str, Array]:
    """Arrays of nested dictionaries under names joined by "/"; what is no array is left out."""
    flat: dict[str, Array] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten_names(value, f"{prefix}{key}/")
        elif isinstance(value, jax.Array):
            flat[f"{prefix}{key}"] = value
    return flat


def captured_names(tree: Mapping[Any, Any], prefix: str = "") -> dict[str, Array]:
    """Names for captured intermediates: nested dictionaries that end in tuples, one entry a call.

    The output of submodule ``block/conv`` is ``"block/conv"``; that of a second call
    ``"block/conv#2"``; a method other than ``__call__``, or a value the module has sown under a
    name, adds that name: ``"block/features"``. The whole model's own output is left out.
    """
    flat: dict[str, Array] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= captured_names(value, f"{prefix}{key}/")
            continue
        name = prefix.removesuffix("/") if key == "__call__" else f"{prefix}{key}"
        calls = value if isinstance(value, tuple) else (value,)
        for number, array in enumerate(calls, start=1):
            if name and isinstance(array, jax.Array):
                flat[name if number == 1 else f"{name}#{number}"] = array
    return flat


def returns_names(run: Run, params: Any, preprocessing: Preprocessing) -> bool:
    """Whether the module itself returns a dictionary of activations; computes nothing."""
    found = []

    def note(params: Any, net_input: Array) -> None:
        found.append(run(params, net_input).named is not None)

    jax.eval_shape(note, params, _net_input(preprocessing))
    return found[-1]


def trace(
    run: Run,
    params: Any,
    preprocessing: Preprocessing,
) -> Traced:
    """Finds the names, shapes and order of the activations, without computing any.

    Activations are floating-point arrays of two to four axes, the batch first. The order is that
    of the equations of the traced program that produce them, inside compiled functions too.

    Args:
      run: calls the module.
      params: as `run` takes them.
      preprocessing: tells what images the module takes.

    Raises:
      ValueError: there is no activation at all.
    """
    returned: list[str] = []

    def activations(params: Any, net_input: Array) -> Activations:
        result = run(params, net_input)
        named = result.activations
        returned[:] = [name for name, array in named.items() if array is result.returned]
        return {name: array for name, array in named.items() if _is_activation(array)}

    make = jax.make_jaxpr(activations, return_shape=True)
    program, shapes = make(params, _net_input(preprocessing))
    places = _places(program.jaxpr)
    outvars = jax.tree.unflatten(jax.tree.structure(shapes), program.jaxpr.outvars)
    names = sorted(shapes, key=lambda name: (places.get(id(outvars[name]), ()), name))
    if not names:
        raise ValueError(
            "the module names no activations: they must be floating-point arrays of two to four "
            "axes, the batch first"
        )
    found = {name: tuple(shapes[name].shape[1:]) for name in names}
    return Traced(found, returned[0] if returned and returned[0] in found else None)


def _places(program: Jaxpr) -> dict[int, tuple[int, ...]]:
    """By the `id` of each value the number of the equation that makes it; of what a call makes,
    such as that of a compiled function, with the number of the equation inside behind it.
    """
    places: dict[int, tuple[int, ...]] = {}
    for number, eqn in enumerate(program.eqns):
        body = next((eqn.params[key] for key in _BODIES if key in eqn.params), None)
        body = getattr(body, "jaxpr", body)  # closed or not
        inside = {} if body is None else _places(body)
        results = eqn.outvars if body is None else body.outvars
        for var, result in zip(eqn.outvars, results, strict=False):
            places[id(var)] = (number, *inside.get(id(result), ()))
    return places


def _net_input(preprocessing: Preprocessing) -> jax.ShapeDtypeStruct:
    shape = (_PROBE_BATCH, *preprocessing.input_size, preprocessing.domain.channels)
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _is_activation(array: Array) -> bool:
    is_float = jnp.issubdtype(array.dtype, jnp.floating)
    return is_float and 2 <= array.ndim <= 4 and array.shape[0] == _PROBE_BATCH
