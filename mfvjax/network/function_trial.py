"""A user's function tried without computing anything: what it takes, and what it gives back."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mfvjax.preprocess import Preprocessing
from mfvjax.types import Params

INPUT_FORMATS = ("NHWC", "NCHW")
_TRIAL_BATCH = 5  # another than the trace has after it, so that a batch axis shows
_LONGEST = 400  # characters of an error that are told
_NOT_TRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


@dataclasses.dataclass(frozen=True)
class _Failed:
    """A call that raised: `what` happened, for the user, and whether JAX could not trace it."""

    what: str
    untraceable: bool
    error: Exception


def function_name(fn: Callable[..., Any]) -> str:
    """``module.qualified_name`` of a function; of a partial, that of the function inside; of any
    other callable, that of its class.
    """
    while isinstance(fn, functools.partial):
        fn = fn.func
    named = fn if hasattr(fn, "__qualname__") else type(fn)
    return f"{named.__module__}.{named.__qualname__}"


def check_params(params: Params) -> None:
    """Refuses parameters that are not arrays.

    Raises:
      ValueError: a leaf is no array of numbers; the message names it.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        is_array = isinstance(leaf, jax.Array | np.ndarray | np.generic)
        if is_array and (jnp.issubdtype(leaf.dtype, jnp.number) or leaf.dtype == bool):
            continue
        kind = f"an array of {leaf.dtype}" if is_array else f"a {type(leaf).__name__}"
        where = jax.tree_util.keystr(path)
        raise ValueError(
            f"params{where} is {kind}; all leaves must be arrays of numbers: part them from the "
            "rest, which belongs into the function (equinox.partition(model, equinox.is_array)), "
            "and turn plain numbers into arrays"
        )


def find_input_format(
    fn: Callable[[Params, Array], Any],
    params: Params,
    preprocessing: Preprocessing,
    *,
    input_format: str | None,
    layers: Sequence[str] | None,
) -> str:
    """The layout of images that `fn` takes: the one in which it runs, "NHWC" if it does in both.

    What it returns is checked with it; nothing is computed.

    Args:
      fn: ``(params, images) -> {name: activation}``.
      params: as `fn` takes them.
      preprocessing: of the images.
      input_format: to be tried; both if ``None``.
      layers: activations to check; all if ``None``.

    Raises:
      ValueError: it runs in none, or does not return named activations.
    """
    formats = INPUT_FORMATS if input_format is None else (input_format,)
    failed = {}
    for one in formats:
        outcome = _try(fn, params, _image_shape(preprocessing, one))
        if not isinstance(outcome, _Failed):
            _check_result(function_name(fn), outcome, layers)
            return one
        failed[one] = outcome
    raise ValueError(_why(fn, failed, preprocessing)) from next(iter(failed.values())).error


def _image_shape(preprocessing: Preprocessing, input_format: str) -> tuple[int, ...]:
    size, channels = preprocessing.input_size, preprocessing.domain.channels
    inside = (*size, channels) if input_format == "NHWC" else (channels, *size)
    return (_TRIAL_BATCH, *inside)


def _try(fn: Callable[..., Any], params: Params, shape: tuple[int, ...]) -> Any:
    """What `fn` returns for images of `shape`, arrays as their shapes; or how it failed."""
    returned: list[Any] = []

    def note(params: Params, images: Array) -> None:
        returned.append(_without_arrays(fn(params, images)))

    try:
        jax.eval_shape(note, params, jax.ShapeDtypeStruct(shape, jnp.float32))
    except Exception as error:  # whatever the function raises
        return _failure(error)
    return returned[-1]


def _without_arrays(result: Any) -> Any:
    """`result` with its arrays replaced by shapes, as deep as names can lie."""
    if isinstance(result, jax.Array):
        return jax.ShapeDtypeStruct(result.shape, result.dtype)
    if isinstance(result, Mapping):
        return {name: _without_arrays(value) for name, value in result.items()}
    if isinstance(result, tuple | list):
        kind = tuple if isinstance(result, tuple) else list
        return kind(map(_without_arrays, result))
    return result


def _failure(error: Exception) -> _Failed:
    text = " ".join(str(error).partition("-----")[0].split())  # without JAX's note on tracebacks
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    what = f"{type(error).__name__}: {short}{_place(error)}"
    return _Failed(what, isinstance(error, _NOT_TRACEABLE), error)


def _place(error: Exception) -> str:
    """The innermost line that is the user's: in no installed package, and not in this one."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        parents = pathlib.Path(frame.filename).parents
        is_installed = any(parent.name == "site-packages" for parent in parents)
        if not is_installed and pathlib.Path(__file__).parents[1] not in parents and frame.line:
            return f" (line {frame.lineno} of {os.path.basename(frame.filename)}: {frame.line})"
    return ""


def _why(fn: Callable[..., Any], failed: dict[str, _Failed], preprocessing: Preprocessing) -> str:
    name = function_name(fn)
    for failure in failed.values():
        if failure.untraceable:
            return (
                f"function {name} cannot be traced by JAX: it decides by values of arrays, or "
                "takes them out of JAX; use jnp.where or jax.lax.cond, and jax.numpy only. "
                f"{failure.what}"
            )
    tried = "; ".join(
        f"{one} {_image_shape(preprocessing, one)} gives {failure.what}"
        for one, failure in failed.items()
    )
    return (
        f"function {name} does not run on a batch of images of "
        f"{'x'.join(map(str, preprocessing.input_size))}: {tried}. It is called as "
        "fn(params, images); one for single images needs jax.vmap"
    )


def _check_result(name: str, result: Any, layers: Sequence[str] | None) -> None:
    """Refuses what a function has returned, if it is not named activations."""
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping):
        logits, named = result
        _check_activation(f"what function {name} returns first", logits)
        result = named
    elif isinstance(result, jax.ShapeDtypeStruct):
        _check_activation(f"what function {name} returns", result)
        return
    if not isinstance(result, Mapping):
        many = f" of {len(result)}" if isinstance(result, tuple | list) else ""
        raise ValueError(
            f"function {name} returns a {type(result).__name__}{many}: give its arrays names, "
            "{name: array}; an array, and (logits, {name: array}), are taken too"
        )
    flat = dict(_flat(result))
    if not flat:
        raise ValueError(f"function {name} returns an empty dictionary: it names no activations")
    for layer, value in flat.items():
        if layers is None or layer in layers:
            _check_activation(f"activation {layer!r} of function {name}", value)


def _flat(named: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in named.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def _check_activation(what: str, value: Any) -> None:
    if not isinstance(value, jax.ShapeDtypeStruct):
        raise ValueError(
            f"{what} is a {type(value).__name__}, not a JAX array; give every array a name of its "
            "own, or leave it out (layers=[...] names those to keep)"
        )
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise ValueError(
            f"{what} is of type {value.dtype}; activations are floating-point numbers: leave it "
            "out (layers=[...] names those to keep)"
        )
    if not 2 <= len(value.shape) <= 4 or value.shape[0] != _TRIAL_BATCH:
        raise ValueError(
            f"{what} has shape {value.shape} for {_TRIAL_BATCH} images; it must have two to four "
            "axes, the batch first (layers=[...] names those to keep)"
        )
