"""Principal components of codes, on the device: exact, with scikit-learn's signs."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Eigenvalues under this fraction of the largest are rounding error of float32, not variance.
_NEGLIGIBLE = 1e-6


class Pca(NamedTuple):
    """Scores of codes on their principal components.

    Attributes:
      scores: coordinates of each code; rows that were not valid are 0.
      components: rows of length 1; the entry of largest magnitude of each is positive.
      mean: what was subtracted.
      variances: of each column of `scores`, over ``n - 1``, from the largest.
      total_variance: of the codes, so that ``variances / total_variance`` is the share explained.
    """

    scores: Float[Array, "*units n p"]
    components: Float[Array, "*units p d"]
    mean: Float[Array, "*units d"]
    variances: Float[Array, "*units p"]
    total_variance: Float[Array, "*units"]


def pca(
    codes: Float[Array, "n d"],
    *,
    num_components: int = 50,
    valid: Bool[Array, " n"] | None = None,
) -> Pca:
    """Projects codes on their first principal components.

    Solves the smaller of the two symmetric eigenproblems (d x d covariances or n x n inner
    products) in float32. Differs from scikit-learn's ``PCA(svd_solver="full")`` by rounding only:
    scores within 1e-4 of the first component's standard deviation, on network codes. A component
    without variance (rank below `num_components`) has zero scores, where scikit-learn returns
    rounding noise.

    Args:
      codes: one row per image.
      num_components: how many to keep; lowered to ``min(n - 1, d)``, the largest rank that n
        centered codes can have (to d alone where `valid` hides rows, with zero scores beyond
        the rank).
      valid: rows that count; the others are padding and influence nothing. All, if not given.

    Returns: the scores and what they were made with; p is the number of components kept.

    Raises:
      ValueError: `num_components` < 1, or fewer than two rows.

    References: scikit-learn ``sklearn.decomposition.PCA`` and ``svd_flip`` for the signs.
    """
    if num_components < 1:
        raise ValueError(f"num_components must be at least 1, got {num_components}")
    if codes.shape[0] < 2:
        raise ValueError(f"principal components need at least 2 codes, got {codes.shape[0]}")
    num_components = min(num_components, codes.shape[0] - 1, codes.shape[1])
    valid = jnp.ones(codes.shape[0], bool) if valid is None else valid
    return project(codes.astype(jnp.float32), valid, num_components=num_components)


@functools.partial(jax.jit, static_argnames="num_components")
def project(codes: Array, valid: Array, *, num_components: int) -> Pca:
    """`pca` without its checks, fit for `vmap` over its arrays."""
    weight = valid.astype(jnp.float32)[:, None]
    count = weight.sum()
    # Padding may hold anything, infinities too: selected away, not multiplied.
    codes = jnp.where(valid[:, None], codes, 0)
    mean = codes.sum(0) / count
    centered = (codes - mean[None, :]) * weight
    components = _principal_axes(centered, num_components)
    scores = _matmul(centered, components.T)
    variances = (scores**2).sum(0) / (count - 1)
    scores = jnp.where((variances > _NEGLIGIBLE * variances[0])[None, :], scores, 0)
    return Pca(scores, components, mean, variances, (centered**2).sum(0).sum() / (count - 1))


def _principal_axes(centered: Array, num_components: int) -> Array:
    n, d = centered.shape
    if d <= n:
        _, vectors = jnp.linalg.eigh(_matmul(centered.T, centered))
        axes = vectors[:, ::-1][:, :num_components].T
    else:
        _, vectors = jnp.linalg.eigh(_matmul(centered, centered.T))
        axes = _matmul(vectors[:, ::-1][:, :num_components].T, centered)
        length = jnp.sqrt((axes**2).sum(1, keepdims=True))
        axes = axes / jnp.maximum(length, jnp.finfo(jnp.float32).tiny)
    largest = jnp.take_along_axis(axes, jnp.abs(axes).argmax(1)[:, None], axis=1)
    return jnp.where(largest < 0, -axes, axes)


def _matmul(a: Array, b: Array) -> Array:
    # Accelerators would round the factors to 10 bits otherwise.
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
