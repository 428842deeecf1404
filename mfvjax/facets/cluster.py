"""k-means on the device: k-means++ starts, restarts side by side, clusters ordered by size."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mfvjax.facets.host_random import generator
from mfvjax.facets.padding import pad_rows
from mfvjax.types import Key

MAX_SWEEPS = 300


class Clusters(NamedTuple):
    """A partition of points, largest cluster first (ties: the one whose first member comes first).

    Attributes:
      assignment: cluster of each point.
      centroids: mean of each cluster's points.
      sizes: how many points each cluster has, at least 1.
      inertia: sum of squared distances of the points to their centroids.
    """

    assignment: Int[np.ndarray, " n"]
    centroids: Float[np.ndarray, "k d"]
    sizes: Int[np.ndarray, " k"]
    inertia: float


def kmeans(
    key: Key,
    points: Float[np.ndarray, "n d"],
    *,
    num_clusters: int,
    num_restarts: int = 10,
    method: Literal["jax", "scikit-learn"] = "jax",
) -> Clusters:
    """Partitions points into clusters of least inertia.

    Lloyd's sweeps from greedy k-means++ starts until no point changes its cluster, at most 300; the
    best of the restarts is kept. A cluster that loses all its points moves to the point that is
    farthest from its own centroid.

    Args:
      key: draws the starts.
      points: one row per image.
      num_clusters: k, at most the number of points that differ.
      num_restarts: starts that run side by side.
      method: "jax", or "scikit-learn" for its ``KMeans`` with the same options.

    Returns: the clusters in order of size.

    Raises:
      ValueError: an option out of range, or fewer different points than clusters.

    References: Lloyd 1982; Arthur & Vassilvitskii 2007, "k-means++"; the greedy choice among
      ``2 + log k`` candidates and the rule for empty clusters follow scikit-learn's ``KMeans``.
    """
    if num_clusters < 1 or num_restarts < 1:
        raise ValueError(
            "num_clusters and num_restarts must be at least 1, "
            f"got {num_clusters} and {num_restarts}"
        )
    check_different(points, num_clusters)
    if method == "jax":
        num_slots = slots(num_clusters)
        draws = start_draws(key, num_restarts, num_slots=num_slots)
        assignment = partition(draws, *pad_rows(points), np.int32(num_clusters))
        return _by_size(np.asarray(assignment)[: len(points)], points, num_clusters)
    if method != "scikit-learn":
        raise ValueError(f'method must be "jax" or "scikit-learn", got {method!r}')
    from mfvjax.facets import scikit_learn

    assignment = scikit_learn.kmeans(
        key,
        points,
        num_clusters=num_clusters,
        num_restarts=num_restarts,
        max_sweeps=MAX_SWEEPS,
    )
    return _by_size(assignment, points, num_clusters)


def check_different(values: Float[np.ndarray, "n d"], num_clusters: int) -> None:
    """Refuses to divide few different rows into many clusters; raises ``ValueError``."""
    num_different = len(np.unique(values, axis=0))
    if num_different < num_clusters:
        raise ValueError(
            f"{num_clusters} clusters need as many images that differ; "
            f"of {len(values)} images {num_different} differ"
        )


def slots(num_clusters: int) -> int:
    """The number of clusters that `partition` is compiled for: tens, so that few are."""
    return -(-num_clusters // 10) * 10


def start_draws(
    key: Key, *shape: int, num_slots: int
) -> Float[np.ndarray, "*restarts slots candidates"]:
    """What `partition` draws its starts with: uniform numbers, for each of `shape` restarts."""
    size = (*shape, num_slots, 2 + int(np.log(num_slots)))
    return generator(key).random(size, np.float32)


@jax.jit
def partition(
    draws: Float[Array, "restarts slots candidates"],
    points: Float[Array, "n d"],
    valid: Bool[Array, " n"],
    num_clusters: Int[Array, ""],
) -> Int[Array, " n"]:
    """The best partition of `kmeans`, unchecked and in no order; fit for `vmap` over its arrays.

    Args:
      draws: from `start_draws`.
      points: one row per image.
      valid: rows that count; the others are padding and influence nothing, their cluster is -1.
      num_clusters: at most the number of slots.
    """
    num_slots = draws.shape[1]
    points = jnp.where(valid[:, None], points, 0)
    used = jnp.arange(num_slots) < num_clusters

    def restart(one: Array) -> tuple[Array, Array]:
        assignment = _sweeps(points, valid, used, _plus_plus(one, points, valid))
        centroids, _ = cluster_centroids(assignment, points, num_slots)
        return assignment, _residuals(assignment, points, valid, centroids).sum()

    assignments, inertias = jax.vmap(restart)(draws)
    return assignments[inertias.argmin()]


def cluster_centroids(
    assignment: Int[Array, " n"], points: Float[Array, "n d"], num_slots: int
) -> tuple[Float[Array, "slots d"], Float[Array, " slots"]]:
    """Means of the clusters' points, 0 where there are none, and how many there are."""
    members = jax.nn.one_hot(assignment, num_slots, dtype=jnp.float32)
    sizes = members.sum(0)
    sums = jnp.matmul(members.T, points, precision=jax.lax.Precision.HIGHEST)
    return sums / jnp.maximum(sizes, 1)[:, None], sizes


def nearest_centroid(
    points: Float[Array, "n d"], used: Bool[Array, " slots"], centroids: Float[Array, "slots d"]
) -> Int[Array, " n"]:
    """The nearest used centroid of each point; of equally near ones the first."""
    distances = jnp.where(used[None, :], _distances(points, centroids), jnp.inf)
    return distances.argmin(1).astype(jnp.int32)


def _distances(points: Array, centroids: Array) -> Array:
    # Differences keep what inner products lose to rounding; d is 2, or 50 at most.
    return ((points[:, None, :] - centroids[None, :, :]) ** 2).sum(-1)


def _residuals(assignment: Array, points: Array, valid: Array, centroids: Array) -> Array:
    return jnp.where(valid, ((points - centroids[assignment]) ** 2).sum(1), 0)


def _plus_plus(draws: Array, points: Array, valid: Array) -> Array:
    """Starts far apart: each the best of a few points drawn in proportion to squared distance.

    `draws`, one row per start, are uniform in [0, 1). The first start is drawn evenly.
    """
    weights = valid.astype(jnp.float32)

    def add(closest: Array, row: Array) -> tuple[Array, Array]:
        # Before the first start, and once every point is one, all weigh the same.
        weighed = jnp.where(jnp.isfinite(closest) & (closest.max() > 0), closest, weights)
        cumulative = jnp.cumsum(weighed)
        # Below the total, for the last point of weight to be the last that can be drawn.
        mark = jnp.minimum(row * cumulative[-1], jnp.nextafter(cumulative[-1], jnp.float32(0)))
        drawn = jnp.searchsorted(cumulative, mark, side="right")
        nearer = jnp.minimum(closest[:, None], _distances(points, points[drawn]))
        best = (nearer * weights[:, None]).sum(0).argmin()
        return nearer[:, best] * weights, points[drawn[best]]

    begin = jnp.where(valid, jnp.inf, 0)
    return jax.lax.scan(add, begin, draws)[1]


def _sweeps(points: Array, valid: Array, used: Array, centroids: Array) -> Array:
    """Lloyd's sweeps until nothing changes; the assignment they end with."""
    num_slots = centroids.shape[0]

    def assign(centroids: Array) -> Array:
        return jnp.where(valid, nearest_centroid(points, used, centroids), -1)

    def sweep(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        _, assignment, count = state
        moved, sizes = cluster_centroids(assignment, points, num_slots)
        residuals = jnp.where(valid, _residuals(assignment, points, valid, moved), -1)
        # The first empty cluster moves to the farthest point, the second to the next, and so on.
        empty = (sizes == 0) & used
        _, farthest = jax.lax.top_k(residuals, min(num_slots, points.shape[0]))
        rank = jnp.cumsum(empty.astype(jnp.int32)) - 1
        moved = jnp.where(empty[:, None], points[farthest[jnp.maximum(rank, 0)]], moved)
        return assignment, assign(moved), count + 1

    def unsettled(state: tuple[Array, Array, Array]) -> Array:
        before, after, count = state
        return (before != after).any() & (count < MAX_SWEEPS)

    assignment = assign(centroids)
    begin = (jnp.full_like(assignment, -2), assignment, jnp.int32(0))
    return jax.lax.while_loop(unsettled, sweep, begin)[1]


def _by_size(assignment: np.ndarray, points: np.ndarray, num_clusters: int) -> Clusters:
    """Numbers the clusters by size; means and inertia are summed in float64."""
    members = assignment[:, None] == np.arange(num_clusters)
    order = np.lexsort((members.argmax(axis=0), -members.sum(axis=0)))
    rank = np.argsort(order)
    ordered = rank[assignment].astype(np.int32)
    sizes = np.bincount(ordered, minlength=num_clusters)
    sums = np.zeros((num_clusters, points.shape[1]))
    np.add.at(sums, ordered, points)
    centroids = sums / sizes[:, None]
    inertia = float(((points - centroids[ordered]) ** 2).sum())
    return Clusters(ordered, centroids.astype(np.float32), sizes, inertia)
