"""Whether a visualization still belongs to its facet, judged by its code.

Codes are a layer's activations. Distances are Euclidean, or, as ``"cosine"``, Euclidean between
codes scaled to length 1: a growing function of their angle, blind to how strongly they activate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Num

from mfvjax.metrics.activation import activation_percentile

Distance = Literal["euclidean", "cosine"]


def code_centroids(
    codes: Float[np.ndarray, "n d"], assignment: Int[np.ndarray, " n"], *, num_facets: int
) -> Float[np.ndarray, "k d"]:
    """Mean code of each facet's real images, in float64.

    Args:
      codes: one per image.
      assignment: facet of each image, from 0; images with -1 count nowhere.
      num_facets: k.

    Raises:
      ValueError: a facet has no image, or `assignment` names one that does not exist.
    """
    _check_assignment(assignment, num_facets)
    sums = np.zeros((num_facets, codes.shape[1]))
    members = assignment >= 0
    np.add.at(sums, assignment[members], codes[members].astype(np.float64))
    return sums / np.bincount(assignment[members], minlength=num_facets)[:, None]


def facet_recall(
    codes: Float[np.ndarray, "k d"],
    own: Int[np.ndarray, " k"],
    centroids: Float[np.ndarray, "facets d"],
    *,
    distance: Distance = "euclidean",
) -> tuple[Bool[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Whether each visualization's code is nearest to its own facet's centroid, and how surely.

    ``margin = (nearest other - own) / between``: the distance to the nearest other centroid less
    the distance to the own one, over the distance between these two centroids. 1 on the own
    centroid, 0 as far from one as from the other, -1 on the other; a hit is a margin above 0.

    Args:
      codes: of the visualizations.
      own: facet of each, from 0.
      centroids: mean code of each facet's real images, `code_centroids`.
      distance: "euclidean" or "cosine".

    Returns: hits, and margins in [-1, 1] by the triangle inequality. With a single facet every
    finite code is a hit and margins are NaN. A code that is not finite, or 0 with "cosine", is no
    hit and has margin NaN. Two facets with the same centroid give margin 0.

    Raises:
      ValueError: `own` names a facet without a centroid; a centroid that is not finite, or 0 with
        "cosine"; unknown `distance`.

    References: the measure is this package's; the classifier is the nearest centroid
      (scikit-learn's ``NearestCentroid``).
    """
    if own.size and not 0 <= own.min() <= own.max() < len(centroids):
        raise ValueError(f"own must be facets 0 to {len(centroids) - 1}, got {own.tolist()}")
    codes, centroids = _prepare(codes, distance), _prepare(centroids, distance)
    _check_finite("centroids", centroids)
    known = np.isfinite(codes).all(1)
    if len(centroids) == 1:
        return known, np.full(len(codes), np.nan)
    distances = np.linalg.norm(codes[:, None] - centroids[None], axis=-1)
    rows = np.arange(len(codes))
    to_own = distances[rows, own]
    distances[rows, own] = np.inf
    rival = np.where(known, np.nan_to_num(distances, nan=np.inf).argmin(1), 0)
    between = np.linalg.norm(centroids[own] - centroids[rival], axis=-1)
    lead = distances[rows, rival] - to_own
    margin = np.where(between > 0, lead / np.where(between > 0, between, 1), 0)
    margin = np.where(known, margin, np.nan)
    return margin > 0, margin


def code_retention(
    codes: Float[np.ndarray, "k d"],
    own: Int[np.ndarray, " k"],
    real_codes: Float[np.ndarray, "n d"],
    assignment: Int[np.ndarray, " n"],
    *,
    distance: Distance = "euclidean",
) -> Float[np.ndarray, " k"]:
    """Percentage of its facet's real images that lie farther from their centroid than it does.

    100: the visualization's code is nearer to the centroid than every real image of the facet;
    0: it is farther away than all of them, outside the facet as far as codes can tell. Equal
    distances count half.

    Args:
      codes: of the visualizations.
      own: facet of each, from 0.
      real_codes: of the real images.
      assignment: facet of each real image; -1 for none.
      distance: "euclidean" or "cosine" (then centroids are means of codes of length 1).

    Returns: percent, in [0, 100]; NaN where a code is not finite.

    Raises:
      ValueError: a facet has no real image; a real image's code that is not finite, or 0 with
        "cosine"; unknown `distance`.

    References: this package's measure.
    """
    codes, real_codes = _prepare(codes, distance), _prepare(real_codes, distance)
    _check_finite("real_codes", real_codes)
    percent = np.empty(len(codes))
    for i, facet in enumerate(own):
        members = real_codes[assignment == facet]
        if not len(members):
            raise ValueError(f"facet {facet} has no real image")
        centroid = members.mean(0)
        spread = np.linalg.norm(members - centroid, axis=1)
        own_distance = np.linalg.norm(codes[i : i + 1] - centroid, axis=1)
        percent[i] = 100 - activation_percentile(own_distance, spread)[0]
    return percent


def nearest_code_retention(
    read: Callable[[Float32[np.ndarray, "m h w c"]], Float[np.ndarray, "m d"]],
    codes: Float[np.ndarray, "k d"],
    nearest_images: Num[np.ndarray, "k m h w c"],
    nearest: Int[np.ndarray, "k m"],
    *,
    distance: Distance = "euclidean",
) -> Float[np.ndarray, " k"]:
    """`code_retention` among the real images nearest to each facet's center.

    Args:
      read: gives the codes of some images; called once per facet, always with m of them.
      codes: of the visualizations, facet by facet.
      nearest_images: of each facet, see `mfvjax.run.FacetRecords`.
      nearest: -1 where a facet has fewer images; these rows do not count.
      distance: see `code_retention`.

    Raises: as `code_retention`.
    """
    real = np.stack([read(images.astype(np.float32)) for images in nearest_images])
    there = nearest >= 0
    own = np.arange(len(codes))
    return code_retention(codes, own, real[there], np.nonzero(there)[0], distance=distance)


def _prepare(codes: np.ndarray, distance: str) -> np.ndarray:
    codes = codes.astype(np.float64)
    if distance == "euclidean":
        return codes
    if distance != "cosine":
        raise ValueError(f'distance must be "euclidean" or "cosine", got {distance!r}')
    length = np.linalg.norm(codes, axis=1, keepdims=True)
    return np.where(length > 0, codes / np.where(length > 0, length, 1), np.nan)


def _check_finite(name: str, codes: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(codes).all(1))
    if len(bad):
        raise ValueError(f'{name} must be finite, and not 0 with "cosine"; not so: {bad.tolist()}')


def _check_assignment(assignment: np.ndarray, num_facets: int) -> None:
    if assignment.max(initial=-1) >= num_facets or assignment.min(initial=0) < -1:
        raise ValueError(f"assignment must be -1 to {num_facets - 1}, got {np.unique(assignment)}")
    empty = np.setdiff1d(np.arange(num_facets), assignment)
    if len(empty):
        raise ValueError(f"facets without a real image: {empty.tolist()}")
