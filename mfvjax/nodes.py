"""A function's program as a graph of values, in which compiled functions are laid open."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, jaxpr_as_fun
from jaxtyping import Array

CASTS = ("convert_element_type", "copy")
_SPREADS = (*CASTS, "broadcast_in_dim", "reshape")
_COMPILED = ("jit", "pjit")
_WHOLES = ("custom_jvp_call", "custom_vjp_call", "checkpoint", "remat", "remat2")
_BODIES = ("jaxpr", "call_jaxpr")  # parameters that hold the program of one of those


@dataclasses.dataclass(eq=False, frozen=True)
class Node:
    """One value of a program.

    Attributes:
      value: the array; ``None`` where nothing is computed.
      varies: whether it can change with the function's argument.
      is_inside: whether it belongs to a part that JAX treats as a whole, so that it has no value.
      step: the equation that makes it; ``None`` for what the program starts from.
      operands: what the equation reads.
      index: among the results of the equation.
      program: that the equation is part of.
    """

    value: Any = None
    varies: bool = False
    is_inside: bool = False
    step: JaxprEqn | None = None
    operands: tuple[Node, ...] = ()
    index: int = 0
    program: Jaxpr | None = None

    @property
    def made_by(self) -> str:
        """Name of the operation that makes it; empty for what the program starts from."""
        return "" if self.step is None else self.step.primitive.name

    def made_of(self, operand: Array) -> Array:
        """What its operation makes of another operand, the only one it has."""
        assert self.step is not None
        (var,) = self.step.invars
        return self.step.primitive.bind(operand.astype(dtype_of(var)), **self.step.params)

    def within(self) -> Node | None:
        """The same value inside the part that makes it; ``None`` if that is no part.

        A part is a call with a rule of its own for derivatives, or for what is kept of it.
        """
        body = None if self.step is None else _body_of(self.step)
        if body is None or len(body.jaxpr.invars) != len(self.operands):
            return None
        consts = [Node(const) for const in body.consts]
        return _run(body.jaxpr, consts, self.operands, is_inside=True)[self.index]


def nodes_of(
    function: Callable[[Any], Mapping[str, Array]], argument: Array | jax.ShapeDtypeStruct
) -> dict[str, Node]:
    """Traces `function`, and runs what was traced unless `argument` is only a shape.

    Returns: the results by their names, whatever mapping the function returns.
    """

    def named(argument: Any) -> dict[str, Array]:
        return dict(function(argument))

    program, shapes = jax.make_jaxpr(named, return_shape=True)(argument)
    is_shape = isinstance(argument, jax.ShapeDtypeStruct)
    start = Node(None if is_shape else argument, varies=True)
    consts = [Node(const) for const in program.consts]
    results = _run(program.jaxpr, consts, [start], is_computed=not is_shape)
    return jax.tree.unflatten(jax.tree.structure(shapes), results)


def _run(
    program: Jaxpr,
    consts: Sequence[Node],
    arguments: Sequence[Node],
    *,
    is_computed: bool = False,
    is_inside: bool = False,
) -> list[Node]:
    known = dict(zip((*program.constvars, *program.invars), (*consts, *arguments), strict=True))

    def find(var: Any) -> Node:
        if isinstance(var, Literal):
            return Node(np.asarray(var.val, dtype_of(var)))
        return known[var]

    for step in program.eqns:
        operands = tuple(map(find, step.invars))
        if step.primitive.name in _COMPILED:
            body = step.params["jaxpr"]
            constants = [Node(const) for const in body.consts]
            made = _run(
                body.jaxpr, constants, operands, is_computed=is_computed, is_inside=is_inside
            )
        else:
            values = [operand.value for operand in operands]
            results = [None] * len(step.outvars)
            if is_computed:
                results = evaluated(program, step, values)
            varies = any(operand.varies for operand in operands)
            made = [
                Node(value, varies, is_inside, step, operands, index, program)
                for index, value in enumerate(results)
            ]
        known.update(zip(step.outvars, made, strict=True))
    return list(map(find, program.outvars))


def evaluated(program: Jaxpr, step: JaxprEqn, values: Sequence[Any]) -> list[Any]:
    """The results of one equation of a program for its operands' values."""
    given = {
        var: value
        for var, value in zip(step.invars, values, strict=True)
        if not isinstance(var, Literal)
    }
    alone = program.replace(
        constvars=[],
        invars=list(given),
        outvars=step.outvars,
        eqns=[step],
        effects=step.effects,
    )
    return jaxpr_as_fun(ClosedJaxpr(alone, ()))(*given.values())


def _body_of(step: JaxprEqn) -> ClosedJaxpr | None:
    if step.primitive.name not in _WHOLES:
        return None
    body = next((step.params[name] for name in _BODIES if name in step.params), None)
    return ClosedJaxpr(body, ()) if isinstance(body, Jaxpr) else body


def dtype_of(var: Any) -> Any:
    """Type of the numbers of a variable or a literal."""
    return var.aval.dtype


def uncast(node: Node, *, from_bool: bool = False) -> Node:
    """`node` before casts between floating-point types; also from truth values, where asked."""
    while node.step is not None and node.made_by in CASTS:
        (source,), (result,) = node.step.invars, node.step.outvars
        are_floats = all(jnp.issubdtype(dtype_of(v), jnp.floating) for v in (source, result))
        if not are_floats and not (from_bool and dtype_of(source) == jnp.bool_):
            break
        node = node.operands[0]
    return node


def numbers_of(node: Node) -> np.ndarray | None:
    """The numbers of a constant known while tracing, before they are spread; else ``None``."""
    while node.made_by in _SPREADS:
        node = node.operands[0]
    is_known = not node.varies and isinstance(node.value, np.ndarray | jax.Array)
    return np.asarray(node.value) if is_known and not _is_traced(node.value) else None


def is_zero(node: Node) -> bool:
    """Whether `node` is 0 everywhere, for all that is known while tracing."""
    numbers = numbers_of(node)
    return numbers is not None and not numbers.any()


def is_negative(node: Node) -> bool:
    """Whether `node` is below 0 everywhere, for all that is known while tracing."""
    numbers = numbers_of(node)
    return numbers is not None and bool((numbers < 0).all())


def _is_traced(value: Any) -> bool:
    return isinstance(value, jax.core.Tracer)
