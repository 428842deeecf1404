"""Conversion of a weights file of CaffeNet's size."""

from __future__ import annotations

import pathlib
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks.context import Context
from benchmarks.harness import interleaved, medians, missing
from benchmarks.networks import caffenet_spec, random_arrays
from benchmarks.report import Table


def run(context: Context) -> list[Table]:
    """Converting it, loading the result, and for comparison OpenCV's reader and a plain copy."""
    import weights_convert
    from mfvjax.network import Network

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        prototxt, weights = write_caffenet(folder)
        made = folder / "made.safetensors"
        runs: dict[str, Callable[[], Any]] = {
            "convert to safetensors": lambda: weights_convert.convert(prototxt, weights, made),
            "load the result": lambda: Network.load(made),
            "read both Caffe files into a network": lambda: Network.from_caffe(prototxt, weights),
            "copy the weights file": lambda: shutil.copyfile(weights, folder / "copy"),
        }
        if (no_opencv := missing("cv2")) is None:
            runs["OpenCV reads both files"] = lambda: _opencv(prototxt, weights)
        seconds = medians(interleaved(runs, repeats=context.repeats))
        size = weights.stat().st_size / 1e6
    rows: list[list[Any]] = [[what, value, size / value] for what, value in seconds.items()]
    if no_opencv is not None:
        rows.append(["OpenCV reads both files", no_opencv, None])
    note = f"CaffeNet with random weights, a file of {size:.0f} MB."
    return [Table("Conversion", ["", "s", "MB/s"], rows, [note])]


def write_caffenet(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """CaffeNet's definition and a weights file of its shape in `folder`."""
    from mfvjax.fetch.definitions import write_definition
    from weights_convert.schema import message_class

    prototxt, weights = folder / "caffenet.prototxt", folder / "caffenet.caffemodel"
    prototxt.write_text(write_definition("caffenet"))
    spec = caffenet_spec()
    kinds = {layer.name: layer.kind for layer in spec.layers}
    arrays = random_arrays(spec)
    with weights.open("wb") as file:
        for layer, shapes in spec.parameter_shapes().items():
            message = message_class("LayerParameter")(
                name=layer.encode(), type=kinds[layer].encode()
            )
            for parameter in shapes:
                values = arrays[f"{layer}/{parameter}"]
                # Outputs first, as in Caffe; the other axes hold random numbers in any order.
                sizes = (values.shape[-1], *values.shape[-2::-1])
                blob = message.blobs.add(data=[values.tobytes()])
                blob.shape.dim.extend(sizes)
            body = message.SerializeToString()
            file.write(_varint(100 << 3 | 2) + _varint(len(body)) + body)
    return prototxt, weights


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _opencv(prototxt: pathlib.Path, weights: pathlib.Path) -> Any:
    import cv2

    return cv2.dnn.readNetFromCaffe(str(prototxt), str(weights))
