"""Real images beside visualizations: each compared with the others of its facet, not with itself.

A centroid leans toward each image that it is the mean of, and the more so the fewer there are. What
single real images score is a fair ceiling for visualizations only where an image has no share in
the centroid that it is compared with.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from mfvjax.metrics.activation import activation_percentile
from mfvjax.metrics.codes import Distance, code_centroids, facet_recall


def leave_one_out_recall(
    codes: Float[np.ndarray, "n d"],
    assignment: Int[np.ndarray, " n"],
    *,
    num_facets: int,
    distance: Distance = "euclidean",
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Whether each real image is nearest to its own facet's centroid, itself left out of it.

    Args:
      codes: of the real images.
      assignment: facet of each, from 0.
      num_facets: k.
      distance: see `facet_recall`.

    Returns: hits, 1 or 0, and margins as `facet_recall` has them; both NaN for the only image of a
    facet.

    Raises:
      ValueError: a facet has no image, `assignment` names one that does not exist or -1, or codes
        are not finite.

    References: the nearest centroid (scikit-learn's ``NearestCentroid``) under leave-one-out.
    """
    if (assignment < 0).any():
        raise ValueError("assignment must name a facet of every image, not -1")
    centroids = code_centroids(codes, assignment, num_facets=num_facets)
    hits, margins = np.full(len(codes), np.nan), np.full(len(codes), np.nan)
    for i, facet in enumerate(assignment):
        others = _others(assignment, i)
        if len(others):
            without = centroids.copy()
            without[facet] = codes[others].astype(np.float64).mean(axis=0)
            own = np.array([facet])
            hit, margin = facet_recall(codes[i : i + 1], own, without, distance=distance)
            hits[i], margins[i] = hit[0], margin[0]
    return hits, margins


def similarity_percentile(
    codes: Float[np.ndarray, "k d"],
    own: Int[np.ndarray, " k"],
    real_codes: Float[np.ndarray, "n d"],
    assignment: Int[np.ndarray, " n"],
) -> Float[np.ndarray, " k"]:
    """Percentage of its facet's real images that are less similar to their facet than it is.

    The similarity is the cosine between a code and the mean code of the facet's real images; of a
    real image, of the others. 50: as similar as the median real image; 0: less than every one.
    Equal ones count half.

    Args:
      codes: of the visualizations.
      own: facet of each, from 0.
      real_codes: of the real images.
      assignment: facet of each real image; -1 for none.

    Returns: percent, in [0, 100]; NaN where a facet has fewer than two real images, or a code is 0
    or not finite.

    Raises:
      ValueError: `own` names a facet without a real image.
    """
    percent = np.empty(len(codes))
    for i, facet in enumerate(own):
        members = real_codes[assignment == facet].astype(np.float64)
        if not len(members):
            raise ValueError(f"facet {facet} has no real image")
        similarity = _cosine(codes[i].astype(np.float64), members.mean(axis=0))
        among = _similarities(members)
        known = among[np.isfinite(among)]
        percent[i] = np.nan
        if len(known):
            percent[i] = activation_percentile(np.array([similarity]), known)[0]
    return percent


def leave_one_out_percentile(
    real_codes: Float[np.ndarray, "n d"], assignment: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """`similarity_percentile` of the real images themselves: 50 on the average of each facet.

    Returns: percent; NaN for the only image of a facet, and for images with -1.
    """
    percent = np.full(len(real_codes), np.nan)
    for facet in np.unique(assignment[assignment >= 0]):
        rows = np.flatnonzero(assignment == facet)
        among = _similarities(real_codes[rows].astype(np.float64))
        known = among[np.isfinite(among)]
        if len(known):
            percent[rows] = activation_percentile(among, known)
    return percent


def _similarities(members: np.ndarray) -> np.ndarray:
    """Of each member to the mean of the others; NaN where there is no other."""
    if len(members) < 2:
        return np.full(len(members), np.nan)
    return np.array(
        [
            _cosine(code, np.delete(members, i, axis=0).mean(axis=0))
            for i, code in enumerate(members)
        ]
    )


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def _others(assignment: np.ndarray, row: int) -> np.ndarray:
    rows = np.flatnonzero(assignment == assignment[row])
    return rows[rows != row]
