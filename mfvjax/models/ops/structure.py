"""Operations between activations: dense layers, sums, joins, cuts and reshapes."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import ClassVar

from mfvjax.models.ops.base import Field, Op, union
from mfvjax.models.ops.checks import (
    Shape,
    axis_of,
    check_axes,
    check_flag,
    check_real,
    check_size,
)
from mfvjax.types import ReceptiveField

_MANY = 4096


@dataclasses.dataclass(frozen=True)
class InnerProduct(Op):
    """Dense layer; a map is flattened in row, column, channel order first."""

    num_output: int
    use_bias: bool = True

    def __post_init__(self) -> None:
        check_size("num_output", self.num_output)
        check_flag("use_bias", self.use_bias)

    def _shapes(self, inputs: Sequence[Shape], num_outputs: int) -> tuple[Shape, ...]:
        return ((self.num_output,),)

    def _parameters(self, inputs: Sequence[Shape]) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {"kernel": (math.prod(inputs[0]), self.num_output)}
        return shapes | ({"bias": (self.num_output,)} if self.use_bias else {})

    def _fields(
        self, fields: Sequence[Field], inputs: Sequence[Shape], num_outputs: int
    ) -> tuple[Field, ...]:
        return (None,)


@dataclasses.dataclass(frozen=True)
class Eltwise(Op):
    """Product, weighted sum or maximum of activations of one shape.

    Attributes:
      coefficients: one per input for ``"sum"``; empty means ones.
    """

    num_inputs: ClassVar[tuple[int, int]] = (2, _MANY)
    method: str = "sum"
    coefficients: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.method not in ("product", "sum", "max"):
            raise ValueError(f"method must be 'product', 'sum' or 'max', got {self.method!r}")
        if not isinstance(self.coefficients, tuple):
            raise ValueError(f"coefficients must be numbers, got {self.coefficients!r}")
        for value in self.coefficients:
            check_real("coefficients", value)
        if self.coefficients and self.method != "sum":
            raise ValueError(f"coefficients go with 'sum', not with {self.method!r}")

    def _shapes(self, inputs: Sequence[Shape], num_outputs: int) -> tuple[Shape, ...]:
        if len(set(inputs)) > 1:
            raise ValueError(f"its inputs must have one shape, they have {_few(inputs)}")
        if self.coefficients and len(self.coefficients) != len(inputs):
            raise ValueError(f"{len(self.coefficients)} coefficients for {len(inputs)} inputs")
        return (inputs[0],)

    def _fields(
        self, fields: Sequence[Field], inputs: Sequence[Shape], num_outputs: int
    ) -> tuple[Field, ...]:
        return (union(fields),)


@dataclasses.dataclass(frozen=True)
class Concat(Op):
    """Joins activations along `axis`."""

    num_inputs: ClassVar[tuple[int, int]] = (1, _MANY)
    axis: int = -1

    def __post_init__(self) -> None:
        check_axes("axis", (self.axis,))

    def _shapes(self, inputs: Sequence[Shape], num_outputs: int) -> tuple[Shape, ...]:
        total = sum(axis_of(shape, self.axis) for shape in inputs)
        joined = {_with_size(shape, self.axis, total) for shape in inputs}
        if len(joined) > 1:
            raise ValueError(f"its inputs differ beside axis {self.axis}: {_few(inputs)}")
        return tuple(joined)

    def _fields(
        self, fields: Sequence[Field], inputs: Sequence[Shape], num_outputs: int
    ) -> tuple[Field, ...]:
        return (union(fields) if self.axis == -1 or len(fields) == 1 else None,)


@dataclasses.dataclass(frozen=True)
class Slice(Op):
    """Cuts an activation along `axis` at `points`, or into equal parts if there are none."""

    num_outputs: ClassVar[tuple[int, int]] = (1, _MANY)
    axis: int = -1
    points: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_axes("axis", (self.axis,))
        if not isinstance(self.points, tuple):
            raise ValueError(f"points must be integers, got {self.points!r}")
        for point in self.points:
            check_size("points", point)
        if list(self.points) != sorted(set(self.points)):
            raise ValueError(f"points must ascend, got {self.points}")

    def bounds(self, shape: Shape, num_outputs: int) -> tuple[int, ...]:
        """Where each part starts along `axis`, and the end of the last."""
        size = axis_of(shape, self.axis)
        if not self.points and size % num_outputs == 0:
            return tuple(range(0, size + 1, size // num_outputs))
        if len(self.points) != num_outputs - 1 or self.points[-1] >= size:
            raise ValueError(f"cannot cut {size} at {self.points or 'equal'} into {num_outputs}")
        return (0, *self.points, size)

    def _shapes(self, inputs: Sequence[Shape], num_outputs: int) -> tuple[Shape, ...]:
        bounds = self.bounds(inputs[0], num_outputs)
        return tuple(
            _with_size(inputs[0], self.axis, stop - start)
            for start, stop in itertools.pairwise(bounds)
        )

    def _fields(
        self, fields: Sequence[Field], inputs: Sequence[Shape], num_outputs: int
    ) -> tuple[Field, ...]:
        field = fields[0]
        if field is None or self.axis == -1:
            return (field,) * num_outputs
        shifts = self.bounds(inputs[0], num_outputs)[:-1]
        return tuple(_shift(field, self.axis + 3, cells) for cells in shifts)


@dataclasses.dataclass(frozen=True)
class Reshape(Op):
    """Takes the elements in channel, row, column order and lays them out in `shape`, likewise.

    A map that becomes a dense activation thus numbers its neurons as Caffe does.

    Attributes:
      shape: of the output, channels last as everywhere.
    """

    shape: Shape

    def __post_init__(self) -> None:
        if not isinstance(self.shape, tuple) or not 1 <= len(self.shape) <= 7:
            raise ValueError(f"shape must be one to seven sizes, got {self.shape!r}")
        for size in self.shape:
            check_size("shape", size)

    def _shapes(self, inputs: Sequence[Shape], num_outputs: int) -> tuple[Shape, ...]:
        if math.prod(self.shape) != math.prod(inputs[0]):
            raise ValueError(f"cannot lay out {inputs[0]} as {self.shape}: sizes differ")
        return (self.shape,)

    def _fields(
        self, fields: Sequence[Field], inputs: Sequence[Shape], num_outputs: int
    ) -> tuple[Field, ...]:
        return (fields[0] if self.shape == inputs[0] else None,)


def _with_size(shape: Shape, axis: int, size: int) -> Shape:
    position = len(shape) + axis
    return (*shape[:position], size, *shape[position + 1 :])


def _shift(field: ReceptiveField, axis: int, cells: int) -> ReceptiveField:
    start = list(field.start)
    start[axis] += cells * field.stride[axis]
    return dataclasses.replace(field, start=(start[0], start[1]))


def _few(shapes: Sequence[Shape]) -> str:
    return ", ".join(map(str, shapes[:4])) + (", ..." if len(shapes) > 4 else "")
