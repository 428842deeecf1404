"""The facet that a code belongs to: what holds a facet apart from the others of its unit."""

from __future__ import annotations

from collections.abc import Mapping

import jax
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
class OwnFacet(Term):
    """The log-probability that a code belongs to one facet and not to another.

    With z the layer's channels and c the facets' centroids it is ``log p_own``, where p is the
    softmax over facets j of ``-|z - c_j|^2 / (2 temperature)``: 0 where the code clearly is the
    facet's own, so that it then leaves the other terms alone, and linear in z where it is not. This
    library's, not the paper's.

    Attributes:
      layer: whose activations are codes.
      centroids: ``(k, channels)``.
      own: the facet to stay in, from 0.
      temperature: above 0, in squared units of the codes.
      where: as in `mfvjax.objective.reading.Reading`.
      weight: factor of the term.
      slots: room for so many facets at least, so that terms of fewer share a compiled program.
    """

    layer: str = static()
    centroids: np.ndarray = static()
    own: int = static()
    temperature: float = static()
    where: Where = static(default="center")
    weight: Number = number(default=1.0)
    slots: int = static(default=0)

    def bind(self, layers: Mapping[str, LayerInfo]) -> BoundFacet:
        """Raises ValueError where there is no such facet, or centroids do not fit the layer."""
        info = layers[self.layer]
        k = len(self.centroids)
        if not 0 <= self.own < k:
            raise ValueError(f"no facet {self.own}: there are {k}, counted from 0")
        if not self.temperature > 0:
            raise ValueError(f"temperature={self.temperature} of a facet term must be above 0")
        room = max(k, self.slots)
        rows = np.stack([channel_weights(np.asarray(row), info) for row in self.centroids])
        centroids = np.zeros((room, info.num_units), np.float32)
        # A facet that there is not must not take any probability.
        bias = np.full(room, -1e9, np.float32)
        centroids[:k] = rows / self.temperature
        bias[:k] = -0.5 * (rows.astype(np.float64) ** 2).sum(axis=1) / self.temperature
        own = np.eye(1, room, self.own, dtype=np.float32)[0]
        positions = position_weights(self.where, info)
        return BoundFacet(self.layer, positions, centroids, bias, own, self.weight)

    @property
    def label(self) -> str:
        """``facet 2 in fc7``."""
        return f"facet {self.own} in {self.layer}"


@part
class BoundFacet(Term):
    """An `OwnFacet` as arrays: ``sum_j own_j log softmax_j(code . centroids_j + bias_j)``."""

    layer: str = static()
    positions: Leaf = None
    centroids: Leaf = None
    bias: Leaf = None
    own: Leaf = None
    weight: Number = number(default=1.0)

    def __call__(self, seen: Seen) -> Float[Array, ""]:
        """The log-probability."""
        code = contract("p,pc->c", self.positions, in_places(seen.activations[self.layer]))
        scores = contract("kc,c->k", self.centroids, code) + self.bias
        return jnp.sum(self.own * jax.nn.log_softmax(scores))
