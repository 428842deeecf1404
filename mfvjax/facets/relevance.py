"""Codes of relevance: what in a layer below made a unit answer as it did.

Gradient times activation: two images with equal activations of a layer differ in their codes where
the unit uses other channels of it. The plain code describes an image, this one the unit's reasons.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mfvjax.facets.reading import AskedUnits, FacetNetwork
from mfvjax.node_paths import between, is_on_every_way, is_product, remade, unmoved
from mfvjax.nodes import Node, nodes_of

_BELOW: weakref.WeakKeyDictionary[FacetNetwork, dict[str, str]] = weakref.WeakKeyDictionary()


def relevance_codes(
    nodes: Mapping[str, Node],
    unit_layer: str,
    code_layer: str,
    asked: AskedUnits,
    where: Int[Array, "batch units"],
) -> Float[Array, "batch units features"]:
    """Gradient times activation of a layer below, summed over its positions, for each unit.

    With `a` the activation of channel i at the code layer's positions p, and `u` that of the unit,
    ``v_i = sum_p a_ip du/da_ip``, divided by ``sum_i |v_i|``: of a linear unit on a dense layer,
    ``a_i w_i``. Where no gradient comes through, behind a ReLU that is closed, the code is 0.

    PURE weighs all positions of the unit's map with their own activation. Here the gradient is
    that at the unit's place alone, the one where the image was found to activate it and which its
    patch shows; the unit's own activation is a common factor then, and falls out.

    Args:
      nodes: of the network's activations for the images; see `mfvjax.nodes.nodes_of`.
      unit_layer: of the units.
      code_layer: below it.
      asked: the units.
      where: row-major position of each unit in each image.

    Raises:
      ValueError: the units do not depend on the code layer.

    References: Dreyer et al. 2024 (arXiv 2404.06453), PURE, section 3.
    """
    code, moves = unmoved(nodes[code_layer])
    target = nodes[unit_layer]
    if not between(code, target) or code is unmoved(target)[0]:
        raise ValueError(
            f"layer {unit_layer!r} is not made from {code_layer!r}: a code of relevance needs a "
            "layer below the unit's"
        )
    values, pull = jax.vjp(lambda value: remade(target, code, value), code.value)
    activation = jnp.asarray(nodes[code_layer].value)

    def of_unit(unit: tuple[Array, Array]) -> Float[Array, "batch features"]:
        (gradient,) = pull(_one_place(values, *unit))
        for move in moves:
            gradient = move.made_of(gradient)
        return _summed(activation * gradient.astype(activation.dtype))

    relevance = jax.lax.map(of_unit, (asked.channels, where.T))  # one unit's gradients at a time
    relevance = jnp.swapaxes(relevance, 0, 1)
    total = jnp.sum(jnp.abs(relevance), axis=-1, keepdims=True)
    return relevance / jnp.where(total > 0, total, jnp.ones_like(total))


def layer_below(network: FacetNetwork, layer: str) -> str:
    """The layer in whose channels the reasons of `layer`'s units are sought, if none is named.

    For units of classes, and of layers that were added, ``network.code_layer``. Otherwise the
    nearest layer before it, in the order of execution, through which comes all that it has of the
    image, and after which there is a convolution or a matrix product: of a residual network the
    output of the block before, of a branch what the branch begins with.

    Raises:
      ValueError: there is none below `layer`.
    """
    known = network.code_layer(layer)
    if known != layer:
        return known
    found = _BELOW.setdefault(network, {})
    if layer not in found:
        found[layer] = _layer_below(network, layer)
    return found[layer]


def _layer_below(network: FacetNetwork, layer: str) -> str:
    shape = (1, *network.input_size, network.preprocessing.domain.channels)

    def read(images: Array) -> Mapping[str, Array]:
        return network.forward(network.params, network.preprocessing.to_net_input(images))

    nodes = nodes_of(read, jax.ShapeDtypeStruct(shape, np.float32))
    own = [name for name, info in network.layers.items() if info.base is None]
    for name in reversed(own[: own.index(layer)]):
        below = unmoved(nodes[name])[0]
        passed = between(below, nodes[layer])
        if any(map(is_product, passed)) and is_on_every_way(below, nodes[layer]):
            return name
    raise ValueError(
        f"no layer below {layer!r} could be its units' code of relevance; name one with "
        'code_layer, or take code="activation"'
    )


def _one_place(
    values: Float[Array, "batch *places channels"], channel: Array, places: Int[Array, " batch"]
) -> Float[Array, "batch *places channels"]:
    """1 at one channel, at each image's own place; 0 elsewhere."""
    flat = jnp.zeros_like(values).reshape(len(values), -1, values.shape[-1])
    return flat.at[jnp.arange(len(values)), places, channel].set(1).reshape(values.shape)


def _summed(relevance: Float[Array, "batch *places channels"]) -> Float[Array, "batch channels"]:
    return relevance.reshape(len(relevance), -1, relevance.shape[-1]).sum(axis=1)
