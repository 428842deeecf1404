"""What an operation is: a layer without its name, its weights and its neighbors.

Shapes leave out the batch axis and end with the channels: ``(height, width, channels)`` for a map,
``(neurons,)`` for a dense activation. Axes count from the end, so the channels are axis -1 in both.
Nothing in this package computes with arrays: a converter can plan a network without JAX.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, TypeAlias

from mfvjax.models.ops.checks import Shape
from mfvjax.types import ReceptiveField

Field: TypeAlias = ReceptiveField | None
"""What a position sees of the input; ``None`` stands for the whole image."""


@dataclasses.dataclass(frozen=True)
class Op:
    """Base of every operation: elementwise, one input, one output, no parameters.

    Attributes:
      num_inputs: smallest and largest number of inputs.
      num_outputs: smallest and largest number of outputs.
      in_place: whether the output may take the name of the first input.
    """

    num_inputs: ClassVar[tuple[int, int]] = (1, 1)
    num_outputs: ClassVar[tuple[int, int]] = (1, 1)
    in_place: ClassVar[bool] = False

    def output_shapes(self, inputs: Sequence[Shape], num_outputs: int = 1) -> tuple[Shape, ...]:
        """Shapes of the outputs; ``ValueError`` if the inputs do not fit."""
        for what, count, (low, high) in (
            ("inputs", len(inputs), self.num_inputs),
            ("outputs", num_outputs, self.num_outputs),
        ):
            if not low <= count <= high:
                needed = low if low == high else f"{low} to {high}"
                raise ValueError(f"has {count} {what}, needs {needed}")
        return self._shapes(inputs, num_outputs)

    def parameter_shapes(self, inputs: Sequence[Shape]) -> dict[str, Shape]:
        """Name and shape of each parameter; ``ValueError`` if the inputs do not fit."""
        return self._parameters(inputs)

    def receptive_fields(
        self, fields: Sequence[Field], inputs: Sequence[Shape], num_outputs: int = 1
    ) -> tuple[Field, ...]:
        """Receptive fields of the outputs, from the `fields` and shapes of the inputs."""
        return self._fields(fields, inputs, num_outputs)

    def _shapes(self, inputs: Sequence[Shape], num_outputs: int) -> tuple[Shape, ...]:
        return (inputs[0],) * num_outputs

    def _parameters(self, inputs: Sequence[Shape]) -> dict[str, Shape]:
        return {}

    def _fields(
        self, fields: Sequence[Field], inputs: Sequence[Shape], num_outputs: int
    ) -> tuple[Field, ...]:
        return (fields[0],) * num_outputs


def union(fields: Sequence[Field]) -> Field:
    """The smallest field that holds all `fields`; ``None`` where their strides differ."""
    known = [field for field in fields if field is not None]
    if len(known) < len(fields) or len({field.stride for field in known}) > 1:
        return None
    top, left = (min(field.start[axis] for field in known) for axis in (0, 1))
    bottom, right = (
        max(field.start[axis] + field.size[axis] for field in known) for axis in (0, 1)
    )
    return ReceptiveField((bottom - top, right - left), known[0].stride, (top, left))
