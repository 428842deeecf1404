"""Both files of a Caffe network together: a graph, and every parameter it needs."""

import fnmatch
import pathlib
from collections.abc import Sequence

import numpy as np

from mfvjax.models.graph import GraphSpec
from weights_convert.caffemodel import WeightLayer, read_caffemodel
from weights_convert.errors import CaffeFormatError, naming
from weights_convert.kinds import is_dropped
from weights_convert.parameters import convert_blobs
from weights_convert.plan import PlannedNet, plan_prototxt
from weights_convert.prototxt import SourceLayer
from weights_convert.rules import RULES


def read_caffe(
    prototxt: str | pathlib.Path,
    caffemodel: str | pathlib.Path,
    *,
    ignore_layers: Sequence[str] = (),
) -> tuple[GraphSpec, dict[str, np.ndarray]]:
    """Reads a Caffe network: its graph, and its parameters in Flax's layout.

    Every blob of the file is used exactly once and every parameter of the graph is filled.

    Args:
      prototxt: the text definition; layers of both forms, for deployment or training.
      caffemodel: the binary weights, of either form.
      ignore_layers: patterns such as ``"loss1/*"`` of layers whose weights the definition does not
        use, like the helping classifiers of GoogLeNet.

    Returns:
      the graph, and float32 arrays by ``"layer/parameter"``, such as ``"conv1/kernel"``.

    Raises:
      CaffeFormatError: a file is damaged or unsupported, or the two do not fit; the message names
        file, layer and blob.
      OSError: a file cannot be read.
    """
    planned = plan_prototxt(prototxt)
    missing = {
        f"{layer}/{name}"
        for layer, shapes in planned.graph.parameter_shapes().items()
        for name in shapes
    }
    seen: set[str] = set()
    unused: list[str] = []
    arrays: dict[str, np.ndarray] = {}
    for layer in read_caffemodel(caffemodel):
        with naming(f"{caffemodel}: layer {layer.name!r}"):
            if layer.name in seen:
                raise CaffeFormatError("has weights twice")
            seen.add(layer.name)
            if layer.name in planned.sources:
                arrays |= _convert_layer(planned, layer)
            elif not any(fnmatch.fnmatchcase(layer.name, name) for name in ignore_layers):
                unused.append(layer.name)
        del layer  # its blobs are as large as the arrays that were made of them
    if unused:
        raise CaffeFormatError(
            f"{caffemodel}: has weights of layers that {prototxt} does not have: "
            f"{_few(unused)}; name them in ignore_layers (--ignore-layer) to leave them out"
        )
    if missing := missing - set(arrays):
        raise CaffeFormatError(
            f"{caffemodel}: has no weights for {_few(sorted(missing))} of {prototxt}"
        )
    return planned.graph, arrays


def _convert_layer(planned: PlannedNet, layer: WeightLayer) -> dict[str, np.ndarray]:
    source = planned.sources[layer.name]
    known = layer.kind in RULES or is_dropped(layer.kind)
    if known and layer.kind != source.kind:
        raise CaffeFormatError(f"is of type {layer.kind} here and {source.kind} in the definition")
    converted = convert_blobs(
        planned.operations[layer.name],
        planned.inputs[layer.name],
        layer.blobs,
        is_transposed=_is_transposed(source),
    )
    return {f"{layer.name}/{name}": array for name, array in converted.items()}


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _is_transposed(source: SourceLayer) -> bool:
    return source.message.message("inner_product_param").flag("transpose", False)
