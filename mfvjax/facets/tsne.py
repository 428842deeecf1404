"""Exact t-SNE on the device: one compiled loop, for one unit or, by `vmap`, for many."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mfvjax.device_memory import free_bytes
from mfvjax.facets.host_random import generator
from mfvjax.types import Key

START_STD = 1e-4
_SEARCH_STEPS = 40
# Compiled for a CPU, 4.3 matrices of all pairs are in memory at once (XLA's own account, n = 4096).
_MATRICES = 5
_LOG_PRECISION_RANGE = (-12.0, 30.0)  # of the kernel, relative to the row's mean distance


class Tsne(NamedTuple):
    """A 2-D map.

    Attributes:
      points: where each code lies; rows that were not valid are 0.
      divergence: Kullback-Leibler divergence of the map from the codes' similarities (nats).
    """

    points: Float[Array, "*units n 2"]
    divergence: Float[Array, "*units"]


def tsne(
    codes: Float[Array, "n d"],
    start: Float[Array | np.ndarray, "n 2"],
    *,
    perplexity: float = 30.0,
    num_iterations: int = 1000,
    num_exaggerated: int = 500,
    exaggeration: float = 12.0,
    annealed: bool = True,
    learning_rate: float | Literal["auto"] = "auto",
    valid: Bool[Array, " n"] | None = None,
) -> Tsne:
    """Embeds codes in the plane by t-distributed stochastic neighbor embedding.

    Minimizes ``KL(P || Q)`` by gradient descent with momentum (0.5 while exaggerated, 0.8 after)
    and one gain per coordinate. All pairs are computed, nothing is approximated; every step reads
    an n x n matrix, so memory and time grow with n squared (7 MB and about 0.4 ms per step at
    n = 1300 on two cores).

    Differs from scikit-learn's in one thing: the exaggeration falls geometrically to 1 over the
    first half of the steps instead of dropping from 12 to 1 after a quarter. On network codes that
    ends 3 to 5 % lower in divergence, and starts 1e-5 apart then end at divergences within 0.001
    (0.03 with the drop), so that rounding does not decide the map.

    Args:
      codes: one row per image, usually PCA scores.
      start: where the points begin: `pca_start` or `random_start`.
      perplexity: effective number of neighbors of each point, above 1 and below the number of
        codes.
      num_iterations: all steps, the exaggerated ones included.
      num_exaggerated: first steps, during which P is multiplied.
      exaggeration: factor of P at the first step, at least 1.
      annealed: whether the factor falls geometrically to 1 over these steps; else it stays until
        their end (scikit-learn's rule, there with 250 steps).
      learning_rate: step size, or "auto" for ``max(n / exaggeration / 4, 50)``.
      valid: rows that count; the others are padding and influence nothing. All, if not given.

    Returns: the map, centered, and its divergence.

    Raises:
      ValueError: an option out of range, or fewer than four codes.

    References: van der Maaten & Hinton 2008, "Visualizing data using t-SNE" (the gains of the
      authors' implementation); scikit-learn ``TSNE`` for the defaults; Belkina et al. 2019 for the
      learning rate; Böhm et al. 2022, "Attraction-repulsion spectrum in neighbor embeddings", for
      what exaggeration does.
    """
    num_codes = codes.shape[0] if valid is None else int(valid.sum())
    steps = Steps.of(
        num_codes,
        perplexity=perplexity,
        num_iterations=num_iterations,
        num_exaggerated=num_exaggerated,
        exaggeration=exaggeration,
        annealed=annealed,
        learning_rate=learning_rate,
    )
    valid = jnp.ones(codes.shape[0], bool) if valid is None else valid
    return descend(codes.astype(jnp.float32), jnp.asarray(start, jnp.float32), valid, steps)


def check_memory(num_codes: int, *, units_at_once: int = 1, device: jax.Device) -> None:
    """Refuses a map that does not fit into memory, before any of it is taken.

    Args:
      num_codes: of each unit.
      units_at_once: how many units run side by side.
      device: where they run.

    Raises:
      MemoryError: the message says what the map needs and what there is.
    """
    needed = units_at_once * _MATRICES * 4 * num_codes**2
    free = free_bytes(device)
    if needed > free:
        raise MemoryError(
            f"a map of {num_codes} images needs {needed / 2**30:.1f} GiB, {_MATRICES} numbers for "
            f"each pair of them, and {free / 2**30:.1f} GiB are free: take those that activate the "
            'unit most (--top, top_fraction, top_count), or method="scikit-learn", which needs no '
            "pairs"
        )


def pca_start(
    scores: Float[Array, "n p"], valid: Bool[Array, " n"] | None = None
) -> Float[Array, "n 2"]:
    """The first two PCA scores, scaled so that the first has standard deviation 1e-4.

    Rows that are not valid must be 0, as those of `pca` are.
    """
    first = jnp.pad(scores[:, :2], ((0, 0), (0, max(0, 2 - scores.shape[1]))))
    count = scores.shape[0] if valid is None else valid.sum().astype(jnp.float32)
    spread = jnp.sqrt((first[:, 0] ** 2).sum() / count)
    return first * (START_STD / jnp.maximum(spread, jnp.finfo(jnp.float32).tiny))


def random_start(key: Key, num_codes: int) -> Float[np.ndarray, "n 2"]:
    """Normal points of standard deviation 1e-4."""
    return START_STD * generator(key).standard_normal((num_codes, 2), np.float32)


class Steps(NamedTuple):
    """The options of `tsne` as arrays: they enter the compiled loop as inputs."""

    perplexity: Float[Array, "*units"]
    num_iterations: Int[Array, "*units"]
    num_exaggerated: Int[Array, "*units"]
    exaggeration: Float[Array, "*units"]
    annealed: Bool[Array, "*units"]
    learning_rate: Float[Array, "*units"]

    @classmethod
    def of(
        cls,
        num_codes: int,
        *,
        perplexity: float,
        num_iterations: int,
        num_exaggerated: int,
        exaggeration: float = 12.0,
        annealed: bool = True,
        learning_rate: float | Literal["auto"] = "auto",
    ) -> Steps:
        """Checks the options for so many codes; raises ``ValueError`` as `tsne`."""
        if num_codes < 4:
            raise ValueError(f"t-SNE needs at least 4 codes, got {num_codes}")
        if not 1 < perplexity < num_codes:
            raise ValueError(
                f"perplexity must be above 1 and below the number of codes, {num_codes}; "
                f"got {perplexity}"
            )
        if not 0 <= num_exaggerated <= num_iterations:
            raise ValueError(
                "num_iterations must be at least num_exaggerated, and that at least 0; "
                f"got {num_iterations} and {num_exaggerated}"
            )
        if exaggeration < 1:
            raise ValueError(f"exaggeration must be at least 1, got {exaggeration}")
        rate = max(num_codes / exaggeration / 4, 50) if learning_rate == "auto" else learning_rate
        if rate <= 0:
            raise ValueError(f'learning_rate must be "auto" or above 0, got {learning_rate}')
        return cls(
            jnp.float32(perplexity),
            jnp.int32(num_iterations),
            jnp.int32(num_exaggerated),
            jnp.float32(exaggeration),
            jnp.asarray(annealed),
            jnp.float32(rate),
        )


@jax.jit
def descend(codes: Array, start: Array, valid: Array, steps: Steps) -> Tsne:
    """`tsne` without its checks, fit for `vmap` over all four arguments."""
    similarities = joint_similarities(codes, valid, steps.perplexity)
    mask = valid.astype(jnp.float32)

    def step(i: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        points, update, gains = state
        factor = _factor(i, steps)
        momentum = jnp.where(i < steps.num_exaggerated, 0.5, 0.8)
        gradient = _gradient(similarities, factor, points, mask)
        turned = update * gradient < 0
        gains = jnp.maximum(jnp.where(turned, gains + 0.2, gains * 0.8), 0.01)
        update = momentum * update - steps.learning_rate * gains * gradient
        points = points + update
        return points - _mean(points, mask)[None, :], update, gains

    start = jnp.where(valid[:, None], start, 0)
    state = (start, jnp.zeros_like(start), jnp.ones_like(start))
    points, _, _ = jax.lax.fori_loop(0, steps.num_iterations, step, state)
    points = points * mask[:, None]
    return Tsne(points, _divergence(similarities, points, mask))


def _factor(i: Array, steps: Steps) -> Array:
    done = i.astype(jnp.float32) / jnp.maximum(steps.num_exaggerated, 1).astype(jnp.float32)
    annealed = steps.exaggeration ** (1 - jnp.minimum(done, 1))
    return jnp.where(
        steps.annealed, annealed, jnp.where(done < 1, steps.exaggeration, jnp.float32(1))
    )


def _mean(points: Array, mask: Array) -> Array:
    return (points * mask[:, None]).sum(0) / mask.sum()


def _kernel(points: Array) -> Array:
    """Student's kernel of all pairs; differences, not inner products, keep close pairs exact."""
    across = points[:, None, 0] - points[None, :, 0]
    down = points[:, None, 1] - points[None, :, 1]
    return 1 / (1 + across**2 + down**2)


def _normalizer(kernel: Array, mask: Array) -> Array:
    # By columns first: a running float32 sum of n * n terms near 1 stops growing at 2**24. Each
    # point's own term is 1.
    return ((kernel * mask[:, None]).sum(0) * mask).sum() - mask.sum()


def _gradient(similarities: Array, factor: Array, points: Array, mask: Array) -> Array:
    kernel = _kernel(points)
    forces = (similarities * factor - kernel / _normalizer(kernel, mask)) * kernel
    # sum_j forces_ij (y_i - y_j) with one product; the mask rides along in its columns.
    columns = jnp.concatenate([points * mask[:, None], mask[:, None]], axis=1)
    sums = jnp.matmul(forces, columns, precision=jax.lax.Precision.HIGHEST)
    return 4 * mask[:, None] * (points * sums[:, 2:] - sums[:, :2])


def _divergence(similarities: Array, points: Array, mask: Array) -> Array:
    kernel = _kernel(points)
    normalizer = _normalizer(kernel, mask)
    ratio = jnp.where(similarities > 0, similarities * normalizer / kernel, 1.0)
    return (similarities * jnp.log(ratio)).sum(0).sum()


def joint_similarities(
    codes: Float[Array, "n d"], valid: Bool[Array, " n"], perplexity: Float[Array, ""]
) -> Float[Array, "n n"]:
    """Symmetrized Gaussian similarities of all pairs: they sum to 1, the diagonal is 0.

    The width of each row's Gaussian is found by bisection, so that the row's entropy is that of
    `perplexity` equal neighbors. Where a code has more exact copies than `perplexity`, no width
    does it and the copies share the row equally.
    """
    pairs = valid[:, None] & valid[None, :] & ~jnp.eye(codes.shape[0], dtype=bool)
    distances = squared_distances(jnp.where(valid[:, None], codes, 0))
    nearest = jnp.where(pairs, distances, jnp.inf).min(1, keepdims=True)
    distances = jnp.where(pairs, distances - jnp.where(valid[:, None], nearest, 0), 0)
    scale = distances.sum(1) / jnp.maximum(pairs.sum(1), 1).astype(jnp.float32)
    scale = jnp.where(scale > 0, scale, 1)
    target = jnp.log(perplexity)

    def weights(log_precision: Array) -> Array:
        precision = jnp.exp(log_precision) / scale
        return jnp.where(pairs, jnp.exp(-distances * precision[:, None]), 0)

    def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        row = weights(middle)
        total = jnp.maximum(row.sum(1), jnp.finfo(jnp.float32).tiny)
        mean_exponent = (row * distances).sum(1) * jnp.exp(middle) / scale / total
        too_wide = jnp.log(total) + mean_exponent > target
        return jnp.where(too_wide, middle, low), jnp.where(too_wide, high, middle)

    bounds = tuple(jnp.full(codes.shape[0], edge) for edge in _LOG_PRECISION_RANGE)
    low, high = jax.lax.fori_loop(0, _SEARCH_STEPS, halve, bounds)
    row = weights((low + high) / 2)
    conditional = row / jnp.maximum(row.sum(1, keepdims=True), jnp.finfo(jnp.float32).tiny)
    total = jnp.maximum(valid.sum(), 1).astype(jnp.float32)
    return (conditional + conditional.T) / (2 * total)


def squared_distances(codes: Float[Array, "n d"]) -> Float[Array, "n n"]:
    """Squared Euclidean distances of all pairs, from the codes' mean for accuracy."""
    codes = codes - codes.mean(0)[None, :]
    norms = (codes**2).sum(1)
    products = jnp.matmul(codes, codes.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.maximum(norms[:, None] + norms[None, :] - 2 * products, 0)
