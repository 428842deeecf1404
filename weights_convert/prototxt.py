"""A ``.prototxt`` file: the network's input, and its layers as they stand outside training.

Reads both forms of layer (``layer`` and the old ``layers``) and the three ways to declare an input.
"""

import codecs
import dataclasses
import pathlib

from weights_convert.errors import CaffeFormatError, naming
from weights_convert.kinds import DATA_KINDS, V1_KINDS, V1_WORDS, is_dropped
from weights_convert.limits import MAX_DEFINITION_BYTES, check_file
from weights_convert.message import Message, Word
from weights_convert.textformat import decode, parse


@dataclasses.dataclass(frozen=True)
class NetInput:
    """An activation that comes from outside, with Caffe's four sizes."""

    name: str
    dims: tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class SourceLayer:
    """One layer as the file writes it; `kind` is the type's name of today."""

    name: str
    kind: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    message: Message

    def __str__(self) -> str:
        return f"layer {self.name!r} ({self.kind}, line {self.message.line})"


@dataclasses.dataclass(frozen=True, eq=False)
class SourceNet:
    """A network as the file writes it, without the layers that only training needs.

    Attributes:
      inputs: every declared input, used or not.
      dropped: data, loss and accuracy layers.
    """

    name: str
    inputs: tuple[NetInput, ...]
    layers: tuple[SourceLayer, ...]
    dropped: tuple[SourceLayer, ...]


def read_prototxt(path: str | pathlib.Path) -> SourceNet:
    """Reads a network definition.

    Raises:
      CaffeFormatError: there is no file, but a device say, or it is too large, is not in the text
        format, is of Caffe's oldest form, or a layer lacks its name or type; the message names
        file, line and layer.
    """
    path = pathlib.Path(path)
    with naming(str(path)):
        check_file(path, MAX_DEFINITION_BYTES, "a network definition")
        return _read_net(parse(decode(path.read_bytes().removeprefix(codecs.BOM_UTF8))))


def _read_net(net: Message) -> SourceNet:
    old, new = net.messages("layers"), net.messages("layer")
    if old and new:
        raise CaffeFormatError("has both 'layer' and 'layers'; a network is of one form")
    if not old and not new:
        raise CaffeFormatError("has no layers; is it a network definition (.prototxt)?")
    layers, data, dropped = [], [], []
    inputs = _declared_inputs(net)
    for number, message in enumerate(old or new, start=1):
        layer = _read_layer(message, number, is_old=bool(old))
        with naming(str(layer)):
            if not _is_included(message):
                continue
            if layer.kind == "Input":
                inputs += _input_layer(layer)
            elif is_dropped(layer.kind):
                dropped.append(layer)
                data += _data_layer(layer)
            else:
                layers.append(layer)
    return SourceNet(net.string("name"), tuple(inputs or data), tuple(layers), tuple(dropped))


def _read_layer(message: Message, number: int, *, is_old: bool) -> SourceLayer:
    with naming(f"layer {number} (line {message.line})"):
        if is_old and message.has("layer"):
            raise CaffeFormatError(
                "is in Caffe's oldest form; convert the file with its upgrade_net_proto_text first"
            )
        name, kind = message.string("name"), message.word("type")
        if is_old and type(kind) is int:
            kind = Word(V1_WORDS.get(kind, str(kind)))
        if is_old and isinstance(kind, Word):
            kind = V1_KINDS.get(kind, kind)
        if not name or not isinstance(kind, str):
            raise CaffeFormatError(f"needs a name and a type, has name {name!r} and type {kind!r}")
        tops, bottoms = tuple(message.strings("top")), tuple(message.strings("bottom"))
    return SourceLayer(name, str(kind), bottoms, tops, message)


def _is_included(message: Message) -> bool:
    """Whether the layer exists in the test phase, at level 0 and in no stage."""
    include, exclude = message.messages("include"), message.messages("exclude")
    if include and exclude:
        raise CaffeFormatError("has both include and exclude rules; Caffe allows one kind")
    if include:
        return any(map(_meets, include))
    return not any(map(_meets, exclude))


def _meets(rule: Message) -> bool:
    return (
        rule.choice("phase", ("TRAIN", "TEST"), "TEST") == "TEST"
        and rule.integer("min_level", 0) <= 0 <= rule.integer("max_level", 0)
        and not rule.strings("stage")
    )


def _declared_inputs(net: Message) -> list[NetInput]:
    names, shapes, sizes = (
        net.strings("input"),
        net.messages("input_shape"),
        net.integers("input_dim"),
    )
    if shapes and sizes:
        raise CaffeFormatError("has both input_shape and input_dim")
    dims = [tuple(shape.integers("dim")) for shape in shapes]
    dims = dims or [tuple(sizes[start : start + 4]) for start in range(0, len(sizes), 4)]
    if len(dims) != len(names):
        raise CaffeFormatError(f"has {len(names)} inputs but the shapes of {len(dims)}")
    return [NetInput(name, shape) for name, shape in zip(names, dims, strict=True)]


def _input_layer(layer: SourceLayer) -> list[NetInput]:
    shapes = layer.message.message("input_param").messages("shape")
    if len(shapes) not in (1, len(layer.tops)):
        raise CaffeFormatError(f"has {len(layer.tops)} tops but {len(shapes)} shapes")
    dims = [tuple(shape.integers("dim")) for shape in shapes]
    return [NetInput(top, dims[min(i, len(dims) - 1)]) for i, top in enumerate(layer.tops)]


def _data_layer(layer: SourceLayer) -> list[NetInput]:
    """The input that a data layer of a training file stands for, if its crop says the size."""
    crop = layer.message.message("transform_param").integer("crop_size", 0)
    if layer.kind not in DATA_KINDS or crop <= 0 or not layer.tops:
        return []
    return [NetInput(layer.tops[0], (1, 3, crop, crop))]
