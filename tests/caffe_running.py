"""Runs a converted graph with its arrays, for tests."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mfvjax.models.caffe_graph import CaffeGraph
from mfvjax.models.graph import GraphSpec


def nested(arrays: Mapping[str, np.ndarray], dtype: Any = jnp.float32) -> dict[str, dict]:
    """``{"conv1/kernel": array}`` as ``{"conv1": {"kernel": array}}``, on the device."""
    params: dict[str, dict] = {}
    for key, array in arrays.items():
        layer, name = key.rsplit("/", 1)
        params.setdefault(layer, {})[name] = jnp.asarray(array, dtype)
    return params


def forward_of(
    make: Callable[[], nnx.Module],
) -> Callable[[dict, jax.Array], dict[str, jax.Array]]:
    """A pure ``(params, net_input) -> activations`` of a module that is never allocated."""
    graphdef, _ = nnx.split(nnx.eval_shape(make))
    return lambda params, net_input: nnx.merge(graphdef, params)(net_input)


def graph_forward(
    spec: GraphSpec, dtype: Any = jnp.float32
) -> Callable[[dict, jax.Array], dict[str, jax.Array]]:
    """`forward_of` the generic module."""
    return forward_of(lambda: CaffeGraph(spec, dtype=dtype, param_dtype=dtype))


def to_caffe_layout(activation: jax.Array) -> np.ndarray:
    """(batch, rows, columns, channels) as (batch, channels, rows, columns); any rank."""
    return np.moveaxis(np.asarray(activation), -1, 1)
