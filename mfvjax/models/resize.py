"""A graph for images of another size, with the same layers and parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from mfvjax.models import ops
from mfvjax.models.graph import Activation, GraphSpec, LayerSpec, input_activation, plan_layer


def resize_graph(spec: GraphSpec, size: tuple[int, int], *, truncate: bool = False) -> GraphSpec:
    """The graph on images of `size`, with every parameter as it is.

    A pooling that spans its whole map (global pooling) spans the new one. Back at the first size
    the graph is equal to the first, unless layers were left out.

    Args:
      spec: the graph; not modified.
      size: ``(height, width)``.
      truncate: leaves out the layers that do not fit the size, all that read what they write, and
        those whose result they rewrite in place.

    Raises:
      ValueError: a layer does not fit, for its parameters or for the size of its maps; the message
        names the first. With `truncate`, no layer fits.
    """
    left_out: set[str] = set()
    first = None
    while True:
        kept = [layer for layer in spec.layers if not left_out & {*layer.inputs, *layer.outputs}]
        layers, misfit, reason = _fitted(spec, kept, size)
        first = first or reason
        if misfit is None and layers:
            return dataclasses.replace(
                spec, input_shape=(*size, spec.input_shape[2]), layers=tuple(layers)
            )
        if misfit is None or not truncate:
            raise ValueError(first)
        left_out = _followers(spec, left_out | set(misfit.outputs))


def _fitted(
    spec: GraphSpec, kept: Iterable[LayerSpec], size: tuple[int, int]
) -> tuple[list[LayerSpec], LayerSpec | None, str | None]:
    """The layers `kept`, for maps of other sizes, up to the first that does not fit, and why."""
    inputs, parameters = spec.input_shapes(), spec.parameter_shapes()
    known = input_activation(spec.input_name, (*size, spec.input_shape[2]))
    layers: list[LayerSpec] = []
    for layer in kept:
        try:
            fitted = _for_maps(layer, inputs[layer.name], known)
            plan = plan_layer(fitted, known)
            _check_parameters(parameters.get(layer.name, {}), plan.parameters)
        except ValueError as error:
            return layers, layer, f"layer {layer.name!r} ({layer.kind}): {error}"
        known.update(plan.outputs)
        layers.append(fitted)
    return layers, None, None


def _for_maps(
    layer: LayerSpec, before: tuple[ops.Shape, ...], known: Mapping[str, Activation]
) -> LayerSpec:
    if not isinstance(layer.op, ops.Pooling):
        return layer
    after = known[layer.inputs[0]][0]
    return dataclasses.replace(layer, op=layer.op.for_map(before[0], after))


def _check_parameters(has: Mapping[str, ops.Shape], needs: Mapping[str, ops.Shape]) -> None:
    for name, shape in needs.items():
        if has[name] == shape:
            continue
        if name == "kernel" and len(shape) == 2:
            raise ValueError(f"has weights for {has[name][0]} inputs, gets {shape[0]}")
        raise ValueError(f"its parameter {name!r} has shape {has[name]}, it would need {shape}")


def _followers(spec: GraphSpec, blobs: set[str]) -> set[str]:
    """`blobs`, and all that is made of them or is, in place, what they were made of."""
    while True:
        grown = blobs.union(
            *(layer.outputs for layer in spec.layers if blobs & {*layer.inputs, *layer.outputs})
        )
        if grown == blobs:
            return grown
        blobs = grown
