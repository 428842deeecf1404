"""A network on images of another size: the same parameters, the same names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NoReturn

import jax
import jax.numpy as jnp

from mfvjax.models.resize import resize_graph
from mfvjax.network import precision
from mfvjax.network.architectures import ModelForward, architecture_text, graph_layers
from mfvjax.network.derived import DerivedForward, added_again
from mfvjax.network.face import Network
from mfvjax.network.flax_modules import NamedForward
from mfvjax.network.measured import measured_layers
from mfvjax.preprocess import Preprocessing
from mfvjax.types import LayerInfo

_PROBE_BATCH = 7  # told from a map's sizes by its value
_SHORTER = "make a network of a module that ends before it"


def resize_network(network: Network, size: tuple[int, int], *, truncate: bool = False) -> Network:
    """`network` on images of `size`; see `Network.with_input_size`."""
    preprocessing = dataclasses.replace(network.preprocessing, input_size=size)
    if preprocessing == network.preprocessing:
        return network
    if isinstance(network.forward, DerivedForward):
        return added_again(network, lambda own: resize_network(own, size, truncate=truncate))
    if isinstance(network.forward, ModelForward):
        return _resized_model(network, network.forward, preprocessing, truncate)
    return _traced_again(network, preprocessing)


def _resized_model(
    network: Network, forward: ModelForward, preprocessing: Preprocessing, truncate: bool
) -> Network:
    try:
        spec = resize_graph(forward.spec, preprocessing.input_size, truncate=truncate)
    except ValueError as error:
        _refuse(network, preprocessing, str(error), "leave out what does not fit (truncate=True)")
    is_whole = len(spec.layers) == len(forward.spec.layers)
    architecture = forward.architecture if is_whole else "caffe_graph"
    layers = graph_layers(spec)
    return dataclasses.replace(
        network,
        forward=ModelForward(architecture, spec, forward.compute_dtype),
        params={name: network.params[name] for name in spec.parameter_shapes()},
        preprocessing=preprocessing,
        layers=layers,
        architecture=architecture_text(architecture, spec),
        **_classes(network, layers),
    )


def _classes(network: Network, layers: Mapping[str, LayerInfo]) -> dict[str, Any]:
    """What a network with only these `layers` says of classes; nothing, if their layer is gone."""
    if network.logits_layer not in layers:
        return {"logits_layer": "", "class_names": None, "class_code_layer": None}
    kept = network.class_code_layer in layers
    return {"class_code_layer": network.class_code_layer if kept else None}


def _traced_again(network: Network, preprocessing: Preprocessing) -> Network:
    """A user's module or function, which says itself what it does with another size."""
    forward = precision.forward_in("float32", network.forward)
    input_shape = (*preprocessing.input_size, preprocessing.domain.channels)
    net_input = jax.ShapeDtypeStruct((_PROBE_BATCH, *input_shape), jnp.float32)
    try:
        outputs = jax.eval_shape(forward, network.params, net_input)
    except Exception as error:  # whatever the module raises
        where = _layer_at(forward, error)
        _refuse(network, preprocessing, f"{where}{_first_line(error)}", _SHORTER, error)
    shapes = {name: tuple(outputs[name].shape) for name in network.layers}
    for name, shape in shapes.items():
        if shape[0] != _PROBE_BATCH or 0 in shape:
            reason = f"layer {name!r} comes out as {shape} for {_PROBE_BATCH} images"
            _refuse(network, preprocessing, reason, _SHORTER)
    shapes = {name: shape[1:] for name, shape in shapes.items()}
    module = _module_of(forward)
    text = module and module.architecture_text(network.params, shapes, input_shape)
    return dataclasses.replace(
        network,
        preprocessing=preprocessing,
        layers=measured_layers(forward, network.params, shapes, input_shape),
        architecture=text or network.architecture,
    )


def _module_of(forward: Any) -> NamedForward | None:
    """The user's module behind a forward function, if it is one."""
    inner = getattr(forward, "forward", None)
    return inner if isinstance(inner, NamedForward) else None


def _layer_at(forward: Any, error: Exception) -> str:
    module = _module_of(forward)
    path = module.run.layer_at(error) if module else ""
    return f"layer {path!r}: " if path else ""


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _refuse(
    network: Network,
    preprocessing: Preprocessing,
    reason: str,
    instead: str,
    error: Exception | None = None,
) -> NoReturn:
    (height, width), (old_height, old_width) = preprocessing.input_size, network.input_size
    raise ValueError(
        f"network {network.name!r} cannot take images of {height}x{width}: {reason}; use a size "
        f"such as {old_height}x{old_width}, or {instead}"
    ) from error
