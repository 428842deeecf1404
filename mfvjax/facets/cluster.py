"""k-means on the device: k-means++ starts, restarts side by side, clusters ordered by size."""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mfvjax.types import Key


class Clusters(NamedTuple):
    """A partition of points, largest cluster first (ties: the one whose first member comes first).

    Attributes:
      assignment: cluster of each point; -1 in rows that were not valid.
      centroids: mean of each cluster's points.
      sizes: how many points each cluster has, at least 1.
      inertia: sum of squared distances of the points to their centroids.
    """

    assignment: Int[Array, "*units n"]
    centroids: Float[Array, "*units k d"]
    sizes: Int[Array, "*units k"]
    inertia: Float[Array, "*units"]


def kmeans(
    key: Key,
    points: Float[Array, "n d"],
    *,
    num_clusters: int,
    num_restarts: int = 10,
    max_sweeps: int = 300,
    valid: Bool[Array, " n"] | None = None,
    method: Literal["jax", "scikit-learn"] = "jax",
) -> Clusters:
    """Partitions points into clusters of least inertia.

    Lloyd's sweeps from greedy k-means++ starts until no point changes its cluster; the best of the
    restarts is kept. A cluster that loses all its points moves to the point that is farthest from
    its own centroid.

    Args:
      key: draws the starts.
      points: one row per image.
      num_clusters: k, at most the number of points that differ.
      num_restarts: starts that run side by side.
      max_sweeps: limit of each run.
      valid: rows that count; the others are padding and influence nothing. All, if not given.
      method: "jax", or "scikit-learn" for its ``KMeans`` with the same options.

    Returns: the clusters in order of size.

    Raises:
      ValueError: an option out of range, or fewer different points than clusters.

    References: Lloyd 1982; Arthur & Vassilvitskii 2007, "k-means++"; the greedy choice among
      ``2 + log k`` candidates and the rule for empty clusters follow scikit-learn's ``KMeans``.
    """
    real = np.asarray(points) if valid is None else np.asarray(points)[np.asarray(valid)]
    _check(real, num_clusters, num_restarts, max_sweeps)
    valid = jnp.ones(points.shape[0], bool) if valid is None else valid
    if method == "jax":
        found = partition(
            key,
            points.astype(jnp.float32),
            valid,
            jnp.int32(num_clusters),
            jnp.int32(max_sweeps),
            num_slots=slots(num_clusters),
            num_restarts=num_restarts,
        )
        return found._replace(
            centroids=found.centroids[:num_clusters], sizes=found.sizes[:num_clusters]
        )
    if method != "scikit-learn":
        raise ValueError(f'method must be "jax" or "scikit-learn", got {method!r}')
    from mfvjax.facets import scikit_learn

    assignment = np.full(len(points), -1, np.int32)
    assignment[np.asarray(valid)] = scikit_learn.kmeans(
        key, real, num_clusters=num_clusters, num_restarts=num_restarts, max_sweeps=max_sweeps
    )
    points = jnp.where(valid[:, None], points, 0).astype(jnp.float32)
    return _by_size(jnp.asarray(assignment), points, valid, num_clusters)


def slots(num_clusters: int) -> int:
    """The number of clusters that `partition` is compiled for: tens, so that few are."""
    return -(-num_clusters // 10) * 10


@functools.partial(jax.jit, static_argnames=("num_slots", "num_restarts"))
def partition(
    key: Key,
    points: Array,
    valid: Array,
    num_clusters: Array,
    max_sweeps: Array,
    *,
    num_slots: int,
    num_restarts: int,
) -> Clusters:
    """`kmeans` without its checks, fit for `vmap` over its arrays, the number of clusters too.

    The result has `num_slots` clusters, of which those from `num_clusters` on are empty, with size
    and centroid 0.
    """
    points = jnp.where(valid[:, None], points, 0)
    used = jnp.arange(num_slots) < num_clusters

    def restart(draws: Array) -> tuple[Array, Array]:
        centroids = _plus_plus(draws, points, valid)
        assignment = _sweeps(points, valid, used, centroids, max_sweeps)
        return assignment, _inertia(assignment, points, valid, num_slots)

    num_candidates = 2 + int(np.log(num_slots))
    draws = jax.random.uniform(key, (num_restarts, num_slots, num_candidates))
    assignments, inertias = jax.vmap(restart)(draws)
    return _by_size(assignments[inertias.argmin()], points, valid, num_slots)


def _distances(points: Array, centroids: Array) -> Array:
    # Differences keep what inner products lose to rounding; d is 2, or 50 at most.
    return ((points[:, None, :] - centroids[None, :, :]) ** 2).sum(-1)


def _nearest(points: Array, valid: Array, used: Array, centroids: Array) -> Array:
    distances = jnp.where(used[None, :], _distances(points, centroids), jnp.inf)
    return jnp.where(valid, distances.argmin(1), -1).astype(jnp.int32)


def _means(assignment: Array, points: Array, num_slots: int) -> tuple[Array, Array]:
    members = jax.nn.one_hot(assignment, num_slots, dtype=jnp.float32)
    sizes = members.sum(0)
    sums = jnp.matmul(members.T, points, precision=jax.lax.Precision.HIGHEST)
    return sums / jnp.maximum(sizes, 1)[:, None], sizes


def _residuals(assignment: Array, points: Array, valid: Array, centroids: Array) -> Array:
    return jnp.where(valid, ((points - centroids[assignment]) ** 2).sum(1), 0)


def _inertia(assignment: Array, points: Array, valid: Array, num_slots: int) -> Array:
    centroids, _ = _means(assignment, points, num_slots)
    return _residuals(assignment, points, valid, centroids).sum()


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


def _sweeps(points: Array, valid: Array, used: Array, centroids: Array, max_sweeps: Array) -> Array:
    """Lloyd's sweeps until nothing changes; the assignment they end with."""
    num_slots = centroids.shape[0]

    def sweep(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        _, assignment, count = state
        moved, sizes = _means(assignment, points, num_slots)
        residuals = jnp.where(valid, _residuals(assignment, points, valid, moved), -1)
        # The first empty cluster moves to the farthest point, the second to the next, and so on.
        empty = (sizes == 0) & used
        _, farthest = jax.lax.top_k(residuals, min(num_slots, points.shape[0]))
        rank = jnp.cumsum(empty.astype(jnp.int32)) - 1
        moved = jnp.where(empty[:, None], points[farthest[jnp.maximum(rank, 0)]], moved)
        return assignment, _nearest(points, valid, used, moved), count + 1

    def unsettled(state: tuple[Array, Array, Array]) -> Array:
        before, after, count = state
        return (before != after).any() & (count < max_sweeps)

    assignment = _nearest(points, valid, used, centroids)
    begin = (jnp.full_like(assignment, -2), assignment, jnp.int32(0))
    return jax.lax.while_loop(unsettled, sweep, begin)[1]


def _by_size(assignment: Array, points: Array, valid: Array, num_slots: int) -> Clusters:
    members = assignment[:, None] == jnp.arange(num_slots)[None, :]
    sizes = members.sum(0)
    order = jnp.lexsort((members.argmax(0), -sizes))
    rank = jnp.zeros(num_slots, jnp.int32).at[order].set(jnp.arange(num_slots))
    ordered = jnp.where(valid, rank[assignment], -1).astype(jnp.int32)
    centroids, _ = _means(ordered, points, num_slots)
    inertia = _residuals(ordered, points, valid, centroids).sum()
    return Clusters(ordered, centroids, sizes[order].astype(jnp.int32), inertia)


def _check(points: np.ndarray, num_clusters: int, num_restarts: int, max_sweeps: int) -> None:
    if num_clusters < 1:
        raise ValueError(f"num_clusters must be at least 1, got {num_clusters}")
    if num_restarts < 1 or max_sweeps < 1:
        raise ValueError(
            f"num_restarts and max_sweeps must be at least 1, got {num_restarts} and {max_sweeps}"
        )
    num_different = len(np.unique(points, axis=0))
    if num_different < num_clusters:
        raise ValueError(
            f"{num_clusters} clusters need as many points that differ; "
            f"of {len(points)} points {num_different} differ"
        )
