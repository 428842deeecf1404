"""What goes into the ReLU that a layer ends with, found in any network's own program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var, jaxpr_as_fun
from jaxtyping import Array

_CASTS = ("convert_element_type", "copy")
_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")  # parameters that hold the program of a nested call


def read_with_relu_inputs(
    read: Callable[[Array], Mapping[str, Array]], images: Array, layers: Sequence[str]
) -> tuple[Mapping[str, Array], dict[str, Array]]:
    """What `read` gives, and for those of `layers` that end with a ReLU also its input.

    No gradient comes through a ReLU that is closed. Caffe's ``backward(start="conv5")`` begins
    before the ReLU that runs in place behind that layer; here the same is found for any network
    that JAX can trace, in its program, whatever its modules are called.

    Args:
      read: maps images to named activations.
      images: a batch; may be traced.
      layers: names of activations.

    Returns: the activations, and by layer the input of its ReLU, in the activation's dtype. Layers
      that end otherwise are not in the second mapping; neither are those whose ReLU is hidden in a
      part of the program that JAX treats as a whole (a loop, a checkpoint).
    """
    traced, shapes = jax.make_jaxpr(read, return_shape=True)(images)
    names = list(jax.tree.leaves({name: name for name in shapes}))  # as JAX orders them
    program = _unwrapped(traced)
    outputs = dict(zip(names, program.jaxpr.outvars, strict=True))
    sources = {name: _relu_inputs(program.jaxpr, outputs[name]) for name in layers}
    found = {name: source for name, source in sources.items() if source is not None}
    outvars = [*program.jaxpr.outvars, *(var for source in found.values() for var in source.parts)]
    longer = program.jaxpr.replace(outvars=outvars)
    values = iter(jaxpr_as_fun(ClosedJaxpr(longer, program.consts))(images))
    activations = dict(zip(names, values, strict=False))
    inputs = {}
    for name, source in found.items():
        parts = [next(values).astype(activations[name].dtype) for _ in source.parts]
        inputs[name] = jnp.concatenate(parts, source.axis)
    return activations, inputs


class _Inputs(NamedTuple):
    """Variables that, joined along `axis`, are what a layer's ReLU, or its ReLUs, work on."""

    parts: list[Var]
    axis: int = 0


def _unwrapped(program: ClosedJaxpr) -> ClosedJaxpr:
    """The program inside, where all of it is one call of a compiled function."""
    while len(program.jaxpr.eqns) == 1:
        (call,) = program.jaxpr.eqns
        same = call.invars == program.jaxpr.invars and call.outvars == program.jaxpr.outvars
        if not (same and "jit" in call.primitive.name):
            break
        program = call.params["jaxpr"]
    return program


def _relu_inputs(program: Jaxpr, output: Any) -> _Inputs | None:
    """Where the ReLU whose result `output` is begins; or the ReLUs, where it joins several."""
    var, is_behind_relu = _trace_back(program, output)
    if is_behind_relu:
        return _Inputs([var]) if isinstance(var, Var) else None
    joined = [step for step in program.eqns if step.outvars == [var]]
    if not joined or joined[0].primitive.name != "concatenate":
        return None
    sources = [_trace_back(program, part) for part in joined[0].invars]
    if all(is_behind and isinstance(part, Var) for part, is_behind in sources):
        return _Inputs([part for part, _ in sources], joined[0].params["dimension"])
    return None


def _trace_back(program: Jaxpr, output: Any) -> tuple[Any, bool]:
    """Goes back through casts and one ReLU; where that led, and whether there was a ReLU."""
    made_by = {var: step for step in program.eqns for var in step.outvars}
    var = output
    while isinstance(var, Var) and var in made_by:
        step = made_by[var]
        operands = [one for one in step.invars if not isinstance(one, Literal)]
        is_bound = step.primitive.name == "min" and len(operands) == 1  # second half of a ReLU6
        if step.primitive.name in _CASTS or is_bound:
            var = operands[0]
            continue
        if step.primitive.name == "max":
            others = [operand for operand in step.invars if not _is_zero(operand, made_by)]
            return (others[0], True) if len(others) == 1 else (var, False)
        inner = next((step.params[name] for name in _CALLS if name in step.params), None)
        if inner is None:
            break
        body = getattr(inner, "jaxpr", inner)
        source, is_behind_relu = _trace_back(body, body.outvars[step.outvars.index(var)])
        if source not in body.invars or len(body.invars) != len(step.invars):
            break
        var = step.invars[body.invars.index(source)]
        if is_behind_relu:
            return var, True
    return var, False


def _is_zero(operand: Any, made_by: Mapping[Var, Any]) -> bool:
    while isinstance(operand, Var) and operand in made_by:
        step = made_by[operand]
        if step.primitive.name not in (*_CASTS, "broadcast_in_dim"):
            return False
        operand = step.invars[0]
    return isinstance(operand, Literal) and np.ndim(operand.val) == 0 and not operand.val
