"""Facet statistics: what a facet's own images look like to the network, layer by layer.

Mean and standard deviation of each channel over positions: AdaIN's statistics (Huang & Belongie
2017), compared with those of a facet's nearest real images. VITAL (Gorgun et al. 2025) compares
sorted activations of a class's images instead.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from mfvjax.objective.places import channel_weights, contract, in_places
from mfvjax.objective.seen import Seen
from mfvjax.objective.term import Objective, Term
from mfvjax.parts import Leaf, Number, number, part, static
from mfvjax.types import LayerInfo


@part
class ChannelStatistics(Term):
    """How near a layer's channels are, in mean and deviation over positions, to given ones.

    ``-(mean_c (m_c - mean_c)^2 / mean_c mean_c^2 + mean_c (s_c - std_c)^2 / mean_c std_c^2)``: 0
    where they agree, -2 for a layer that is silent.

    Attributes:
      layer: of maps or tokens.
      means: ``(channels,)``, to be met.
      deviations: ``(channels,)``, likewise.
      positions: ``(places,)``, weights from 0 that add up to 1, of the positions that count;
        ``None`` for all alike.
      weight: factor of the term.
    """

    layer: str = static()
    means: Leaf = None
    deviations: Leaf = None
    positions: Leaf = None
    weight: Number = number(default=1.0)

    def bind(self, layers: Mapping[str, LayerInfo]) -> ChannelStatistics:
        """Raises ValueError where statistics or weights do not fit, or there are no positions."""
        info = layers[self.layer]
        if info.is_dense:
            raise ValueError(
                f"layer {info.name!r} is dense: it has no positions to take statistics over; "
                "use CodeDistance"
            )
        places = int(np.prod(info.shape[:-1]))
        weights = np.full(places, 1 / places) if self.positions is None else self.positions
        if np.shape(weights) != (places,):
            raise ValueError(
                f"layer {info.name!r} has {places} positions; weights of shape "
                f"{np.shape(weights)} do not fit"
            )
        if np.min(weights) < 0 or not abs(np.sum(weights) - 1) < 1e-3:
            raise ValueError(
                f"weights of the positions of layer {info.name!r} must be 0 or more and add up to "
                f"1, not to {np.sum(weights):g}"
            )
        return dataclasses.replace(
            self,
            means=channel_weights(np.asarray(self.means), info),
            deviations=channel_weights(np.asarray(self.deviations), info),
            positions=np.asarray(weights, np.float32),
        )

    def __call__(self, seen: Seen) -> Float[Array, ""]:
        """The closeness, at most 0."""
        means, deviations = channel_statistics(seen.activations[self.layer], self.positions)
        return -(_apart(means, self.means) + _apart(deviations, self.deviations))


def channel_statistics(
    activation: Float[Array, "*places channels"], positions: Float[Array, " places"] | None = None
) -> tuple[Float[Array, " channels"], Float[Array, " channels"]]:
    """Mean and standard deviation of each channel over positions.

    Args:
      activation: of one image.
      positions: weights that add up to 1; ``None`` for all alike.
    """
    places = in_places(activation)
    if positions is None:
        positions = jnp.full(places.shape[0], 1 / places.shape[0], places.dtype)
    means = contract("p,pc->c", positions, places)
    variances = contract("p,pc->c", positions, (places - means[None]) ** 2)
    # The root of a channel that is silent has no slope, which would be an infinite one.
    is_varied = variances > 0
    roots = jnp.sqrt(jnp.where(is_varied, variances, 1))
    return means, jnp.where(is_varied, roots, 0)


def _apart(found: Float[Array, " channels"], wanted: Float[Array, " channels"]) -> Array:
    size = jnp.mean(wanted**2)
    return jnp.mean((found - wanted) ** 2) / jnp.where(size > 0, size, 1)


def statistics_objective(
    activations: Mapping[str, Any],
    layers: Sequence[str],
    *,
    positions: Mapping[str, np.ndarray] | None = None,
    weight: float = 1.0,
) -> Objective:
    """The statistics of reference images, to be met in each of some layers.

    Args:
      activations: by layer, ``(images, ..., channels)``, of a facet's real images, say.
      layers: of maps or tokens, one term each.
      positions: by layer, weights of its positions; all alike where it is not named.
      weight: of each layer.

    Raises:
      ValueError: no layer is named.
    """
    if not layers:
        raise ValueError("statistics_objective needs at least one layer")
    terms = []
    for layer in layers:
        weights = None if positions is None else positions.get(layer)
        means, deviations = mean_statistics(activations[layer], weights)
        terms.append(ChannelStatistics(layer, means, deviations, weights, weight))
    return Objective(tuple(terms))


def mean_statistics(
    activations: Any, positions: np.ndarray | None = None
) -> tuple[Float32[np.ndarray, " channels"], Float32[np.ndarray, " channels"]]:
    """Mean and standard deviation of each channel over positions, averaged over images.

    Args:
      activations: ``(images, ..., channels)``.
      positions: weights that add up to 1; ``None`` for all alike.
    """
    places = np.asarray(activations, np.float64)
    places = places.reshape(len(places), -1, places.shape[-1])
    count = places.shape[1]
    weights = np.full(count, 1 / count) if positions is None else np.asarray(positions, np.float64)
    means = np.einsum("p,ipc->ic", weights, places)
    variances = np.einsum("p,ipc->ic", weights, (places - means[:, None]) ** 2)
    deviations = np.sqrt(variances).mean(axis=0)
    return means.mean(axis=0).astype(np.float32), deviations.astype(np.float32)
