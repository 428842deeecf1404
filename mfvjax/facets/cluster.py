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
    if method == "scikit-learn":
        return _scikit_learn(key, points, valid, num_clusters, num_restarts, max_sweeps)
    if method != "jax":
        raise ValueError(f'method must be "jax" or "scikit-learn", got {method!r}')
    valid = jnp.ones(points.shape[0], bool) if valid is None else valid
    return run_kmeans(
        key,
        points.astype(jnp.float32),
        valid,
        num_clusters=num_clusters,
        num_restarts=num_restarts,
        max_sweeps=max_sweeps,
    )


@functools.partial(jax.jit, static_argnames=("num_clusters", "num_restarts"))
def run_kmeans(
    key: Key,
    points: Array,
    valid: Array,
    *,
    num_clusters: int,
    num_restarts: int = 10,
    max_sweeps: int | Array = 300,
) -> Clusters:
    """`kmeans` without its checks, fit for `vmap` over its arrays."""
    points = jnp.where(valid[:, None], points, 0)

    def restart(start_key: Key) -> tuple[Array, Array]:
        centroids = _plus_plus(start_key, points, valid, num_clusters)
        centroids = _sweeps(points, valid, centroids, max_sweeps)
        return centroids, _nearest(points, valid, centroids)[1].sum()

    all_centroids, inertias = jax.vmap(restart)(jax.random.split(key, num_restarts))
    best = inertias.argmin()
    assignment, _ = _nearest(points, valid, all_centroids[best])
    return _by_size(assignment, points, valid, num_clusters)


def _distances(points: Array, centroids: Array) -> Array:
    # Differences keep what inner products lose to rounding; d is 2, or 50 at most.
    return ((points[:, None, :] - centroids[None, :, :]) ** 2).sum(-1)


def _nearest(points: Array, valid: Array, centroids: Array) -> tuple[Array, Array]:
    distances = _distances(points, centroids)
    assignment = jnp.where(valid, distances.argmin(1), -1)
    return assignment, jnp.where(valid, distances.min(1), 0)


def _means(assignment: Array, points: Array, num_clusters: int) -> tuple[Array, Array]:
    members = jax.nn.one_hot(assignment, num_clusters, dtype=jnp.float32)
    sizes = members.sum(0)
    sums = jnp.matmul(members.T, points, precision=jax.lax.Precision.HIGHEST)
    return sums / jnp.maximum(sizes, 1)[:, None], sizes


def _plus_plus(key: Key, points: Array, valid: Array, num_clusters: int) -> Array:
    """Starts far apart: each the best of a few points drawn in proportion to squared distance."""
    num_candidates = 2 + int(np.log(num_clusters))
    first_key, *keys = jax.random.split(key, num_clusters)
    impossible = jnp.where(valid, 0.0, -jnp.inf)
    first = points[jax.random.categorical(first_key, impossible)]
    closest = jnp.where(valid, ((points - first[None, :]) ** 2).sum(1), 0)

    def add(closest: Array, add_key: Key) -> tuple[Array, Array]:
        logits = jnp.log(closest) + impossible
        drawn = jax.random.categorical(add_key, logits, shape=(num_candidates,))
        candidates = jnp.minimum(closest[:, None], _distances(points, points[drawn]))
        candidates = jnp.where(valid[:, None], candidates, 0)
        best = candidates.sum(0).argmin()
        return candidates[:, best], points[drawn[best]]

    if not keys:
        return first[None, :]
    _, others = jax.lax.scan(add, closest, jnp.stack(keys))
    return jnp.concatenate([first[None, :], others])


def _sweeps(points: Array, valid: Array, centroids: Array, max_sweeps: int | Array) -> Array:
    num_clusters = centroids.shape[0]

    def sweep(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        _, assignment, count = state
        moved, sizes = _means(assignment, points, num_clusters)
        own = ((points - moved[assignment]) ** 2).sum(1)
        _, farthest = jax.lax.top_k(jnp.where(valid, own, -1), num_clusters)
        empty = sizes == 0
        rank = jnp.cumsum(empty.astype(jnp.int32)) - 1
        moved = jnp.where(empty[:, None], points[farthest[jnp.maximum(rank, 0)]], moved)
        return assignment, _nearest(points, valid, moved)[0], count + 1

    def unsettled(state: tuple[Array, Array, Array]) -> Array:
        before, after, count = state
        return (before != after).any() & (count < max_sweeps)

    assignment, _ = _nearest(points, valid, centroids)
    nothing = jnp.full_like(assignment, -2)
    _, assignment, _ = jax.lax.while_loop(unsettled, sweep, (nothing, assignment, jnp.int32(0)))
    return _means(assignment, points, num_clusters)[0]


def _by_size(assignment: Array, points: Array, valid: Array, num_clusters: int) -> Clusters:
    members = assignment[:, None] == jnp.arange(num_clusters)[None, :]
    sizes = members.sum(0)
    order = jnp.lexsort((members.argmax(0), -sizes))
    rank = jnp.zeros(num_clusters, jnp.int32).at[order].set(jnp.arange(num_clusters))
    ordered = jnp.where(valid, rank[assignment], -1).astype(jnp.int32)
    centroids, _ = _means(ordered, points, num_clusters)
    residuals = jnp.where(valid[:, None], points - centroids[ordered], 0)
    return Clusters(ordered, centroids, sizes[order].astype(jnp.int32), (residuals**2).sum())


def _scikit_learn(
    key: Key,
    points: Array,
    valid: Array | None,
    num_clusters: int,
    num_restarts: int,
    max_sweeps: int,
) -> Clusters:
    import sklearn.cluster

    keep = np.ones(len(points), bool) if valid is None else np.asarray(valid)
    seed = int(jax.random.randint(key, (), 0, np.iinfo(np.int32).max))
    model = sklearn.cluster.KMeans(
        num_clusters, n_init=num_restarts, max_iter=max_sweeps, random_state=seed
    )
    assignment = np.full(len(points), -1, np.int32)
    assignment[keep] = model.fit_predict(np.asarray(points, np.float64)[keep])
    return _by_size(
        jnp.asarray(assignment),
        jnp.where(jnp.asarray(keep)[:, None], points, 0).astype(jnp.float32),
        jnp.asarray(keep),
        num_clusters,
    )


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
