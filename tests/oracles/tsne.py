"""t-SNE from its paper, slowly: NumPy, float64, one row at a time, no code shared with mfvjax."""

from __future__ import annotations

import numpy as np
import scipy.optimize
import scipy.spatial.distance


def conditional_row(distances: np.ndarray, perplexity: float) -> np.ndarray:
    """p(j|i) of one row; `distances` are squared and leave the point itself out."""
    shifted = distances - distances.min()

    def row(log_precision: float) -> np.ndarray:
        weights = np.exp(-shifted * np.exp(log_precision))
        return weights / weights.sum()

    def excess(log_precision: float) -> float:
        p = row(log_precision)
        p = p[p > 0]
        return -(p * np.log(p)).sum() - np.log(perplexity)

    middle = -np.log(shifted.mean())
    return row(scipy.optimize.brentq(excess, middle - 15, middle + 30, xtol=1e-12))


def joint_similarities(codes: np.ndarray, perplexity: float) -> np.ndarray:
    """Equations 1 and 2 of van der Maaten & Hinton 2008 (symmetrized as in its section 3.1)."""
    codes = np.asarray(codes, np.float64)
    n = len(codes)
    conditional = np.zeros((n, n))
    for i in range(n):
        others = np.arange(n) != i
        distances = ((codes[others] - codes[i]) ** 2).sum(1)
        conditional[i, others] = conditional_row(distances, perplexity)
    return (conditional + conditional.T) / (2 * n)


def map_similarities(points: np.ndarray) -> np.ndarray:
    """Equation 4: Student's kernel over all pairs, normalized."""
    pairs = 1 / (1 + scipy.spatial.distance.pdist(np.asarray(points, np.float64), "sqeuclidean"))
    return scipy.spatial.distance.squareform(pairs / (2 * pairs.sum()))


def divergence(similarities: np.ndarray, points: np.ndarray) -> float:
    """KL(P || Q) in nats."""
    other = map_similarities(points)
    some = similarities > 0
    return float((similarities[some] * np.log(similarities[some] / other[some])).sum())


def gradient(similarities: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Equation 5, one point at a time."""
    other = map_similarities(points)
    out = np.zeros_like(points, dtype=np.float64)
    for i, point in enumerate(points):
        difference = point - points
        kernel = 1 / (1 + (difference**2).sum(1))
        out[i] = 4 * ((similarities[i] - other[i]) * kernel) @ difference
    return out


def descend(
    similarities: np.ndarray,
    start: np.ndarray,
    *,
    factors: np.ndarray,
    momenta: np.ndarray,
    learning_rate: float,
) -> np.ndarray:
    """Algorithm 1 with the gains of the authors' implementation.

    `factors` and `momenta` have the exaggeration and the momentum of each step.
    """
    points = np.asarray(start, np.float64)
    points = points - points.mean(0)
    update, gains = np.zeros_like(points), np.ones_like(points)
    for factor, momentum in zip(factors, momenta, strict=True):
        slope = gradient(similarities * factor, points)
        gains = np.where(update * slope < 0, gains + 0.2, gains * 0.8).clip(0.01)
        update = momentum * update - learning_rate * gains * slope
        points = points + update
        points = points - points.mean(0)
    return points
