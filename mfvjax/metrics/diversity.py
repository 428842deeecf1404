"""How much a unit's facets differ from each other, and the images of a facet among themselves."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Real

from mfvjax.domain import RGB, Domain
from mfvjax.metrics.lab import rgb_to_lab


def code_diversity(codes: Float[np.ndarray, "k d"], centroids: Float[np.ndarray, "k d"]) -> float:
    """How different the visualizations are from each other, next to their facets' real images.

    The mean cosine distance between two visualizations' codes over the mean cosine distance between
    two facets' centroids. 0: all visualizations have the same code (up to its length); 1: they
    differ as much as the facets' mean codes do; more: they are pushed further apart.

    Args:
      codes: of the visualizations.
      centroids: mean code of each facet's real images.

    Returns: at least 0, no unit; NaN with fewer than two facets, codes that are 0 or not finite, or
    centroids that all point the same way.

    References: this package's measure; cosine distance as in ``scipy.spatial.distance``.
    """
    shown, real = _mean_cosine_distance(codes), _mean_cosine_distance(centroids)
    return shown / real if real > 1e-12 else float("nan")


def image_diversity(images: Real[np.ndarray, "k h w c"], *, domain: Domain = RGB) -> float:
    """Mean difference between two images, pixel by pixel, over all pairs.

    Of RGB images it is the color difference ΔE*ab. Of all others it is the root mean square over
    the channels, in percent of the domain's range: 0 to 100, whatever the range and the channels.

    Args:
      images: in the range of `domain`.
      domain: of the images.

    Returns: CIE L*a*b* units or percent, 0 where all are the same; NaN with fewer than two.
    """
    if domain.is_color:
        points = rgb_to_lab(images, domain=domain)
    else:
        points = images.astype(np.float64) * (100 / domain.span / np.sqrt(domain.channels))
    pairs = _pairs(len(points))
    if not pairs:
        return float("nan")
    return float(np.mean([np.linalg.norm(points[i] - points[j], axis=-1).mean() for i, j in pairs]))


def homogeneity(
    codes: Float[np.ndarray, "n d"], assignment: Int[np.ndarray, " n"], *, num_facets: int
) -> Float[np.ndarray, " k"]:
    """Mean cosine similarity between two different images of a facet, by their codes.

    Args:
      codes: of the real images; rows that are 0 are similar to none (0).
      assignment: facet of each, from 0; -1 for none.
      num_facets: k.

    Returns: in [-1, 1], in [0, 1] for codes behind a ReLU; 1 if all point the same way; NaN for
    a facet with fewer than two images.
    """
    lengths = np.linalg.norm(codes, axis=1, keepdims=True).astype(np.float64)
    unit = np.divide(codes, lengths, out=np.zeros(codes.shape), where=lengths > 0)
    result = np.full(num_facets, np.nan)
    for facet in range(num_facets):
        members = unit[assignment == facet]
        if len(members) > 1:
            # The square of the sum is the sum over all ordered pairs, each with itself included.
            ordered_pairs = (members.sum(0) ** 2).sum() - (members**2).sum()
            result[facet] = ordered_pairs / (len(members) * (len(members) - 1))
    return result


def _mean_cosine_distance(codes: np.ndarray) -> float:
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = codes.astype(np.float64) / np.linalg.norm(codes, axis=1, keepdims=True)
    distances = [1 - unit[i] @ unit[j] for i, j in _pairs(len(unit))]
    return float(np.mean(distances)) if distances else float("nan")


def _pairs(count: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(count) for j in range(i)]
