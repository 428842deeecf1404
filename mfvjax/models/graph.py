"""A network as data: its layers in order, with the shapes and receptive fields that follow.

A layer reads activations by name and writes activations by name; a layer that writes the name it
reads works in place, and the name then stands for the last value written, as in Caffe.
"""

import dataclasses
import functools
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from mfvjax.models.ops import MAX_SIZE, OPS, Op, Shape
from mfvjax.types import ReceptiveField

Activation: TypeAlias = tuple[Shape, ReceptiveField | None]
"""Shape of an activation, and what a position of it sees of the input."""


@dataclasses.dataclass(frozen=True)
class LayerSpec:
    """One layer: an operation, the activations it reads, the activations it writes."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def kind(self) -> str:
        """Name of the operation, such as ``"Convolution"``."""
        return type(self.op).__name__


@dataclasses.dataclass(frozen=True)
class GraphSpec:
    """A network without weights: hashable, and checked when it is made.

    Attributes:
      name: the network's own.
      input_name: the activation that holds the network's input.
      input_shape: ``(height, width, channels)``.
      layers: in execution order.

    Raises:
      ValueError: a layer reads what no layer before it wrote, two layers share a name, a name is
        written twice other than in place, or a shape does not fit; the message names the layer.
    """

    name: str
    input_name: str
    input_shape: tuple[int, int, int]
    layers: tuple[LayerSpec, ...]

    def __post_init__(self) -> None:
        _check_shape(f"input {self.input_name!r}", self.input_shape)
        if len(self.input_shape) != 3:
            raise ValueError(f"input shape {self.input_shape} is not (height, width, channels)")
        if not self.layers:
            raise ValueError(f"network {self.name!r} has no layers")
        self._plans  # noqa: B018  (computing them checks every layer)

    def __hash__(self) -> int:  # equal graphs agree in these; the whole would be slow under jit
        return hash((self.name, self.input_shape, tuple(layer.name for layer in self.layers)))

    def blob_shapes(self) -> dict[str, Shape]:
        """Shape of each activation without the batch axis, in execution order; not the input's."""
        return {blob: shape for blob, (shape, _) in self._activations().items()}

    def receptive_fields(self) -> dict[str, ReceptiveField | None]:
        """Receptive field of each activation; ``None`` where a position sees the whole image."""
        return {blob: field for blob, (_, field) in self._activations().items()}

    def parameter_shapes(self) -> dict[str, dict[str, Shape]]:
        """Shape of each parameter by layer and name, for the layers that have any."""
        return {name: plan.parameters for name, plan in self._plans.items() if plan.parameters}

    def input_shapes(self) -> dict[str, tuple[Shape, ...]]:
        """Shapes that each layer reads, by the layer's name."""
        return {name: plan.inputs for name, plan in self._plans.items()}

    def _activations(self) -> dict[str, Activation]:
        written: dict[str, Activation] = {}
        for plan in self._plans.values():
            written.update(plan.outputs)
        return written

    @functools.cached_property
    def _plans(self) -> dict[str, "LayerPlan"]:
        known = input_activation(self.input_name, self.input_shape)
        plans: dict[str, LayerPlan] = {}
        for layer in self.layers:
            if layer.name in plans:
                raise ValueError(f"two layers have the name {layer.name!r}")
            try:
                plans[layer.name] = plan_layer(layer, known)
            except ValueError as error:
                raise ValueError(f"layer {layer.name!r} ({layer.kind}): {error}") from error
            known.update(plans[layer.name].outputs)
        return plans

    def to_json(self) -> str:
        """The graph as one line of JSON; ``from_json`` reads it back."""
        layers = [
            {
                "name": layer.name,
                "op": layer.kind,
                "inputs": layer.inputs,
                "outputs": layer.outputs,
                **({"options": options} if (options := _options(layer.op)) else {}),
            }
            for layer in self.layers
        ]
        return json.dumps(
            {
                "name": self.name,
                "input_name": self.input_name,
                "input_shape": self.input_shape,
                "layers": layers,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "GraphSpec":
        """Reads what ``to_json`` wrote.

        Raises:
          ValueError: `text` describes no valid graph.
        """
        try:
            data = json.loads(text)
            layers = tuple(_read_layer(entry) for entry in data["layers"])
            name, blob = _string(data["name"]), _string(data["input_name"])
            return cls(name, blob, _tuples(data["input_shape"]), layers)
        except RecursionError as error:
            raise ValueError("the stored graph is nested too deeply") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the stored graph is malformed: {error!r}") from error


@dataclasses.dataclass(frozen=True)
class LayerPlan:
    """What a layer reads, needs and writes."""

    inputs: tuple[Shape, ...]
    parameters: dict[str, Shape]
    outputs: dict[str, Activation]


def input_activation(name: str, shape: Shape) -> dict[str, Activation]:
    """What is known before the first layer: the input, each pixel of which sees itself."""
    return {name: (shape, ReceptiveField((1, 1), (1, 1), (0, 0)))}


def plan_layer(layer: LayerSpec, known: Mapping[str, Activation]) -> LayerPlan:
    """What `layer` does with the activations known before it.

    Raises:
      ValueError: it reads or writes what it may not, or a shape does not fit.
    """
    _check_names(layer, known)
    inputs = tuple(known[blob][0] for blob in layer.inputs)
    fields = [known[blob][1] for blob in layer.inputs]
    shapes = layer.op.output_shapes(inputs, len(layer.outputs))
    for blob, shape in zip(layer.outputs, shapes, strict=True):
        _check_shape(f"output {blob!r}", shape)
    parameters = layer.op.parameter_shapes(inputs)
    for shape in parameters.values():
        _check_shape("parameter", shape)
    seen = layer.op.receptive_fields(fields, inputs, len(layer.outputs))
    outputs = zip(layer.outputs, zip(shapes, seen, strict=True), strict=True)
    return LayerPlan(inputs, parameters, dict(outputs))


def _options(op: Op) -> dict[str, Any]:
    """The options of an operation that say something."""
    return {name: value for name, value in dataclasses.asdict(op).items() if value is not None}


def _read_layer(entry: dict[str, Any]) -> LayerSpec:
    if entry["op"] not in OPS:
        raise ValueError(f"unknown operation {entry['op']!r}; known are {', '.join(sorted(OPS))}")
    options = {key: _tuples(value) for key, value in entry.get("options", {}).items()}
    names = (tuple(_string(blob) for blob in entry[side]) for side in ("inputs", "outputs"))
    return LayerSpec(_string(entry["name"]), OPS[entry["op"]](**options), *names)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"the stored graph has {value!r} where a name belongs")
    return value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(entry) for entry in value) if isinstance(value, list) else value


def _check_shape(what: str, shape: Any) -> None:
    good = isinstance(shape, tuple) and all(type(size) is int and size >= 1 for size in shape)
    if not good or math.prod(shape) > MAX_SIZE:
        raise ValueError(f"{what} has the impossible shape {shape!r}")


def _check_names(layer: LayerSpec, known: Mapping[str, Any]) -> None:
    for blob in layer.inputs:
        if blob not in known:
            raise ValueError(f"reads {blob!r}, which no layer before it writes")
    if len(set(layer.outputs)) < len(layer.outputs):
        raise ValueError(f"writes one name twice: {', '.join(layer.outputs)}")
    for blob in _rewritten(layer, known):
        raise ValueError(f"writes {blob!r}, which already exists, and cannot work in place")


def _rewritten(layer: LayerSpec, known: Mapping[str, Any]) -> Iterator[str]:
    for position, blob in enumerate(layer.outputs):
        in_place = layer.op.in_place and position == 0 and layer.inputs[:1] == (blob,)
        if blob in known and not in_place:
            yield blob
