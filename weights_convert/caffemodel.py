"""A binary ``.caffemodel`` file: its layers that hold weights, one at a time."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from mfvjax.models.ops import Shape
from weights_convert.errors import CaffeFormatError, naming
from weights_convert.frames import BYTES, Frame, FrameWalk
from weights_convert.kinds import V1_KINDS, V1_WORDS
from weights_convert.limits import MAX_WEIGHTS_BYTES, check_file
from weights_convert.schema import BLOB_FIELDS, message_class
from weights_convert.textformat import decode

_FORMS = {2: ("V1LayerParameter", 6), 100: ("LayerParameter", 7)}
"""Message and blobs' field of each form of layer, by its field number in the network."""

_MAX_LAYER_BYTES = 2**31 - 1  # protobuf's own limit
_MAX_SHAPE_BYTES = 256


@dataclasses.dataclass(frozen=True, eq=False)
class WeightLayer:
    """A layer with weights: name, type of today, and blobs in order, each in Caffe's shape."""

    name: str
    kind: str
    blobs: tuple[np.ndarray, ...]


def read_caffemodel(path: str | pathlib.Path) -> Iterator[WeightLayer]:
    """Reads the layers that hold weights, in the order of the file.

    Only one layer is in memory at a time; its arrays are float32 or float64 views of the bytes.

    Raises:
      CaffeFormatError: there is no file of at most `MAX_WEIGHTS_BYTES`, it is no binary
        ``.caffemodel``, is cut off or damaged, a blob has another number of values than its shape
        says, or a value is not finite.
    """
    with naming(str(path)):
        check_file(pathlib.Path(path), MAX_WEIGHTS_BYTES, "a network's weights")
    with naming(str(path)), pathlib.Path(path).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        source = _FileBytes(file)
        if source[0:4] == b"\x89HDF":
            raise CaffeFormatError("is an HDF5 file; only binary .caffemodel files are read")
        walk = FrameWalk()
        for frame in walk.frames(source, 0, size):
            if frame.field in _FORMS and frame.wire == BYTES:
                with naming(f"the layer at byte {frame.start}"):
                    layer = _read_layer(source, frame, walk)
                if layer.blobs:
                    yield layer


class _FileBytes:
    """A file as something to take slices of."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __getitem__(self, where: slice) -> bytes:
        self._file.seek(where.start)
        return self._file.read(where.stop - where.start)


def _read_layer(source: _FileBytes, frame: Frame, walk: FrameWalk) -> WeightLayer:
    message_name, blobs_field = _FORMS[frame.field]
    if frame.stop - frame.start > _MAX_LAYER_BYTES:
        raise CaffeFormatError(f"has {frame.stop - frame.start} bytes, more than protobuf reads")
    raw = source[frame.start : frame.stop]
    _check_frames(raw, blobs_field, walk, is_old=message_name == "V1LayerParameter")
    message = _decode(message_class(message_name), raw)
    del raw
    if message_name == "LayerParameter":
        kind = decode(message.type)
    else:
        kind = V1_KINDS.get(V1_WORDS.get(message.type, ""), "")
    name = decode(message.name)
    with naming(f"layer {name!r}"):
        return WeightLayer(name, kind, tuple(_blobs(message)))


def _check_frames(raw: bytes, blobs_field: int, walk: FrameWalk, *, is_old: bool) -> None:
    """Refuses what the runtime would drop silently or expand beyond measure."""
    for field, wire, start, stop in walk.frames(raw, 0, len(raw)):
        if is_old and field == 1 and wire == BYTES:
            raise CaffeFormatError(
                "is in Caffe's oldest form; convert the file with its upgrade_net_proto_binary"
            )
        if field != blobs_field or wire != BYTES:
            continue
        for inner in walk.frames(raw, start, stop):
            if inner.field in (BLOB_FIELDS["data"], BLOB_FIELDS["double_data"]):
                if inner.wire != BYTES:
                    raise CaffeFormatError("has a blob whose numbers are not packed")
            elif (
                inner.field == BLOB_FIELDS["shape"] and inner.stop - inner.start > _MAX_SHAPE_BYTES
            ):
                raise CaffeFormatError("has a blob with an endless shape")


def _decode(message_type: Any, raw: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return message_type.FromString(raw)
    except DecodeError as error:
        raise CaffeFormatError(f"is damaged: {error}") from error


def _blobs(message: Any) -> Iterator[np.ndarray]:
    for number, blob in enumerate(message.blobs):
        with naming(f"blob {number}"):
            values = _values(blob)
            shape = _shape(blob)
            if min(shape, default=0) < 0 or math.prod(shape) != values.size:
                raise CaffeFormatError(f"has shape {shape} but {values.size} values")
            if values.size and not np.isfinite((values.min(), values.max())).all():
                raise CaffeFormatError("has values that are not finite")
        yield values.reshape(shape)


def _values(blob: Any) -> np.ndarray:
    found = [(field, dtype) for field, dtype in _NUMBERS if len(getattr(blob, field))]
    if len(found) > 1:
        raise CaffeFormatError("has both float and double values")
    if not found:
        return np.empty(0, np.float32)
    field, dtype = found[0]
    pieces = list(getattr(blob, field))
    raw = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if len(raw) % np.dtype(dtype).itemsize:
        raise CaffeFormatError(f"has {len(raw)} bytes of {field}, no whole number of values")
    return np.frombuffer(raw, dtype)


_NUMBERS = (("data", "<f4"), ("double_data", "<f8"))
_OLD_SIZES = ("num", "channels", "height", "width")


def _shape(blob: Any) -> Shape:
    """Caffe's rule: the old sizes count where any is written."""
    if any(blob.HasField(size) for size in _OLD_SIZES):
        return tuple(getattr(blob, size) for size in _OLD_SIZES)
    return tuple(blob.shape.dim)
