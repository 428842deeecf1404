"""Operations that keep the shape: rectifiers, normalization by known numbers, softmax."""

import dataclasses
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


@dataclasses.dataclass(frozen=True)
class Identity(Op):
    """Copies its input to every output: Caffe's ``Split``, and ``Dropout`` outside training."""

    num_outputs: ClassVar[tuple[int, int]] = (1, 4096)
    in_place: ClassVar[bool] = True


@dataclasses.dataclass(frozen=True)
class ReLU(Op):
    """``max(x, 0) + negative_slope * min(x, 0)``."""

    in_place: ClassVar[bool] = True
    negative_slope: float = 0.0

    def __post_init__(self) -> None:
        check_real("negative_slope", self.negative_slope)


@dataclasses.dataclass(frozen=True)
class ELU(Op):
    """``x`` where positive, ``alpha * (exp(x) - 1)`` elsewhere."""

    in_place: ClassVar[bool] = True
    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_real("alpha", self.alpha)


@dataclasses.dataclass(frozen=True)
class Sigmoid(Op):
    """``1 / (1 + exp(-x))``."""

    in_place: ClassVar[bool] = True


@dataclasses.dataclass(frozen=True)
class TanH(Op):
    """``tanh(x)``."""

    in_place: ClassVar[bool] = True


@dataclasses.dataclass(frozen=True)
class PReLU(Op):
    """A rectifier with a learned slope for each channel, or one for all."""

    in_place: ClassVar[bool] = True
    channel_shared: bool = False

    def __post_init__(self) -> None:
        check_flag("channel_shared", self.channel_shared)

    def _parameters(self, inputs: Sequence[Shape]) -> dict[str, Shape]:
        return {"slope": () if self.channel_shared else (inputs[0][-1],)}


@dataclasses.dataclass(frozen=True)
class BatchNorm(Op):
    """``(x - mean) / sqrt(variance + epsilon)`` with a stored mean and variance per channel."""

    in_place: ClassVar[bool] = True
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        check_real("epsilon", self.epsilon)
        if self.epsilon <= 0:
            raise ValueError(f"epsilon must be positive, got {self.epsilon}")

    def _parameters(self, inputs: Sequence[Shape]) -> dict[str, Shape]:
        return {"mean": (inputs[0][-1],), "variance": (inputs[0][-1],)}


@dataclasses.dataclass(frozen=True)
class Scale(Op):
    """``x * scale + bias``, learned along `axes` and the same along the others."""

    in_place: ClassVar[bool] = True
    axes: tuple[int, ...] = (-1,)
    use_bias: bool = False

    def __post_init__(self) -> None:
        check_axes("axes", self.axes)
        check_flag("use_bias", self.use_bias)

    def _parameters(self, inputs: Sequence[Shape]) -> dict[str, Shape]:
        shape = tuple(axis_of(inputs[0], axis) for axis in self.axes)
        return {"scale": shape} | ({"bias": shape} if self.use_bias else {})


@dataclasses.dataclass(frozen=True)
class Bias(Op):
    """``x + bias``, learned along `axes` and the same along the others."""

    in_place: ClassVar[bool] = True
    axes: tuple[int, ...] = (-1,)

    def __post_init__(self) -> None:
        check_axes("axes", self.axes)

    def _parameters(self, inputs: Sequence[Shape]) -> dict[str, Shape]:
        return {"bias": tuple(axis_of(inputs[0], axis) for axis in self.axes)}


@dataclasses.dataclass(frozen=True)
class Broadcast(Op):
    """First input times (or plus) the second, which spans only `axes` of the first.

    Caffe's ``Scale`` and ``Bias`` with two inputs, as in squeeze-and-excitation networks.
    """

    num_inputs: ClassVar[tuple[int, int]] = (2, 2)
    in_place: ClassVar[bool] = True
    method: str = "multiply"
    axes: tuple[int, ...] = (-1,)

    def __post_init__(self) -> None:
        if self.method not in ("multiply", "add"):
            raise ValueError(f"method must be 'multiply' or 'add', got {self.method!r}")
        check_axes("axes", self.axes)

    def _shapes(self, inputs: Sequence[Shape], num_outputs: int) -> tuple[Shape, ...]:
        expected = tuple(axis_of(inputs[0], axis) for axis in self.axes)
        if inputs[1] != expected:
            raise ValueError(f"its second input must have shape {expected}, it has {inputs[1]}")
        return (inputs[0],)

    def _fields(
        self, fields: Sequence[Field], inputs: Sequence[Shape], num_outputs: int
    ) -> tuple[Field, ...]:
        spatial = inputs[0][:-1]
        aligned = inputs[0] == inputs[1] or all(size == 1 for size in spatial)
        return (union(fields) if aligned else None,)


@dataclasses.dataclass(frozen=True)
class Softmax(Op):
    """``exp(x) / sum(exp(x))`` along `axis`."""

    in_place: ClassVar[bool] = True
    axis: int = -1

    def __post_init__(self) -> None:
        check_axes("axis", (self.axis,))

    def _shapes(self, inputs: Sequence[Shape], num_outputs: int) -> tuple[Shape, ...]:
        check_size("axis size", axis_of(inputs[0], self.axis))
        return (inputs[0],)

    def _fields(
        self, fields: Sequence[Field], inputs: Sequence[Shape], num_outputs: int
    ) -> tuple[Field, ...]:
        return (fields[0] if self.axis == -1 else None,)
