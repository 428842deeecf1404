"""The images nearest to a facet's centroid, and their mean: where its visualization starts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped


def nearest_members(
    points: Float[np.ndarray, "n d"],
    assignment: Int[np.ndarray, " n"],
    centroids: Float[np.ndarray, "k d"],
    *,
    count: int,
) -> Int[np.ndarray, "k count"]:
    """Each cluster's members nearest to its centroid, nearest first.

    Args:
      points: in the space in which they were clustered.
      assignment: the cluster of each point.
      centroids: of the clusters.
      count: how many of each.

    Returns: rows of `points`; -1 where a cluster has fewer members. Of equally near members the
      first comes first.

    Raises:
      ValueError: `count` < 1.

    References: Nguyen et al. 2016 (arXiv 1602.03616), Algorithm 1, step 5; there the nearest of all
      images, which are the same unless a cluster has fewer than `count`.
    """
    if count < 1:
        raise ValueError(f"the number of nearest images must be at least 1, got {count}")
    nearest = np.full((len(centroids), count), -1, np.int64)
    for cluster, centroid in enumerate(centroids):
        members = np.flatnonzero(assignment == cluster)
        distances = ((points[members].astype(np.float64) - centroid) ** 2).sum(1)
        chosen = members[np.argsort(distances, kind="stable")[:count]]
        nearest[cluster, : len(chosen)] = chosen
    return nearest


def mean_image(
    images: Num[np.ndarray, "m height width channels"],
    valid: Bool[np.ndarray, "m height width"] | None = None,
    *,
    fill: tuple[float, ...] | float = 0.0,
) -> Float[np.ndarray, "height width channels"]:
    """The mean of images, each pixel over the images that have it.

    A pixel that fewer than half of them have fades into `fill`: the mean of a few would show a
    piece of one image, which then stands in the visualization as if the facet had it.

    Args:
      images: whole images, or patches of one size.
      valid: which pixels count; those of a patch beyond its image's border do not. All, if not
        given.
      fill: one value per channel, or one for all, for pixels that few images have or none.

    Returns: float32, in the range of the images and `fill`.

    Raises:
      ValueError: there are no images.
    """
    if len(images) == 0:
        raise ValueError("there are no images to take the mean of")
    weights = np.ones(images.shape[:3]) if valid is None else valid.astype(np.float64)
    counts = weights.sum(0)[..., None]
    sums = np.einsum("mhwc,mhw->hwc", images.astype(np.float64), weights)
    share = np.minimum(2 * counts / len(images), 1)
    means = sums / np.maximum(counts, 1)
    return (share * means + (1 - share) * np.asarray(fill, np.float64)).astype(np.float32)


def group_rows(
    nearest: Int[np.ndarray, "k count"],
) -> tuple[Int[np.ndarray, " some"], Int[np.ndarray, "k count"]]:
    """The rows that occur in `nearest`, once each, and where in that list each entry is.

    Images are then read once even where clusters share them; entries of -1 stay -1.
    """
    rows, where = np.unique(nearest, return_inverse=True)
    where = where.reshape(nearest.shape)
    if rows[0] == -1:
        return rows[1:], where - 1
    return rows, where


def mean_images(
    images: Num[np.ndarray, "some height width channels"],
    valid: Bool[np.ndarray, "some height width"],
    groups: Int[np.ndarray, "k count"],
    *,
    fill: tuple[float, ...] | float,
) -> Float[np.ndarray, "k height width channels"]:
    """The mean image of each group of rows of `images`; -1 stands for no image.

    Raises:
      ValueError: a group is empty.
    """
    members = [group[group >= 0] for group in groups]
    return np.stack([mean_image(images[rows], valid[rows], fill=fill) for rows in members])


def pick(
    images: Shaped[np.ndarray, " some *shape"],
    groups: Int[np.ndarray, "k count"],
    *,
    blank: float = 0,
) -> Shaped[np.ndarray, " k count *shape"]:
    """The images of each group; `blank` all over where an entry is -1."""
    picked = images[groups]
    picked[groups < 0] = blank
    return picked
