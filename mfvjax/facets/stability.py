"""How well a partition holds when the images change a little: bootstrap."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mfvjax.facets.cluster import partition, slots
from mfvjax.facets.embed import BLOCK
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
    padded = jnp.zeros((-(-len(points) // BLOCK) * BLOCK, points.shape[1]), jnp.float32)
    padded = padded.at[: len(points)].set(points)
    labels = _resampled_labels(
        key,
        padded,
        jnp.int32(len(points)),
        jnp.int32(num_clusters),
        num_slots=slots(num_clusters),
        num_resamples=num_resamples,
    )
    tables = [contingency(assignment, other) for other in np.asarray(labels)[:, : len(points)]]
    return Stability(
        float(np.mean([adjusted_rand_index(table) for table in tables])),
        np.mean([_best_jaccard(table) for table in tables], axis=0).astype(np.float32),
    )


@functools.partial(jax.jit, static_argnames=("num_slots", "num_resamples"))
def _resampled_labels(
    key: Key,
    points: Array,
    num_points: Array,
    num_clusters: Array,
    *,
    num_slots: int,
    num_resamples: int,
) -> Int[Array, "resamples n"]:
    valid = jnp.arange(points.shape[0]) < num_points
    used = jnp.arange(num_slots) < num_clusters

    def labels(resample_key: Key) -> Array:
        draw_key, start_key = jax.random.split(resample_key)
        rows = jax.random.randint(draw_key, (points.shape[0],), 0, num_points)
        found = partition(
            start_key,
            points[rows],
            valid,
            num_clusters,
            jnp.int32(100),
            num_slots=num_slots,
            num_restarts=_RESTARTS,
        )
        filled = used & (found.sizes > 0)
        distances = ((points[:, None, :] - found.centroids[None, :, :]) ** 2).sum(-1)
        return jnp.where(filled[None, :], distances, jnp.inf).argmin(1)

    return jax.lax.map(labels, jax.random.split(key, num_resamples))


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
