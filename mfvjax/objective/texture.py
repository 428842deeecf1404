"""Energy and Gram matrices of a layer: Deep Dream and style."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfvjax.objective.places import contract, in_places
from mfvjax.objective.seen import Seen
from mfvjax.objective.term import Term
from mfvjax.parts import Leaf, Number, number, part, static
from mfvjax.types import LayerInfo


@part
class Energy(Term):
    """Half the sum of a layer's squared activations, whose gradient there they are themselves.

    Attributes:
      layer: any.
      weight: factor of the term.

    Reference: ``make_step`` of google/deepdream.
    """

    layer: str = static()
    weight: Number = number(default=1.0)

    def __call__(self, seen: Seen) -> Float[Array, ""]:
        """The energy."""
        return 0.5 * jnp.sum(seen.activations[self.layer] ** 2)


@part
class Gram(Term):
    """How near a layer's Gram matrix is to a given one: ``-mean (G - G*)^2 / mean G*^2``.

    Attributes:
      layer: of maps or tokens.
      target: ``(channels, channels)``, from `gram_matrix` of the style's activations.
      weight: factor of the term.

    Reference: Gatys et al. 2016, "Image Style Transfer Using Convolutional Neural Networks"; here
    relative to the target, so that layers weigh alike in any network.
    """

    layer: str = static()
    target: Leaf = None
    weight: Number = number(default=1.0)

    def bind(self, layers: Mapping[str, LayerInfo]) -> Gram:
        """Raises ValueError where the target does not fit the layer, or is zero."""
        count = layers[self.layer].num_units
        target = np.asarray(self.target, np.float32)
        if target.shape != (count, count) or not target.any():
            raise ValueError(
                f"layer {self.layer!r} needs a Gram matrix of shape {(count, count)} that is not "
                f"zero, not one of shape {target.shape}"
            )
        return dataclasses.replace(self, target=target)

    def __call__(self, seen: Seen) -> Float[Array, ""]:
        """The closeness, at most 0."""
        found = gram_matrix(seen.activations[self.layer])
        return -jnp.mean((found - self.target) ** 2) / jnp.mean(self.target**2)


def gram_matrix(
    activation: Float[Array, "*places channels"],
) -> Float[Array, "channels channels"]:
    """Products of channels, averaged over positions: ``F^T F / places``."""
    places = in_places(activation)
    return contract("pc,pd->cd", places, places) / places.shape[0]
