"""A Caffe network as one ``.safetensors`` file: parameters, graph and preprocessing together."""

import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Sequence

import safetensors.numpy

from mfvjax.models.graph import GraphSpec
from mfvjax.preprocess import CAFFE_IMAGENET, Preprocessing
from weights_convert.reading import read_caffe

_EFFECTIVE = os.access in os.supports_effective_ids


def convert(
    prototxt: str | pathlib.Path,
    caffemodel: str | pathlib.Path,
    output: str | pathlib.Path,
    *,
    name: str | None = None,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    ignore_layers: Sequence[str] = (),
) -> None:
    """Converts a Caffe network; `output` appears whole or not at all.

    Args:
      prototxt: the text definition.
      caffemodel: the binary weights.
      output: the ``.safetensors`` file to write; an existing one is replaced.
      name: of the network; the definition's own if not given.
      class_names: one per class, in the order of the class units.
      preprocessing: what the network eats; BGR minus (104, 117, 123) if not given.
      ignore_layers: see `read_caffe`.

    Raises:
      CaffeFormatError: see `read_caffe`.
      ValueError: `class_names` or `preprocessing` does not fit the network.
      OSError: a file cannot be read or written; whether there is a folder for `output` is known
        before anything is read.
    """
    _check_place(pathlib.Path(output))
    graph, arrays = read_caffe(prototxt, caffemodel, ignore_layers=ignore_layers)
    metadata = {
        "format": "mfvjax-network",
        "version": "1",
        "architecture": "caffe_graph",
        "name": name or graph.name or pathlib.Path(prototxt).stem,
        "graph": graph.to_json(),
        "preprocessing": _fitting(preprocessing, graph).to_json(),
        "logits_layer": logits_layer(graph),
        "sources": json.dumps({pathlib.Path(p).name: _sha256(p) for p in (prototxt, caffemodel)}),
    }
    if class_names is not None:
        metadata["class_names"] = json.dumps(_checked_names(class_names, graph))
    output = pathlib.Path(output)
    with tempfile.TemporaryDirectory(prefix=".convert-", dir=output.parent) as folder:
        written = pathlib.Path(folder) / "network.safetensors"
        written.touch()
        mode = written.stat().st_mode  # as any new file's; the library would make it private
        safetensors.numpy.save_file(arrays, written, metadata)
        written.chmod(mode)
        os.replace(written, output)


def _check_place(output: pathlib.Path) -> None:
    """Refuses, before any work, a file that cannot be written."""
    if not output.parent.is_dir():
        raise FileNotFoundError(
            f"there is no folder {str(output.parent)!r} to write {output.name!r} into"
        )
    if output.is_dir():
        raise IsADirectoryError(f"{str(output)!r} is a folder; name a .safetensors file in it")
    if not os.access(output.parent, os.W_OK, effective_ids=_EFFECTIVE):
        raise PermissionError(f"the folder {str(output.parent)!r} cannot be written to")


def logits_layer(graph: GraphSpec) -> str:
    """The activation that scores classes: what the last softmax reads, or else the last one."""
    softmax = [layer for layer in graph.layers if layer.kind == "Softmax"]
    return softmax[-1].inputs[0] if softmax else list(graph.blob_shapes())[-1]


def _fitting(preprocessing: Preprocessing | None, graph: GraphSpec) -> Preprocessing:
    height, width, channels = graph.input_shape
    if preprocessing is None:
        if channels != 3:
            raise ValueError(
                f"network {graph.name!r} takes images of {channels} channels: give a preprocessing "
                "whose domain has as many"
            )
        return Preprocessing((height, width), "BGR", CAFFE_IMAGENET.mean)
    if preprocessing.domain.channels != channels:
        raise ValueError(
            f"preprocessing makes images of {preprocessing.domain.channels} channels, network "
            f"{graph.name!r} takes {channels}"
        )
    if preprocessing.input_size != (height, width):
        raise ValueError(
            f"preprocessing makes images of {preprocessing.input_size}, network {graph.name!r} "
            f"takes {(height, width)}"
        )
    return preprocessing


def _checked_names(class_names: Sequence[str], graph: GraphSpec) -> list[str]:
    layer = logits_layer(graph)
    count = graph.blob_shapes()[layer][-1]
    if len(class_names) != count:
        raise ValueError(f"{len(class_names)} class names for the {count} units of {layer!r}")
    return list(class_names)


def _sha256(path: str | pathlib.Path) -> str:
    with pathlib.Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
