"""What goes into the ReLU that a layer ends with, found in any network's own program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mfvjax.nodes import (
    CASTS,
    Node,
    dtype_of,
    is_negative,
    is_zero,
    nodes_of,
    uncast,
)

Opened: TypeAlias = Callable[[], Array]
"""Computes what a layer would be, were its ReLUs the identity."""

# A ReLU at each place stays one.
_MOVES = ("reshape", "squeeze", "broadcast_in_dim", "transpose", "slice", "rev")


def read_with_relu_inputs(
    read: Callable[[Array], Mapping[str, Array]], images: Array, layers: Sequence[str]
) -> tuple[Mapping[str, Array], dict[str, Array]]:
    """What `read` gives, and for those of `layers` that end with a ReLU also its input.

    No gradient comes through a ReLU that is closed. Caffe's ``backward(start="conv5")`` begins
    before the ReLU that runs in place behind that layer; here the same is found for any network
    that JAX can trace, in its program, whatever its modules are called and however the ReLU is
    written: as a maximum with 0, a choice or a product by the sign, a clip; capped; joined with
    others, moved about, or times a constant. The input is then times that constant, too, so that
    units keep their scale; where the constant is not positive there is nothing to climb, and the
    input is 0.

    Args:
      read: maps images to named activations; any mapping.
      images: a batch; may be traced.
      layers: names of activations.

    Returns: the activations, and by layer the input of its ReLU, in the activation's dtype. Layers
      that end otherwise are not in the second mapping; neither are those whose ReLU begins in a
      part of the program that JAX treats as a whole (a loop, a checkpoint). `relu_is_known` tells.
    """
    nodes = nodes_of(read, images)
    activations = {name: jnp.asarray(node.value) for name, node in nodes.items()}
    inputs = {}
    for name in layers:
        opened = _opened(nodes[name])
        if opened is not None:
            inputs[name] = opened().astype(activations[name].dtype)
    return activations, inputs


def relu_is_known(
    read: Callable[[Array], Mapping[str, Array]],
    images: Array | jax.ShapeDtypeStruct,
    layers: Sequence[str],
) -> dict[str, bool]:
    """By layer, whether `read_with_relu_inputs` finds the ReLU that it ends with.

    Of a layer that ends otherwise this says no, too; only such a layer, or one whose ReLU is not
    known, can read exactly 0 and stop an ascent. Traces `read` and computes nothing.

    Args:
      read: as above.
      images: a batch, or only its shape.
      layers: names of activations.
    """
    nodes = nodes_of(read, jax.ShapeDtypeStruct(images.shape, images.dtype))
    return {name: _opened(nodes[name]) is not None for name in layers}


def _opened(node: Node) -> Opened | None:
    """What `node` would be with its ReLU open; ``None`` if it ends with none that is known."""
    rule = _RULES.get(node.made_by)
    if rule is not None:
        return rule(node)
    result = node.within()
    return None if result is None else _opened(result)


def _before(node: Node) -> Opened | None:
    """The input of a ReLU, where it can be had; if that is a ReLU's result, the input of that."""
    opened = _opened(node)
    if opened is not None or node.is_inside or not node.varies:
        return opened
    return lambda: node.value


def _cast(node: Node) -> Opened | None:
    return _opened(node.operands[0])  # not cast: a narrow type in between costs no bits


def _maximum(node: Node) -> Opened | None:
    inputs = [operand for operand in node.operands if not is_zero(operand)]
    return _before(inputs[0]) if len(inputs) == 1 else None


def _minimum(node: Node) -> Opened | None:
    """The second half of a ReLU with a cap."""
    for inner, cap in (node.operands, node.operands[::-1]):
        if not cap.varies and not is_zero(cap) and not is_negative(cap):
            return _opened(inner)
    return None


def _clamp(node: Node) -> Opened | None:
    low, inner, _ = node.operands
    return _before(inner) if is_zero(low) else None


def _choice(node: Node) -> Opened | None:
    """``where(x > 0, x, 0)``, or the like with another comparison."""
    if len(node.operands) != 3:
        return None
    condition, if_false, if_true = node.operands
    sign = _sign(condition)
    if sign is None:
        return None
    inner, is_positive = sign
    kept, dropped = (if_true, if_false) if is_positive else (if_false, if_true)
    is_relu = is_zero(dropped) and uncast(kept) is uncast(inner)
    return _before(kept) if is_relu else None


def _product(node: Node) -> Opened | None:
    """``x * (x > 0)``, or a ReLU times a constant."""
    for inner, factor in (node.operands, node.operands[::-1]):
        sign = _sign(factor)
        if sign is not None and sign[1] and uncast(sign[0]) is uncast(inner):
            return _before(inner)
        if not factor.varies and not factor.is_inside:
            return _scaled(_opened(inner), factor, jnp.multiply)
    return None


def _quotient(node: Node) -> Opened | None:
    inner, divisor = node.operands
    if divisor.varies or divisor.is_inside:
        return None
    return _scaled(_opened(inner), divisor, jnp.divide)


def _scaled(
    opened: Opened | None, factor: Node, combine: Callable[[Array, Array], Array]
) -> Opened | None:
    if opened is None or is_zero(factor) or is_negative(factor):
        return None

    def compute() -> Array:
        factors = jnp.asarray(factor.value)
        scaled = combine(opened().astype(factors.dtype), factors)
        return jnp.where(factors > 0, scaled, jnp.zeros_like(scaled))

    return compute


def _joined(node: Node) -> Opened | None:
    parts = [_opened(operand) for operand in node.operands]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or node.step is None:
        return None
    axis, dtype = node.step.params["dimension"], dtype_of(node.step.outvars[0])
    return lambda: jnp.concatenate([part().astype(dtype) for part in known], axis)


def _moved(node: Node) -> Opened | None:
    opened = _opened(node.operands[0]) if len(node.operands) == 1 else None
    return None if opened is None else lambda: node.made_of(opened())


_RULES: dict[str, Callable[[Node], Opened | None]] = {
    **dict.fromkeys(CASTS, _cast),
    **dict.fromkeys(_MOVES, _moved),
    "max": _maximum,
    "min": _minimum,
    "clamp": _clamp,
    "select_n": _choice,
    "mul": _product,
    "div": _quotient,
    "concatenate": _joined,
}


def _sign(condition: Node) -> tuple[Node, bool] | None:
    """``(x, True)`` if the condition says that x is positive, ``(x, False)`` if that it is not.

    What it says of 0 makes no difference to a ReLU.
    """
    condition = uncast(condition, from_bool=True)
    if condition.made_by == "not":
        inner = _sign(condition.operands[0])
        return inner and (inner[0], not inner[1])
    if condition.made_by not in ("gt", "ge", "lt", "le"):
        return None
    left, right = condition.operands
    is_greater = condition.made_by in ("gt", "ge")
    if is_zero(right):
        return left, is_greater
    return (right, not is_greater) if is_zero(left) else None
