"""From the layers of a file to a checked graph."""

import dataclasses
import pathlib

from mfvjax.models.graph import GraphSpec, LayerSpec
from mfvjax.models.ops import MAX_SIZE, Op, Shape
from weights_convert.axes import from_caffe
from weights_convert.errors import CaffeFormatError, naming
from weights_convert.prototxt import NetInput, SourceLayer, SourceNet, read_prototxt
from weights_convert.rules import plan_operation


@dataclasses.dataclass(frozen=True, eq=False)
class PlannedNet:
    """A graph, and for each of its layers by name the source, the operation and what it reads."""

    graph: GraphSpec
    sources: dict[str, SourceLayer]
    operations: dict[str, Op]
    inputs: dict[str, tuple[Shape, ...]]


def plan_prototxt(path: str | pathlib.Path) -> PlannedNet:
    """Reads a ``.prototxt`` file and plans its network; errors also name the file.

    Raises:
      CaffeFormatError: see `read_prototxt` and `plan_network`.
      OSError: the file cannot be read.
    """
    net = read_prototxt(path)
    with naming(str(path)):
        return plan_network(net)


def plan_network(net: SourceNet) -> PlannedNet:
    """Finds the operation of each layer and the shapes between them.

    Raises:
      CaffeFormatError: a layer cannot be computed or does not fit what it reads; the message names
        it and, where it can, the line of the file.
    """
    source_input = _used_input(net)
    batch, *sizes = source_input.dims
    shapes: dict[str, Shape] = {source_input.name: from_caffe(tuple(sizes))}
    layers = []
    for source in net.layers:
        with naming(str(source)):
            for bottom in source.bottoms:
                if bottom not in shapes:
                    raise CaffeFormatError(f"reads {bottom!r}, which {_origin(net, bottom)}")
            inputs = tuple(shapes[bottom] for bottom in source.bottoms)
            op = plan_operation(source, inputs, batch)
            outputs = op.output_shapes(inputs, len(source.tops))
            shapes.update(zip(source.tops, outputs, strict=True))
        layers.append(LayerSpec(source.name, op, source.bottoms, source.tops))
    height, width, channels = shapes[source_input.name]
    with naming(f"network {net.name!r}"):
        graph = GraphSpec(net.name, source_input.name, (height, width, channels), tuple(layers))
    return PlannedNet(
        graph,
        {source.name: source for source in net.layers},
        {layer.name: layer.op for layer in layers},
        graph.input_shapes(),
    )


def _used_input(net: SourceNet) -> NetInput:
    read = {bottom for layer in net.layers for bottom in layer.bottoms}
    used = [declared for declared in net.inputs if declared.name in read]
    if len(used) != 1:
        names = ", ".join(repr(declared.name) for declared in used) or "none"
        raise CaffeFormatError(
            f"needs exactly one input that layers read, found {names}; declare it with an Input "
            "layer, or input and input_dim"
        )
    dims = used[0].dims
    if len(dims) != 4 or any(not 1 <= size <= MAX_SIZE for size in dims):
        raise CaffeFormatError(
            f"input {used[0].name!r} must have four positive sizes (batch, channels, height, "
            f"width), got {dims}"
        )
    return used[0]


def _origin(net: SourceNet, blob: str) -> str:
    for layer in net.dropped:
        if blob in layer.tops:
            return f"only {layer} writes, and such layers are left out"
    return "no layer before it writes"
