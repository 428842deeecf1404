"""Algorithm 1 on codes alone: map, clusters, nearest images, and how good the clusters are."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import jax
import numpy as np
from jaxtyping import Float, Int

from mfvjax.facets.cluster import check_different, kmeans
from mfvjax.facets.embed import MIN_CODES, Embedding, EmbedOptions, embed_many
from mfvjax.facets.means import nearest_members
from mfvjax.facets.num_facets import choose_num_facets
from mfvjax.facets.stability import bootstrap_stability
from mfvjax.types import Key

ClusterSpace: TypeAlias = Literal["map", "pca"]


@dataclasses.dataclass(frozen=True)
class GroupOptions:
    """How codes become facets.

    Attributes:
      num_facets: k, or "auto" to find it (see ``choose_num_facets``).
      num_mean_images: m, the members nearest to each centroid that are kept.
      cluster_space: where k-means runs: in the "map", as the paper does, or on the "pca" scores.
      num_restarts: of k-means.
      max_facets: the largest number that "auto" considers.
      embed: how codes become a map. Its method "scikit-learn" is used for k-means too.
      seed: of everything random.

    Raises:
      ValueError: an option is out of range.
    """

    num_facets: int | Literal["auto"] = 10
    num_mean_images: int = 15
    cluster_space: ClusterSpace = "map"
    num_restarts: int = 20
    max_facets: int = 10
    embed: EmbedOptions = dataclasses.field(default_factory=EmbedOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_facets != "auto" and (
            not isinstance(self.num_facets, int) or self.num_facets < 1
        ):
            raise ValueError(f'num_facets must be "auto" or at least 1, got {self.num_facets!r}')
        if self.cluster_space not in ("map", "pca"):
            raise ValueError(f'cluster_space must be "map" or "pca", got {self.cluster_space!r}')
        if self.num_mean_images < 1 or self.num_restarts < 1 or self.max_facets < 2:
            raise ValueError(
                "num_mean_images and num_restarts must be at least 1 and max_facets at least 2, "
                f"got {self.num_mean_images}, {self.num_restarts} and {self.max_facets}"
            )

    @property
    def least_images(self) -> int:
        """Fewer cannot be divided into these facets."""
        number = 1 if self.num_facets == "auto" else self.num_facets
        return max(MIN_CODES, number, self.num_mean_images)

    def check_number(self, num_images: int) -> None:
        """Refuses options that so many images cannot meet; raises ``ValueError``."""
        if self.num_facets != "auto" and num_images < self.num_facets:
            raise ValueError(
                f"num_facets={self.num_facets} needs as many images, there are {num_images}"
            )
        if num_images < self.num_mean_images:
            raise ValueError(
                f"num_mean_images={self.num_mean_images} needs as many images, "
                f"there are {num_images}"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Grouping:
    """Codes in facets; the fields are those of ``Facets``."""

    map: Float[np.ndarray, "n 2"]
    assignment: Int[np.ndarray, " n"]
    sizes: Int[np.ndarray, " k"]
    centroids: Float[np.ndarray, "k 2"]
    code_centroids: Float[np.ndarray, "k d"]
    nearest: Int[np.ndarray, "k m"]
    homogeneity: Float[np.ndarray, " k"]
    stability: Float[np.ndarray, " k"]
    summary: dict[str, Any]


def group_codes(
    codes: Sequence[Float[np.ndarray, "_ _"]],
    orders: Sequence[Int[np.ndarray, " _"]],
    *,
    options: GroupOptions,
    units_at_once: int | None = None,
) -> list[Grouping]:
    """Finds the facets of many units from their images' codes; each as if it were alone.

    Args:
      codes: one array per unit, one row per image.
      orders: the rows of each array in an order that does not depend on theirs; see
        `canonical_order`. All that depends on order, such as random draws, follows it, so that
        other orders of the same images give the same facets.
      options: the same for all units.
      units_at_once: see ``embed_many``.

    Raises:
      ValueError: there are too few images for the options, or a unit's codes have no map (see
        ``check_codes``), or fewer of them differ than facets are wanted.
    """
    for one in codes:
        options.check_number(len(one))
    embed_key, group_key = jax.random.split(jax.random.key(options.seed))
    ordered = [one[order] for one, order in zip(codes, orders, strict=True)]
    embeddings = embed_many(
        [embed_key] * len(codes), ordered, options=options.embed, units_at_once=units_at_once
    )
    groupings = []
    for one, embedding, order in zip(ordered, embeddings, orders, strict=True):
        grouping = _group(group_key, one, embedding, options)
        groupings.append(_reordered(grouping, order))
    return groupings


def canonical_order(
    codes: Float[np.ndarray, "n d"],
    activations: Float[np.ndarray, " n"],
    names: Sequence[str],
) -> Int[np.ndarray, " n"]:
    """Rows by falling activation, then by the sum of the code, then by name."""
    return np.lexsort((np.asarray(names), codes.sum(axis=1), -activations))


def _group(key: Key, codes: np.ndarray, embedding: Embedding, options: GroupOptions) -> Grouping:
    choose_key, cluster_key, stability_key = jax.random.split(key, 3)
    summary: dict[str, Any] = {
        "divergence": embedding.divergence,
        "perplexity": embedding.perplexity,
        "explained": embedding.explained,
    }
    num_facets = options.num_facets
    if num_facets == "auto":
        evidence = choose_num_facets(
            choose_key,
            embedding,
            max_facets=options.max_facets,
            options=options.embed,
        )
        num_facets, summary["num_facets"] = evidence.num_facets, evidence.to_json()
    points = embedding.points if options.cluster_space == "map" else embedding.scores
    check_different(codes, num_facets)
    clusters = kmeans(
        cluster_key,
        points,
        num_clusters=num_facets,
        num_restarts=options.num_restarts,
        method=options.embed.method,
    )
    assignment = clusters.assignment
    stability = bootstrap_stability(stability_key, points, assignment)
    average = functools.partial(cluster_means, assignment=assignment)
    return Grouping(
        map=embedding.points,
        assignment=assignment,
        sizes=clusters.sizes,
        centroids=average(embedding.points),
        code_centroids=average(codes),
        nearest=nearest_members(
            points, assignment, clusters.centroids, count=options.num_mean_images
        ),
        homogeneity=homogeneity(codes, assignment),
        stability=stability.jaccard,
        summary={
            **summary,
            "agreement": stability.agreement,
            "homogeneity": float(homogeneity(codes, np.zeros(len(codes), int))[0]),
        },
    )


def _reordered(grouping: Grouping, order: np.ndarray) -> Grouping:
    """From rows in canonical order to the caller's rows."""
    back = np.argsort(order)
    return dataclasses.replace(
        grouping,
        map=grouping.map[back],
        assignment=grouping.assignment[back],
        nearest=np.where(grouping.nearest < 0, -1, order[grouping.nearest]),
    )


def cluster_means(
    values: Float[np.ndarray, "n d"], assignment: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "k d"]:
    """The mean of each cluster's rows, summed in float64."""
    sums = np.zeros((assignment.max() + 1, values.shape[1]))
    np.add.at(sums, assignment, values)
    return (sums / np.bincount(assignment)[:, None]).astype(np.float32)


def homogeneity(
    codes: Float[np.ndarray, "n d"], assignment: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " k"]:
    """How alike the members of each cluster are: mean cosine similarity of two members' codes.

    1 if all point the same way; rectified codes have at least 0. NaN for a cluster of one. A code
    of zeros is like no other.

    Args:
      codes: as the network gives them.
      assignment: the cluster of each row.

    References: the paper (Nguyen et al. 2016) suggests the most homogeneous cluster without
      defining it; cosine similarity of codes is the usual likeness of images, as in Babenko et al.
      2014, "Neural codes for image retrieval".
    """
    values = codes.astype(np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    values = values / np.where(lengths > 0, lengths, 1)
    out = np.full(assignment.max() + 1, np.nan, np.float32)
    for cluster in range(len(out)):
        members = values[assignment == cluster]
        if len(members) > 1:
            pairs = (members.sum(axis=0) ** 2).sum() - (members**2).sum()
            out[cluster] = pairs / (len(members) * (len(members) - 1))
    return out
