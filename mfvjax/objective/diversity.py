"""Diversity: facets of one unit that shall look different to the network."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mfvjax.objective.places import contract
from mfvjax.objective.seen import Seen
from mfvjax.objective.term import JointTerm
from mfvjax.objective.texture import gram_matrix
from mfvjax.parts import Number, number, part, static


@part
class Diversity(JointTerm):
    """Minus the likeness of a facet's Gram matrix to those of the other facets of its group.

    ``-sum over the others b of <G_a, G_b> / (number of facets in the group)``, each Gram matrix
    divided by its norm. Facets are climbed together, so that each pair parts from both sides.

    Attributes:
      layer: of maps or tokens.
      weight: factor of the term.

    Reference: ``diversity`` of ``lucid/optvis/objectives.py``.
    """

    layer: str = static()
    weight: Number = number(default=1.0)

    def features(self, seen: Seen) -> Float[Array, "channels channels"]:
        """The Gram matrix, of length 1."""
        gram = gram_matrix(seen.activations[self.layer])
        squares = jnp.sum(gram**2)
        is_any = squares > 0
        return gram / jnp.where(is_any, jnp.sqrt(jnp.where(is_any, squares, 1)), 1)

    def together(
        self,
        features: Float[Array, "facets channels channels"],
        partners: Bool[Array, "facets facets"],
    ) -> Float[Array, " facets"]:
        """Minus the mean likeness."""
        alike = contract("acd,bcd->ab", features, features)
        count = 1 + jnp.sum(partners, axis=1)
        return -jnp.sum(jnp.where(partners, alike, 0), axis=1) / count.astype(alike.dtype)
