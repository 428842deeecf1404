"""The few messages of Caffe's ``caffe.proto`` that hold weights, for the protobuf runtime.

Numbers of weights are declared ``bytes``: packed floats are plain little-endian bytes on the wire,
so NumPy can read them where they lie. ``repeated`` keeps every piece of a field written in several.
"""

import functools
from typing import Any

_PACKAGE = "mfvjax_caffe"
_OPTIONAL, _REPEATED = 1, 3  # FieldDescriptorProto.Label
_INT64, _INT32, _MESSAGE, _BYTES = 3, 5, 11, 12  # FieldDescriptorProto.Type

_MESSAGES: dict[str, dict[str, tuple[int, int, int]]] = {
    "BlobShape": {"dim": (1, _REPEATED, _INT64)},
    "BlobProto": {
        "num": (1, _OPTIONAL, _INT64),
        "channels": (2, _OPTIONAL, _INT64),
        "height": (3, _OPTIONAL, _INT64),
        "width": (4, _OPTIONAL, _INT64),
        "data": (5, _REPEATED, _BYTES),
        "shape": (7, _OPTIONAL, _MESSAGE),
        "double_data": (8, _REPEATED, _BYTES),
    },
    "LayerParameter": {
        "name": (1, _OPTIONAL, _BYTES),
        "type": (2, _OPTIONAL, _BYTES),
        "blobs": (7, _REPEATED, _MESSAGE),
    },
    "V1LayerParameter": {
        "name": (4, _OPTIONAL, _BYTES),
        "type": (5, _OPTIONAL, _INT32),
        "blobs": (6, _REPEATED, _MESSAGE),
    },
}
_MESSAGE_TYPES = {"shape": "BlobShape", "blobs": "BlobProto"}

BLOB_FIELDS = {name: number for name, (number, _, _) in _MESSAGES["BlobProto"].items()}


@functools.cache
def message_class(name: str) -> Any:
    """The runtime's class of the message `name`, in a descriptor pool of its own."""
    return _classes()[name]


@functools.cache
def _classes() -> dict[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(
        name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto2"
    )
    for message, fields in _MESSAGES.items():
        descriptor = file.message_type.add(name=message)
        for field, (number, label, kind) in fields.items():
            entry = descriptor.field.add(name=field, number=number, label=label, type=kind)
            if kind == _MESSAGE:
                entry.type_name = f".{_PACKAGE}.{_MESSAGE_TYPES[field]}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }
