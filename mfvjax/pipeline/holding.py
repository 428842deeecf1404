"""What holds each facet's picture near its own images' codes, and where such a code is read."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

from mfvjax.facets.result import Facets
from mfvjax.network import Network
from mfvjax.objective import Objective, OwnFacet, Where
from mfvjax.pipeline.references import full_images
from mfvjax.pipeline.regions import visible_part, visible_region
from mfvjax.types import Unit

_CERTAINTY = 4.0


def code_place(network: Network, facets: Facets, unit: Unit) -> Where:
    """Where in the code layer a code is read: a class unit's map is averaged, as the codes were."""
    if len({network.layers[name].origin for name in (facets.code_layer, unit.layer)}) > 1:
        return "mean"
    return unit.position or "center"


def held_objectives(
    network: Network,
    facets: Facets,
    unit: Unit,
    hold: float,
    references: Num[np.ndarray, "k m h w c"] | None,
) -> list[Objective]:
    """The holding term of each facet; none where there is nothing to hold apart.

    It holds activations; of facets found by relevance, near those of their nearest images.

    Args:
      network: of the unit.
      facets: of the unit.
      unit: with its position, if it is one of a map.
      hold: weight, in standard deviations of the unit's activation.
      references: nearest images of each facet, as `mfvjax.pipeline.plan_ascent` has them.

    Raises:
      ValueError: the facets were found by relevance, and there are no references.
    """
    count = facets.num_facets
    if hold == 0 or count < 2:
        return []
    centroids = facets.code_centroids.astype(np.float64)
    if facets.code == "relevance":
        if references is None:
            raise ValueError("facets found by relevance are held by their nearest images")
        centroids = _mean_activations(network, facets, unit, references)
    scale = hold * float(np.std(facets.activations))
    place = code_place(network, facets, unit)
    terms = []
    for k in range(count):
        others = np.delete(centroids, k, axis=0)
        apart = float(np.mean(np.sum((others - centroids[k]) ** 2, axis=1)))
        temperature = apart / (2 * _CERTAINTY) or 1.0  # centroids may coincide
        term = OwnFacet(facets.code_layer, centroids, k, temperature, place, scale)
        terms.append(Objective((term,)))
    return terms


def _mean_activations(
    network: Network, facets: Facets, unit: Unit, references: Num[np.ndarray, "k m h w c"]
) -> Float[np.ndarray, "k d"]:
    """Of the code layer, on the nearest images of each facet; read as the holding term reads it."""
    region, layer = visible_region(network, unit), facets.code_layer
    place = code_place(network, facets, unit)
    means = []
    for images, rows in zip(references, facets.nearest, strict=True):
        seen = full_images(network, visible_part(network, unit, images), region)
        codes = np.asarray(network.activations(seen, layer)[layer], np.float64)
        means.append(codes_at(codes, place)[rows >= 0].mean(axis=0))
    return np.stack(means)


def codes_at(
    activation: Float[np.ndarray, "b *places d"], place: Where
) -> Float[np.ndarray, "b d"]:
    """The column at a place, or the mean over all; a dense layer as it is."""
    if place == "mean" or activation.ndim == 2:
        return activation.reshape(len(activation), -1, activation.shape[-1]).mean(axis=1)
    assert not isinstance(place, str)
    return activation[:, place[0], place[1]] if activation.ndim == 4 else activation[:, place[0]]
