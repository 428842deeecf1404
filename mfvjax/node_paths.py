"""Ways from one value of a program to another, and the program run again along them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn
from jaxtyping import Array

from mfvjax.nodes import CASTS, Node, evaluated, uncast

_MOVES = ("reshape", "squeeze", "transpose", "rev")  # each number stays, at another place
_PRODUCTS = ("dot_general", "conv_general_dilated", "ragged_dot")


def remade(target: Node, source: Node, value: Array) -> Array:
    """What `target` would be, were `source` this value; pure, to be differentiated.

    Both are of one call of `nodes_of`, with an argument that is no mere shape.
    """
    known: dict[Node, Any] = {source: value}
    made: dict[int, list[Any]] = {}
    for node in between(source, target):
        siblings = id(node.operands)  # results of one equation share them
        if siblings not in made:
            assert node.program is not None
            assert node.step is not None
            values = [known.get(operand, operand.value) for operand in node.operands]
            made[siblings] = evaluated(node.program, node.step, values)
        known[node] = made[siblings][node.index]
    return known[target]


def between(source: Node, target: Node) -> list[Node]:
    """All that is made from `source` on the way to `target`, which comes last; nothing if `target`
    is not made from it.
    """
    depends = {source: True}
    order: list[Node] = []
    waiting = [target]
    while waiting:
        node = waiting[-1]
        missing = [operand for operand in node.operands if operand not in depends]
        if node in depends or not missing:
            waiting.pop()
            if node not in depends:
                depends[node] = any(depends[operand] for operand in node.operands)
                order += [node] if depends[node] else []
        else:
            waiting.extend(missing)
    return order if depends[target] else []


def is_on_every_way(source: Node, target: Node) -> bool:
    """Whether all that `target` has of the argument comes to it through `source`."""
    seen, waiting = {source}, [target]
    while waiting:
        node = waiting.pop()
        if node in seen or not node.varies:
            continue
        if node.step is None:
            return False
        seen.add(node)
        waiting.extend(node.operands)
    return True


def is_product(node: Node) -> bool:
    """Whether a convolution or a matrix product makes it, also inside a part."""
    return node.step is not None and _holds_product(node.step)


def unmoved(node: Node) -> tuple[Node, list[Node]]:
    """The value whose numbers `node` has, cast or at other places, and the steps from it, in order.

    What a network names may be a copy of what it goes on with.
    """
    steps: list[Node] = []
    while node.made_by in _MOVES or (node.made_by in CASTS and uncast(node) is not node):
        steps.insert(0, node)
        node = node.operands[0]
    return node, steps


def _holds_product(step: JaxprEqn) -> bool:
    if step.primitive.name in _PRODUCTS:
        return True
    return any(_holds_product(inner) for body in _bodies(step) for inner in body.eqns)


def _bodies(step: JaxprEqn) -> Iterator[Jaxpr]:
    """Programs among the parameters of an equation: of a call, a loop, a choice."""
    for value in step.params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, ClosedJaxpr | Jaxpr):
                yield item.jaxpr if isinstance(item, ClosedJaxpr) else item
