"""The library's own models, built from what a weights file says of its architecture."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from mfvjax.models.caffe_graph import CaffeGraph
from mfvjax.models.caffenet import AlexNet, CaffeNet
from mfvjax.models.compact import Compact
from mfvjax.models.graph import GraphSpec
from mfvjax.models.products import float32_products
from mfvjax.network.precision import PRODUCTS, cast_floats
from mfvjax.types import Activations, LayerInfo, Params

Build = Callable[[GraphSpec, Any], nnx.Module]


def _sizes(spec: GraphSpec) -> dict[str, Any]:
    shape = spec.blob_shapes().get("fc8")
    if shape is None:
        raise ValueError(f"the graph of network {spec.name!r} has no layer fc8")
    return {"channels": spec.input_shape[-1], "num_classes": shape[-1]}


ARCHITECTURES: dict[str, Build] = {
    "caffe_graph": lambda spec, dtype: CaffeGraph(spec, dtype=dtype),
    "caffenet": lambda spec, dtype: CaffeNet(**_sizes(spec), dtype=dtype),
    "alexnet": lambda spec, dtype: AlexNet(**_sizes(spec), dtype=dtype),
    "compact": lambda spec, dtype: Compact(**_sizes(spec), dtype=dtype),
}
"""Models by the name that a weights file uses: ``(graph, dtype of the computation) -> module``."""


@dataclasses.dataclass(frozen=True)
class ModelForward:
    """Forward function of one of the library's models.

    A value: networks of one architecture share it, and with it their compiled programs.

    Attributes:
      architecture: a key of `ARCHITECTURES`.
      spec: the graph.
      compute_dtype: "float32" for the precision of the parameters, or a faster one of
        `PRECISIONS`.
    """

    architecture: str
    spec: GraphSpec
    compute_dtype: str = "float32"

    def __call__(self, params: Params, net_input: Array) -> Activations:
        """All activations: float64 for float64 parameters, otherwise float32."""
        out = self.result_dtype(params)
        dtype = jnp.dtype("bfloat16") if self.compute_dtype == "bfloat16" else out
        module = nnx.merge(_structure(self.architecture, self.spec, dtype), params)
        with float32_products(PRODUCTS[self.compute_dtype]):
            return cast_floats(dict(module(net_input.astype(dtype))), out)

    def result_dtype(self, params: Params) -> Any:
        """Type of the activations."""
        is_double = any(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(params))
        return jnp.dtype("float64" if is_double else "float32")

    def in_precision(self, compute_dtype: str) -> ModelForward:
        """The same, computed in another precision."""
        return dataclasses.replace(self, compute_dtype=compute_dtype)


@functools.lru_cache(maxsize=64)
def _structure(architecture: str, spec: GraphSpec, dtype: Any) -> Any:
    """The module without its parameters; they are never allocated."""
    return nnx.split(nnx.eval_shape(lambda: ARCHITECTURES[architecture](spec, dtype)))[0]


def parameter_shapes(architecture: str, spec: GraphSpec) -> dict[str, dict[str, tuple[int, ...]]]:
    """Shape of every parameter the model has, by layer and name.

    Raises:
      ValueError: the architecture is unknown, or cannot be built from the graph.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"architecture {architecture!r} is unknown; known: {', '.join(ARCHITECTURES)}"
        )
    module = nnx.eval_shape(lambda: ARCHITECTURES[architecture](spec, jnp.dtype("float32")))
    params = nnx.to_pure_dict(nnx.split(module)[1])
    return {
        layer: {name: tuple(leaf.shape) for name, leaf in leaves.items()}
        for layer, leaves in params.items()
    }


def architecture_text(architecture: str, spec: GraphSpec) -> str:
    """What tells two models with equal parameters apart."""
    return f"{architecture} {spec.to_json()}"


def graph_layers(spec: GraphSpec) -> dict[str, LayerInfo]:
    """Facts of every activation of a graph, in the order of execution."""
    fields = spec.receptive_fields()
    return {
        name: LayerInfo(name, tuple(shape), fields[name])
        for name, shape in spec.blob_shapes().items()
    }
