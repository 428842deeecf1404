"""What a compiled function asks of a device: its program for CPU, CUDA and TPU, without a device.

`export` takes a jitted function and example arguments, arrays or shapes, and reads the StableHLO
that JAX makes for one platform. Functions that the program calls are followed to where they are
called, so that a loop inside a loop is seen as such.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax
import numpy as np
from jax.interpreters import mlir
from jaxlib.mlir import ir

PLATFORMS = ("cpu", "cuda", "tpu")
PRODUCTS = ("stablehlo.dot_general", "stablehlo.dot", "stablehlo.convolution")
_SAME_NUMBER = ("stablehlo.convert", "stablehlo.reshape", "stablehlo.broadcast_in_dim")


@dataclasses.dataclass(frozen=True)
class Loop:
    """A loop of a program.

    Attributes:
      ends: ``"counted"``: its length is a constant of the program; ``"bounded"``: it counts up to a
        number that the loop does not change; ``"until"``: anything else.
      length: of a counted loop.
      inside: the loops around it, outermost first.
    """

    ends: Literal["counted", "bounded", "until"]
    length: int | None
    inside: tuple[Loop, ...]


@dataclasses.dataclass(frozen=True)
class Product:
    """A matrix product or convolution.

    Attributes:
      name: of the operation.
      types: element types of the two factors.
      precisions: that each factor asks for, such as ``"HIGHEST"``.
    """

    name: str
    types: tuple[str, str]
    precisions: tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Program:
    """What was found in the program of one platform.

    Attributes:
      platform: one of `PLATFORMS`.
      text: the program.
      operations: names of all operations, as often as they are called.
      custom_calls: names of functions outside the program, such as a library's eigensolver.
      products: matrix products and convolutions.
      loops: in order.
      element_types: of all values.
      moving_writes: number of writes into a part of an array whose place is computed.
    """

    platform: str
    text: str
    operations: tuple[str, ...]
    custom_calls: frozenset[str]
    products: tuple[Product, ...]
    loops: tuple[Loop, ...]
    element_types: frozenset[str]
    moving_writes: int

    @property
    def inexact_products(self) -> list[Product]:
        """Products of float32 or wider that a device may round to fewer digits."""
        wide = [p for p in self.products if {"f32", "f64"}.intersection(p.types)]
        return [product for product in wide if set(product.precisions) != {"HIGHEST"}]


def export(function: Any, *args: Any, platform: str, **kwargs: Any) -> Program:
    """The program of a jitted function for one platform.

    Args:
      function: made by `jax.jit`.
      *args: examples, arrays or `jax.ShapeDtypeStruct`; static ones as they are.
      platform: one of `PLATFORMS`.
      **kwargs: likewise.

    Raises:
      Exception: of JAX, which has no such program for this platform, or none that does not call
        Python.
    """
    made = jax.export.export(function, platforms=[platform])(*args, **kwargs)
    text = made.mlir_module()
    with mlir.make_ir_context():
        reader = _Reader(ir.Module.parse(text))
    return Program(
        platform,
        text,
        tuple(reader.operations),
        frozenset(reader.custom_calls),
        tuple(reader.products),
        tuple(reader.loops),
        frozenset(reader.element_types),
        reader.moving_writes,
    )


def export_all(function: Any, *args: Any, **kwargs: Any) -> dict[str, Program]:
    """The programs for all platforms, by name; as `export`."""
    return {name: export(function, *args, platform=name, **kwargs) for name in PLATFORMS}


def assert_portable(programs: dict[str, Program], *, is_exact: bool = True) -> None:
    """Holds programs to what the library promises on every device.

    Args:
      programs: from `export_all`.
      is_exact: whether products of float32 must keep all its digits; those of narrower types may
        always be as fast as the device can.

    Raises:
      AssertionError: a program computes in float64 or rounds factors.
    """
    for name, program in programs.items():
        assert "f64" not in program.element_types, f"{name} computes in float64"
        rounded = program.inexact_products if is_exact else []
        assert not rounded, f"{name} rounds factors: {rounded}"


def shaped(tree: Any) -> Any:
    """Shapes and types in place of a tree's arrays, as examples that hold no memory."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), tree)


class _Reader:
    """Collects facts of a module, from its entry on."""

    def __init__(self, module: ir.Module) -> None:
        self.operations: list[str] = []
        self.custom_calls: set[str] = set()
        self.products: list[Product] = []
        self.loops: list[Loop] = []
        self.element_types: set[str] = set()
        self.moving_writes = 0
        self._functions = {
            op.attributes["sym_name"].value: op.operation for op in module.body.operations
        }
        self._read(self._functions["main"], ())

    def _read(self, parent: ir.Operation, inside: tuple[Loop, ...]) -> None:
        for region in parent.regions:
            for block in region.blocks:
                for op in block.operations:
                    self._read_one(op.operation, inside)

    def _read_one(self, op: ir.Operation, inside: tuple[Loop, ...]) -> None:
        self.operations.append(op.name)
        self.element_types.update(filter(None, map(_element_type, op.results)))
        if op.name == "stablehlo.custom_call":
            self.custom_calls.add(op.attributes["call_target_name"].value)
        elif op.name in PRODUCTS:
            self.products.append(_product(op))
        elif op.name == "stablehlo.dynamic_update_slice":
            starts = list(op.operands)[2:]
            self.moving_writes += any(_constant(start) is None for start in starts)
        elif op.name == "stablehlo.while":
            loop = _loop(op, inside)
            self.loops.append(loop)
            inside = (*inside, loop)
        elif op.name == "func.call":
            self._read(self._functions[op.attributes["callee"].value], inside)
        self._read(op, inside)


def _element_type(value: ir.Value) -> str | None:
    element = getattr(value.type, "element_type", None)
    return None if element is None else str(element)


def _product(op: ir.Operation) -> Product:
    left, right = (str(_element_type(value)) for value in list(op.operands)[:2])
    asked: Any = op.attributes.get("precision_config", ("DEFAULT", "DEFAULT"))
    first, second = (str(one).split()[-1].rstrip(">") for one in asked)
    return Product(op.name, (left, right), (first, second))


def _loop(op: ir.Operation, inside: tuple[Loop, ...]) -> Loop:
    """Reads ``while i < n`` with ``i += 1``; any other condition ends ``"until"``."""
    condition, body = (region.blocks[0] for region in op.regions)
    (goes_on,) = _last(condition).operands
    test = goes_on.owner
    until = Loop("until", None, inside)
    if isinstance(test, ir.Block) or test.name != "stablehlo.compare":
        return until
    counter, limit = test.operands
    if "LT" not in str(test.attributes["comparison_direction"]) or not _is_argument(counter):
        return until
    at = ir.BlockArgument(counter).arg_number
    if not _grows_by_one(body, at):
        return until
    first, last = _constant(list(op.operands)[at]), _constant(limit)
    if first is not None and last is not None:
        return Loop("counted", last - first, inside)
    unchanged = _is_argument(limit) and _is_passed_on(body, ir.BlockArgument(limit).arg_number)
    return Loop("bounded", None, inside) if unchanged or last is not None else until


def _last(block: ir.Block) -> ir.Operation:
    return block.operations[len(block.operations) - 1].operation


def _is_argument(value: ir.Value) -> bool:
    return isinstance(value.owner, ir.Block)


def _is_passed_on(body: ir.Block, at: int) -> bool:
    return list(_last(body).operands)[at] == body.arguments[at]


def _grows_by_one(body: ir.Block, at: int) -> bool:
    after = list(_last(body).operands)[at].owner
    if isinstance(after, ir.Block) or after.name != "stablehlo.add":
        return False
    before, step = after.operands
    return before == body.arguments[at] and _constant(step) == 1


def _constant(value: ir.Value) -> int | None:
    """The number that a scalar is for sure, seen through changes of its type."""
    op = value.owner
    if isinstance(op, ir.Block):
        return None
    if op.name == "stablehlo.constant":
        return int(np.asarray(ir.DenseElementsAttr(op.attributes["value"])).reshape(-1)[0])
    return _constant(op.operands[0]) if op.name in _SAME_NUMBER else None
