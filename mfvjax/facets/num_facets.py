"""How many facets a unit has: silhouettes against those of images without facets."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mfvjax.facets.cluster import partition, slots, start_draws
from mfvjax.facets.embed import Embedding, EmbedOptions, embed_many
from mfvjax.facets.host_random import generator
from mfvjax.facets.padding import pad_rows
from mfvjax.facets.stability import bootstrap_stability
from mfvjax.types import Key

LEAST_EXCESS = 0.15
LEAST_AGREEMENT = 0.75
_IMAGES_PER_FACET = 5  # on average, at least
_RESTARTS = 10


@dataclasses.dataclass(frozen=True, eq=False)
class NumFacets:
    """A number of facets, and why.

    Attributes:
      num_facets: the answer, from 1.
      best: the number of clusters whose silhouette is highest above the null's, which the answer
        is unless a test refuses it.
      tried: the numbers of clusters that were compared, from 2.
      silhouettes: mean silhouette of the map's clusters, by number.
      null_silhouettes: the same for maps of codes without facets, one row per map.
      agreement: bootstrapped adjusted Rand index of the best partition.
      reason: in words.
    """

    num_facets: int
    best: int
    tried: tuple[int, ...]
    silhouettes: Float[np.ndarray, " tried"]
    null_silhouettes: Float[np.ndarray, "maps tried"]
    agreement: float
    reason: str

    def to_json(self) -> dict[str, Any]:
        """As plain lists and numbers."""
        return {
            field.name: np.asarray(getattr(self, field.name)).tolist()
            for field in dataclasses.fields(self)
        }


def choose_num_facets(
    key: Key,
    embedding: Embedding,
    *,
    max_facets: int = 10,
    num_nulls: int = 10,
    options: EmbedOptions | None = None,
) -> NumFacets:
    """Finds the number of clusters in a map, 1 if there is nothing to divide.

    t-SNE makes clumps of anything, so the map alone cannot tell. Its silhouettes are compared with
    those of maps of codes without facets: normal codes with the same variance along each principal
    component, embedded and clustered in the same way. The candidate is the number of clusters
    whose mean silhouette exceeds the mean of the null maps' most. It is accepted if

    * it exceeds that mean by at least 0.15, and the silhouette of every null map;
    * clusterings of resampled points agree with it: adjusted Rand index of at least 0.75.

    Otherwise the answer is 1. It errs toward 1: facets that overlap are not told apart. (Measured:
    classes of one facet reach up to 0.13, classes of several distinct ones 0.24 to 0.58.)

    Args:
      key: draws codes, starts and resamples.
      embedding: of the unit's codes.
      max_facets: the highest answer; also limited to a fifth of the images.
      num_nulls: how many maps without facets.
      options: how `embedding` was made.

    Raises:
      ValueError: `max_facets` < 2 or `num_nulls` < 1.

    References: Rousseeuw 1987 for the silhouette; Tibshirani, Walther & Hastie 2001 for judging a
      number of clusters against a null; Liu et al. 2008 (SigClust) for the normal null matched in
      principal components; Hennig 2007 for stability.
    """
    if max_facets < 2 or num_nulls < 1:
        raise ValueError(
            "max_facets must be at least 2 and num_nulls at least 1, "
            f"got {max_facets} and {num_nulls}"
        )
    null_key, embed_key, cluster_key, stability_key = jax.random.split(key, 4)
    num_codes = len(embedding.points)
    tried = tuple(range(2, max(2, min(max_facets, num_codes // _IMAGES_PER_FACET)) + 1))
    nulls = null_codes(null_key, embedding.scores, num_nulls)
    null_maps = embed_many(list(jax.random.split(embed_key, num_nulls)), nulls, options=options)
    score = functools.partial(_silhouettes_by_number, cluster_key, tried=tried)
    silhouettes, assignments = score(embedding.points)
    null_silhouettes = np.stack([score(null.points)[0] for null in null_maps])
    excesses = silhouettes - null_silhouettes.mean(axis=0)
    at = int(excesses.argmax())
    agreement = bootstrap_stability(stability_key, embedding.points, assignments[at]).agreement
    distinct = excesses[at] >= LEAST_EXCESS and silhouettes[at] > null_silhouettes[:, at].max()
    accepted = distinct and agreement >= LEAST_AGREEMENT
    reason = (
        f"silhouette {silhouettes[at]:.2f} of {tried[at]} clusters, "
        f"{silhouettes[at] - excesses[at]:.2f} without facets; resamples agree by {agreement:.2f}"
    )
    return NumFacets(
        num_facets=tried[at] if accepted else 1,
        best=tried[at],
        tried=tried,
        silhouettes=silhouettes,
        null_silhouettes=null_silhouettes,
        agreement=agreement,
        reason=reason,
    )


def null_codes(
    key: Key, scores: Float[np.ndarray, "n p"], count: int
) -> list[Float[np.ndarray, "n p"]]:
    """Normal codes of the same spread along each principal component, without any clusters."""
    draws = generator(key).standard_normal((count, *scores.shape), np.float32)
    return list(draws * scores.std(axis=0, ddof=1))


def _silhouettes_by_number(
    key: Key, points: Float[np.ndarray, "n 2"], *, tried: tuple[int, ...]
) -> tuple[Float[np.ndarray, " tried"], Int[np.ndarray, "tried n"]]:
    draws = start_draws(key, _RESTARTS, num_slots=slots(tried[-1]))
    found = _cluster_by_number(draws, *pad_rows(points), np.asarray(tried, np.int32))
    silhouettes, assignments = map(np.asarray, found)
    return silhouettes, assignments[:, : len(points)]


@jax.jit
def _cluster_by_number(
    draws: Array, points: Array, valid: Array, tried: Array
) -> tuple[Array, Array]:
    between = jnp.sqrt(((points[:, None, :] - points[None, :, :]) ** 2).sum(-1))

    def one(num_clusters: Array) -> tuple[Array, Array]:
        assignment = partition(draws, points, valid, num_clusters)
        return silhouette(between, assignment, num_slots=draws.shape[1]), assignment

    return jax.lax.map(one, tried)


def silhouette(
    distances: Float[Array, "n n"], assignment: Int[Array, " n"], *, num_slots: int
) -> Float[Array, ""]:
    """Mean silhouette: ``(b - a) / max(a, b)`` of each point, from -1 to 1.

    a is the mean distance to the other members of its cluster, b that to the members of the
    nearest other cluster; points alone in their cluster have 0.

    Args:
      distances: of all pairs.
      assignment: cluster of each point, -1 for padding.
      num_slots: above every cluster's number; some may be empty.

    References: Rousseeuw 1987; scikit-learn ``silhouette_score``.
    """
    members = jax.nn.one_hot(assignment, num_slots, dtype=jnp.float32)
    sizes = members.sum(0)
    sums = jnp.matmul(distances, members, precision=jax.lax.Precision.HIGHEST)
    own_size = sizes[assignment]
    inside = (sums * members).sum(1) / jnp.maximum(own_size - 1, 1)
    others = (members == 0) & (sizes > 0)[None, :]
    outside = jnp.where(others, sums / jnp.maximum(sizes, 1)[None, :], jnp.inf).min(1)
    values = (outside - inside) / jnp.maximum(outside, inside)
    valid = assignment >= 0
    return jnp.where(valid & (own_size > 1), values, 0).sum() / valid.sum().astype(jnp.float32)
