"""Networks from graphs with weights, and straight from Caffe's two files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from mfvjax.models.graph import GraphSpec
from mfvjax.network.architectures import ModelForward, graph_layers, parameter_shapes
from mfvjax.network.face import Network
from mfvjax.preprocess import CAFFE_IMAGENET, Preprocessing

_STORED = ("float32", "float16")


def from_caffe(
    prototxt: str | os.PathLike[str],
    caffemodel: str | os.PathLike[str],
    *,
    name: str | None = None,
    preprocessing: Preprocessing | None = None,
    class_names: Sequence[str] | None = None,
    logits_layer: str | None = None,
    code_layer: str | None = None,
) -> Network:
    """Reads a network from a Caffe definition and its binary weights.

    Args:
      prototxt: text definition, for deployment or training.
      caffemodel: binary weights.
      name: for people; the definition's own name if ``None``.
      preprocessing: if ``None``, BGR minus (104, 117, 123), of the definition's input size.
      class_names: one per class.
      logits_layer: if ``None`` as `default_logits_layer`.
      code_layer: describes images of a class; if ``None`` the last layer before the classes.

    Raises:
      ValueError: a file is damaged, unsupported or does not fit the other, the preprocessing has
        another size than the network, or a layer does not exist.
      OSError: a file cannot be read.
    """
    from weights_convert import read_caffe

    spec, arrays = read_caffe(prototxt, caffemodel)
    return from_graph(
        spec,
        arrays,
        name=name,
        preprocessing=preprocessing,
        class_names=class_names,
        logits_layer=logits_layer,
        code_layer=code_layer,
    )


def from_graph(
    spec: GraphSpec,
    arrays: Mapping[str, np.ndarray],
    *,
    architecture: str = "caffe_graph",
    name: str | None = None,
    preprocessing: Preprocessing | None = None,
    class_names: Sequence[str] | None = None,
    logits_layer: str | None = None,
    code_layer: str | None = None,
) -> Network:
    """Joins a graph and its weights, every one checked.

    Args:
      spec: the graph.
      arrays: by ``"layer/parameter"``, in Flax's layout.
      architecture: the model that computes it.
      name: as the other options, see `from_caffe`.
      preprocessing: see `from_caffe`.
      class_names: see `from_caffe`.
      logits_layer: see `from_caffe`.
      code_layer: see `from_caffe`.

    Raises:
      ValueError: as `from_caffe`; a parameter is missing, unknown, of another shape, not floating
        point or not finite.
    """
    params = checked_params(parameter_shapes(architecture, spec), arrays)
    height, width, channels = spec.input_shape
    if channels != 3:
        raise ValueError(f"network {spec.name!r} takes {channels} channels; images have 3")
    if preprocessing is None:
        preprocessing = Preprocessing((height, width), "BGR", CAFFE_IMAGENET.mean)
    if preprocessing.input_size != (height, width):
        raise ValueError(
            f"the preprocessing makes images of {preprocessing.input_size}, network "
            f"{spec.name!r} takes {(height, width)}"
        )
    return Network(
        name=name or spec.name,
        forward=ModelForward(architecture, spec),
        params=params,
        preprocessing=preprocessing,
        layers=graph_layers(spec),
        logits_layer=logits_layer or default_logits_layer(spec),
        class_names=None if class_names is None else tuple(class_names),
        class_code_layer=code_layer,
        architecture=spec.to_json(),
    )


def default_logits_layer(spec: GraphSpec) -> str:
    """What the last softmax reads, or the last activation of a graph without one."""
    softmax = [layer for layer in spec.layers if layer.kind == "Softmax"]
    return softmax[-1].inputs[0] if softmax else list(spec.blob_shapes())[-1]


def checked_params(
    shapes: Mapping[str, Mapping[str, tuple[int, ...]]], arrays: Mapping[str, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """The model's parameters from `arrays`, on the default device in float32.

    Raises:
      ValueError: names or shapes differ from those of the model, or a value is not finite.
    """
    expected = {f"{layer}/{name}": (layer, name) for layer in shapes for name in shapes[layer]}
    check_names(expected, arrays)
    params: dict[str, dict[str, Any]] = {layer: {} for layer in shapes}
    for key, (layer, name) in expected.items():
        array = arrays[key]
        if tuple(array.shape) != tuple(shapes[layer][name]):
            raise ValueError(
                f"parameter {key!r} has shape {tuple(array.shape)}, "
                f"the model needs {tuple(shapes[layer][name])}"
            )
        if str(array.dtype) not in _STORED:
            raise ValueError(f"parameter {key!r} is {array.dtype}; must be one of {_STORED}")
        if not np.isfinite(array).all():
            raise ValueError(f"parameter {key!r} has values that are not finite numbers")
        params[layer][name] = jnp.asarray(array, jnp.float32)
    return params


def check_names(expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Compares the names of parameters.

    Raises:
      ValueError: they differ; the message lists both missing and unknown ones.
    """
    missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or extra:
        raise ValueError(
            f"parameters do not fit the model: missing {missing or 'none'}, "
            f"unknown {extra or 'none'}"
        )
