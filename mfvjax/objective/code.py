"""Distance of a code from a given one: inversion, and what holds a picture near its start."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfvjax.objective.places import (
    Where,
    channel_weights,
    contract,
    in_places,
    position_weights,
)
from mfvjax.objective.seen import Seen
from mfvjax.objective.term import Term
from mfvjax.parts import Leaf, Number, number, part, static
from mfvjax.types import LayerInfo


@part
class CodeDistance(Term):
    """``-|z - code|^2 / |code|^2``, z a layer's channels at one position or averaged: at most 0.

    Attributes:
      layer: whose activations are codes.
      code: ``(channels,)``.
      where: as in `mfvjax.objective.reading.Reading`.
      weight: factor of the term.

    References: Mahendran & Vedaldi 2015, "Understanding Deep Image Representations by Inverting
    Them", equation 2; Nguyen et al. 2016, section 3.2.
    """

    layer: str = static()
    code: Leaf = None
    where: Where = static(default="center")
    weight: Number = number(default=1.0)
    positions: Leaf = None

    def bind(self, layers: Mapping[str, LayerInfo]) -> CodeDistance:
        """Raises ValueError where the code does not fit the layer, or is zero."""
        info = layers[self.layer]
        code = channel_weights(np.asarray(self.code), info)
        _refuse_zero(self.layer, code)
        return dataclasses.replace(
            self, code=code, where="center", positions=position_weights(self.where, info)
        )

    def __call__(self, seen: Seen) -> Float[Array, ""]:
        """The closeness."""
        activation = in_places(seen.activations[self.layer])
        code = contract("p,pc->c", self.positions, activation)
        return -jnp.sum((code - self.code) ** 2) / jnp.sum(self.code**2)


@part
class LayerDistance(Term):
    """``-|a - target|^2 / |target|^2``, a all activations of a layer: at most 0.

    Attributes:
      layer: any.
      target: in the layer's shape.
      weight: factor of the term.

    Reference: as `CodeDistance`.
    """

    layer: str = static()
    target: Leaf = None
    weight: Number = number(default=1.0)

    def bind(self, layers: Mapping[str, LayerInfo]) -> LayerDistance:
        """Raises ValueError where the target does not fit the layer, or is zero."""
        target = np.asarray(self.target, np.float32)
        if target.shape != layers[self.layer].shape:
            raise ValueError(
                f"layer {self.layer!r} has activations of shape {layers[self.layer].shape}; "
                f"a target of shape {target.shape} does not fit"
            )
        _refuse_zero(self.layer, target)
        return dataclasses.replace(self, target=target)

    def __call__(self, seen: Seen) -> Float[Array, ""]:
        """The closeness."""
        apart = seen.activations[self.layer] - self.target
        return -jnp.sum(apart**2) / jnp.sum(self.target**2)


def _refuse_zero(layer: str, code: np.ndarray) -> None:
    if not np.any(code):
        raise ValueError(f"a code of zeros in layer {layer!r} has no relative distance")
