"""Writes real ``.caffemodel`` and ``.prototxt`` files in both forms, byte by byte from the format.

Shares no code with the reader: field numbers and types are those of Caffe's ``caffe.proto``.
"""

import dataclasses
import math
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

V1_TYPES = {
    "Concat": ("CONCAT", 3),
    "Convolution": ("CONVOLUTION", 4),
    "Data": ("DATA", 5),
    "Dropout": ("DROPOUT", 6),
    "Eltwise": ("ELTWISE", 25),
    "Flatten": ("FLATTEN", 8),
    "InnerProduct": ("INNER_PRODUCT", 14),
    "LRN": ("LRN", 15),
    "Pooling": ("POOLING", 17),
    "ReLU": ("RELU", 18),
    "Sigmoid": ("SIGMOID", 19),
    "Slice": ("SLICE", 33),
    "Softmax": ("SOFTMAX", 20),
    "Split": ("SPLIT", 22),
    "TanH": ("TANH", 23),
}


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer of a weights file; `blobs` in Caffe's shapes."""

    name: str
    kind: str
    blobs: Sequence[np.ndarray] = ()
    bottoms: Sequence[str] = ()
    tops: Sequence[str] = ()


def varint(value: int) -> bytes:
    """A protobuf varint; negative numbers as 64-bit two's complement."""
    value &= 2**64 - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def number(field_number: int, value: int) -> bytes:
    """A varint field."""
    return varint(field_number << 3) + varint(value)


def blob_bytes(values: np.ndarray, *, old_shape: bool, pieces: int = 1) -> bytes:
    """A ``BlobProto``; float64 arrays go to ``double_data``.

    Args:
      old_shape: four sizes ``num`` to ``width``, padded with ones; or else a ``BlobShape``.
      pieces: packed numbers are written in so many fields, as the format allows.
    """
    if old_shape:
        sizes = (1,) * (4 - values.ndim) + values.shape
        head = b"".join(number(i + 1, size) for i, size in enumerate(sizes))
    else:
        head = field(7, field(1, b"".join(varint(size) for size in values.shape)))
    numbers = 8 if values.dtype == np.float64 else 5
    flat = np.ascontiguousarray(values).reshape(-1)
    return head + b"".join(field(numbers, part.tobytes()) for part in np.array_split(flat, pieces))


def layer_bytes(layer: Layer, *, form: str, old_shape: bool, pieces: int = 1) -> bytes:
    """A layer as a field of the network, in form ``"V1"`` or ``"V2"``."""
    blobs = [blob_bytes(b, old_shape=old_shape, pieces=pieces) for b in layer.blobs]
    if form == "V1":
        kind = number(5, V1_TYPES[layer.kind][1])
        numbers = {"name": 4, "bottom": 2, "top": 3, "blobs": 6, "layer": 2}
    else:
        kind = field(2, layer.kind.encode())
        numbers = {"name": 1, "bottom": 3, "top": 4, "blobs": 7, "layer": 100}
    body = field(numbers["name"], layer.name.encode()) + kind
    body += b"".join(field(numbers["bottom"], name.encode()) for name in layer.bottoms)
    body += b"".join(field(numbers["top"], name.encode()) for name in layer.tops)
    body += b"".join(field(numbers["blobs"], blob) for blob in blobs)
    return field(numbers["layer"], body)


def write_caffemodel(
    path: pathlib.Path,
    layers: Iterable[Layer],
    *,
    form: str = "V2",
    old_shape: bool = False,
    pieces: int = 1,
) -> pathlib.Path:
    """Writes a weights file and returns its path."""
    with path.open("wb") as file:
        file.write(field(1, b"random"))
        for layer in layers:
            file.write(layer_bytes(layer, form=form, old_shape=old_shape, pieces=pieces))
    return path


def random_layers(graph, rng: np.random.Generator) -> list[Layer]:
    """Random weights for every layer of a graph that has some; they keep activations in range."""
    shapes = graph.input_shapes()
    return [
        Layer(layer.name, layer.kind, _random_blobs(layer.op, shapes[layer.name], rng))
        for layer in graph.layers
        if layer.name in graph.parameter_shapes()
    ]


def _random_blobs(op, inputs, rng: np.random.Generator) -> list[np.ndarray]:
    channels = inputs[0][-1]
    match type(op).__name__:
        case "Convolution":
            shape = (op.num_output, channels // op.groups, *op.kernel)
        case "InnerProduct":
            shape = (op.num_output, math.prod(inputs[0]))
        case "BatchNorm":
            factor = rng.uniform(0.5, 900, 1)
            statistics = [rng.normal(0, 9, channels), rng.uniform(1, 900, channels)]
            return [v.astype(np.float32) for v in (*(s * factor for s in statistics), factor)]
        case "PReLU":
            shared = () if op.channel_shared else (channels,)
            return [np.asarray(rng.uniform(0.05, 0.6, shared), np.float32)]
        case _:
            blobs = op.parameter_shapes(inputs)
            return [
                rng.uniform(0.5, 1.5, _channels_first(op, shape)).astype(np.float32)
                for shape in blobs.values()
            ]
    scale = np.float32(math.sqrt(2 / math.prod(shape[1:])))
    kernel = rng.standard_normal(shape, np.float32) * scale
    bias = rng.standard_normal(shape[0], np.float32)
    return [kernel, bias] if op.use_bias else [kernel]


def _channels_first(op, shape: Sequence[int]) -> Sequence[int]:
    moved = len(op.axes) > 1 and op.axes[-1] == -1
    return (shape[-1], *shape[:-1]) if moved else shape


def to_v1_text(text: str) -> str:
    """A V2 definition in the old form: ``layers``, bare types, and ``input`` with ``input_dim``."""
    declared = re.search(
        r'layer\s*{[^{}]*type: "Input".*?top: "(\w+)".*?}\s*}\s*}', text, re.DOTALL
    )
    if declared is not None:
        sizes = re.findall(r"dim: (\d+)", declared[0])
        head = f'input: "{declared[1]}"\n' + "".join(f"input_dim: {size}\n" for size in sizes)
        text = text.replace(declared[0], head)
    text = re.sub(r"\bparam\s*{[^{}]*}", "blobs_lr: 1", text)
    text = re.sub(r"\blayer\s*{", "layers {", text)
    kinds: Mapping[str, str] = {kind: word for kind, (word, _) in V1_TYPES.items()}
    return re.sub(
        r'type: "(\w+)"', lambda m: f"type: {kinds[m[1]]}" if m[1] in kinds else m[0], text
    )


@dataclasses.dataclass(frozen=True)
class Node:
    """A layer of a made-up network: what the definition and the weights file say of it."""

    name: str
    kind: str
    bottoms: Sequence[str]
    tops: Sequence[str]
    options: Mapping = dataclasses.field(default_factory=dict)
    blobs: Sequence[np.ndarray] = ()


OPTION_FIELDS = {
    "BatchNorm": "batch_norm_param",
    "ELU": "elu_param",
    "InnerProduct": "inner_product_param",
    "PReLU": "prelu_param",
}
"""Names of the messages that hold a type's options where they are more than ``kind_param``."""


def prototxt_text(
    nodes: Sequence[Node], *, dims: Sequence[int] = (1, 3, 8, 8), input_name: str = "data"
) -> str:
    """The V2 definition of `nodes` after an input of Caffe's four sizes `dims`."""
    shape = " ".join(f"dim: {size}" for size in dims)
    lines = [
        'name: "made"',
        f'layer {{ name: "{input_name}" type: "Input" top: "{input_name}"',
        f"  input_param {{ shape {{ {shape} }} }} }}",
    ]
    for node in nodes:
        names = [f'bottom: "{name}"' for name in node.bottoms]
        names += [f'top: "{name}"' for name in node.tops]
        field_name = OPTION_FIELDS.get(node.kind, f"{node.kind.lower()}_param")
        options = f"{field_name} {{ {_options_text(node.options)} }}" if node.options else ""
        lines += [f'layer {{ name: "{node.name}" type: "{node.kind}"']
        lines += [f"  {' '.join(names)} {options} }}"]
    return "\n".join(lines) + "\n"


def _options_text(options: Mapping) -> str:
    parts = []
    for key, value in options.items():
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, Mapping):
                parts.append(f"{key} {{ {_options_text(entry)} }}")
            else:
                parts.append(f"{key}: {str(entry).lower() if isinstance(entry, bool) else entry}")
    return " ".join(parts)


def write_nodes(
    folder: pathlib.Path, nodes: Sequence[Node], *, dims: Sequence[int] = (1, 3, 8, 8), **form
) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes both files of a made-up network; `form` as of `write_caffemodel`."""
    prototxt = folder / "made.prototxt"
    text = prototxt_text(nodes, dims=dims)
    prototxt.write_text(to_v1_text(text) if form.get("form") == "V1" else text)
    layers = [Layer(n.name, n.kind, n.blobs, n.bottoms, n.tops) for n in nodes]
    return prototxt, write_caffemodel(folder / "made.caffemodel", layers, **form)
