"""Networks from graphs with weights, and straight from Caffe's two files."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from mfvjax.models.graph import GraphSpec
from mfvjax.network.architectures import (
    ModelForward,
    architecture_text,
    graph_layers,
    parameter_shapes,
)
from mfvjax.network.face import Network
from mfvjax.preprocess import CAFFE_IMAGENET, Preprocessing

STORED = ("float32", "float16")


def from_caffe(
    prototxt: str | os.PathLike[str],
    caffemodel: str | os.PathLike[str],
    *,
    name: str | None = None,
    preprocessing: Preprocessing | None = None,
    class_names: Sequence[str] | None = None,
    logits_layer: str | None = None,
    code_layer: str | None = None,
    ignore_layers: Sequence[str] = (),
) -> Network:
    """Reads a network from a Caffe definition and its binary weights.

    Args:
      prototxt: text definition, for deployment or training.
      caffemodel: binary weights.
      name: for people; the definition's own name if ``None``.
      preprocessing: if ``None``, BGR minus (104, 117, 123), of the definition's input size; must be
        given for images of other than three channels, with their domain.
      class_names: one per class.
      logits_layer: the classes; if ``None`` what the last softmax reads, or the last layer.
      code_layer: describes images of a class; if ``None`` the last layer before the classes.
      ignore_layers: patterns such as ``"loss1/*"`` of weights that the definition does not use.

    Raises:
      ValueError: a file is damaged, unsupported or does not fit the other, the preprocessing is
        missing or has another size or number of channels than the network, or a layer does not
        exist.
      OSError: a file cannot be read.
    """
    import weights_convert
    from weights_convert.convert import logits_layer as find_logits_layer

    prototxt, caffemodel = pathlib.Path(prototxt), pathlib.Path(caffemodel)
    spec, arrays = weights_convert.read_caffe(prototxt, caffemodel, ignore_layers=ignore_layers)
    if preprocessing is None:
        preprocessing = _usual_preprocessing(spec)
    return from_graph(
        spec,
        arrays,
        architecture="caffe_graph",
        name=name or spec.name or prototxt.stem,
        preprocessing=preprocessing,
        class_names=class_names,
        logits_layer=logits_layer or find_logits_layer(spec),
        code_layer=code_layer,
    )


def from_graph(
    spec: GraphSpec,
    arrays: Mapping[str, np.ndarray],
    *,
    architecture: str,
    name: str,
    preprocessing: Preprocessing,
    logits_layer: str,
    class_names: Sequence[str] | None = None,
    code_layer: str | None = None,
) -> Network:
    """Joins a graph and its weights, every one checked.

    Args:
      spec: the graph.
      arrays: by ``"layer/parameter"``, in Flax's layout.
      architecture: the model that computes the graph, a key of `ARCHITECTURES`.
      name: for people.
      preprocessing: from images to the graph's input.
      logits_layer: the classes.
      class_names: one per class.
      code_layer: describes images of a class; if ``None`` the last layer before the classes.

    Raises:
      ValueError: the architecture is unknown, the graph takes images of another size or number of
        channels than `preprocessing` makes; a parameter is missing, unknown, of another shape, not
        floating point or not finite; or a layer does not exist.
    """
    params = checked_params(parameter_shapes(architecture, spec), arrays)
    height, width, channels = spec.input_shape
    if preprocessing.domain.channels != channels:
        raise ValueError(
            f"the preprocessing makes images of {preprocessing.domain.channels} channels, network "
            f"{name!r} takes {channels}; its domain must have as many"
        )
    if preprocessing.input_size != (height, width):
        raise ValueError(
            f"the preprocessing makes images of {preprocessing.input_size}, network {name!r} "
            f"takes {(height, width)}"
        )
    return Network(
        name=name,
        forward=ModelForward(architecture, spec),
        params=params,
        preprocessing=preprocessing,
        layers=graph_layers(spec),
        logits_layer=logits_layer,
        class_names=None if class_names is None else tuple(class_names),
        class_code_layer=code_layer,
        architecture=architecture_text(architecture, spec),
    )


def _usual_preprocessing(spec: GraphSpec) -> Preprocessing:
    height, width, channels = spec.input_shape
    if channels != 3:
        domain = "GREY" if channels == 1 else f"Domain({channels}, low, high, kind)"
        raise ValueError(
            f"network {spec.name!r} takes images of {channels} channels: give a preprocessing that "
            f"says what they are, such as Preprocessing({(height, width)}, domain={domain})"
        )
    return Preprocessing((height, width), "BGR", CAFFE_IMAGENET.mean)


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
        if str(array.dtype) not in STORED:
            raise ValueError(f"parameter {key!r} is {array.dtype}; must be one of {STORED}")
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
