"""How well a partition holds when the images change a little: bootstrap."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mfvjax.facets.cluster import (
    cluster_centroids,
    nearest_centroid,
    partition,
    slots,
    start_draws,
)
from mfvjax.facets.host_random import generator
from mfvjax.facets.padding import pad_rows
from mfvjax.types import Key

_RESTARTS = 3


class Stability(NamedTuple):
    """Agreement of a partition with those of resampled points.

    Attributes:
      agreement: mean adjusted Rand index, 1 if every resample gives the same partition, about 0 if
        they agree by chance only.
      jaccard: per cluster, the mean over resamples of its Jaccard similarity to the most similar
        cluster; Hennig calls clusters below 0.6 dissolved and those above 0.75 valid.
    """

    agreement: float
    jaccard: Float[np.ndarray, " k"]


def bootstrap_stability(
    key: Key,
    points: Float[np.ndarray, "n d"],
    assignment: Int[np.ndarray, " n"],
    *,
    num_resamples: int = 20,
) -> Stability:
    """Clusters resampled points again, and compares on the points that were given.

    Each resample draws n points with replacement, clusters them by k-means, and gives every point
    to the nearest of its centroids. The map itself is not made again.

    Args:
      key: draws the resamples.
      points: in the space in which they were clustered.
      assignment: the partition in question, by k-means; clusters are numbered from 0.
      num_resamples: at least 1.

    Raises:
      ValueError: `num_resamples` < 1.

    References: Hennig 2007, "Cluster-wise assessment of cluster stability"; Hubert & Arabie 1985
      for the adjusted Rand index.
    """
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be at least 1, got {num_resamples}")
    num_clusters = int(assignment.max()) + 1
    if num_clusters == 1:
        return Stability(1.0, np.ones(1, np.float32))
    padded, valid = pad_rows(points)
    draw_key, start_key = jax.random.split(key)
    rows = generator(draw_key).integers(len(points), size=(num_resamples, len(padded)))
    starts = start_draws(start_key, num_resamples, _RESTARTS, num_slots=slots(num_clusters))
    labels = _resampled_labels(rows.astype(np.int32), starts, padded, valid, np.int32(num_clusters))
    tables = [contingency(assignment, other) for other in np.asarray(labels)[:, : len(points)]]
    return Stability(
        float(np.mean([adjusted_rand_index(table) for table in tables])),
        np.mean([_best_jaccard(table) for table in tables], axis=0).astype(np.float32),
    )


@jax.jit
def _resampled_labels(
    rows: Int[Array, "resamples n"],
    starts: Float[Array, "resamples restarts slots candidates"],
    points: Float[Array, "n d"],
    valid: Bool[Array, " n"],
    num_clusters: Int[Array, ""],
) -> Int[Array, "resamples n"]:
    used = jnp.arange(starts.shape[2]) < num_clusters

    def labels(resample: tuple[Array, Array]) -> Array:
        drawn, draws = points[resample[0]], resample[1]
        assignment = partition(draws, drawn, valid, num_clusters)
        centroids, sizes = cluster_centroids(assignment, drawn, draws.shape[1])
        return nearest_centroid(points, used & (sizes > 0), centroids)

    return jax.lax.map(labels, (rows, starts))


def contingency(
    first: Int[np.ndarray, " n"], second: Int[np.ndarray, " n"]
) -> Int[np.ndarray, "k l"]:
    """How many points each pair of clusters, one of either partition, has in common."""
    table = np.zeros((first.max() + 1, second.max() + 1), np.int64)
    np.add.at(table, (first, second), 1)
    return table


def adjusted_rand_index(table: Int[np.ndarray, "k l"]) -> float:
    """Agreement of two partitions beyond chance, from their `contingency` table; at most 1."""

    def pairs(counts: np.ndarray) -> float:
        return float((counts * (counts - 1.0) / 2).sum())

    both, first, second = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    chance = first * second / max(pairs(table.sum(keepdims=True)), 1.0)
    most = (first + second) / 2
    return 1.0 if most == chance else (both - chance) / (most - chance)


def _best_jaccard(table: np.ndarray) -> np.ndarray:
    union = table.sum(1, keepdims=True) + table.sum(0, keepdims=True) - table
    return (table / np.maximum(union, 1)).max(1)
