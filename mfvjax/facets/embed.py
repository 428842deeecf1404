"""From codes to 2-D maps: PCA, then t-SNE, for one unit or for many in one call."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfvjax.device_memory import default_device
from mfvjax.facets.padding import pad_rows
from mfvjax.facets.pca import project
from mfvjax.facets.tsne import Steps, check_memory, descend, pca_start, random_start
from mfvjax.types import Key

Method: TypeAlias = Literal["jax", "scikit-learn"]
Start: TypeAlias = Literal["pca", "random"]

MIN_CODES = 5
"""Fewer have no map: a perplexity of a third of the other codes must be above 1."""
_ELEMENTS_AT_ONCE = 2**28  # entries of an n x n matrix over all units that run side by side


@dataclasses.dataclass(frozen=True, eq=False)
class Embedding:
    """Codes in the plane.

    Attributes:
      points: the map.
      scores: PCA scores of the codes, which the map was made from.
      explained: share of the codes' variance in `scores`, 0 to 1.
      divergence: Kullback-Leibler divergence of the map from the scores' similarities (nats); that
        of scikit-learn's method is its own estimate.
      perplexity: as used: lower than asked for where there are few codes.
    """

    points: Float[np.ndarray, "n 2"]
    scores: Float[np.ndarray, "n p"]
    explained: float
    divergence: float
    perplexity: float


_Job: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray | None, Steps]


@dataclasses.dataclass(frozen=True)
class EmbedOptions:
    """How codes become a map.

    Attributes:
      num_components: of the PCA, lowered to ``min(n - 1, d)``.
      perplexity: effective number of neighbors, lowered to a third of the other codes.
      start: of t-SNE: "pca" for the first two scores, or "random".
      num_iterations: of t-SNE, the first half of them exaggerated.
      method: "jax", or "scikit-learn" for its ``PCA`` and Barnes-Hut ``TSNE`` on the host.

    Raises:
      ValueError: an option is out of range.
    """

    num_components: int = 50
    perplexity: float = 30.0
    start: Start = "pca"
    num_iterations: int = 1000
    method: Method = "jax"

    def __post_init__(self) -> None:
        if self.method not in ("jax", "scikit-learn"):
            raise ValueError(f'method must be "jax" or "scikit-learn", got {self.method!r}')
        if self.start not in ("pca", "random"):
            raise ValueError(f'start must be "pca" or "random", got {self.start!r}')
        if self.num_components < 1 or self.perplexity <= 1:
            raise ValueError(
                "num_components must be at least 1 and perplexity above 1, "
                f"got {self.num_components} and {self.perplexity}"
            )
        if self.num_iterations < 250:
            raise ValueError(f"num_iterations must be at least 250, got {self.num_iterations}")

    def usable_perplexity(self, num_codes: int) -> float:
        """What `perplexity` is for so many codes."""
        return min(float(self.perplexity), (num_codes - 1) / 3)


def embed_codes(
    key: Key, codes: Float[np.ndarray, "n d"], *, options: EmbedOptions | None = None
) -> Embedding:
    """Embeds the codes of one unit; see `embed_many`."""
    return embed_many([key], [codes], options=options)[0]


def embed_many(
    keys: Sequence[Key],
    codes: Sequence[Float[np.ndarray, "_ _"]],
    *,
    options: EmbedOptions | None = None,
    units_at_once: int | None = None,
) -> list[Embedding]:
    """Embeds the codes of many units; each comes out as if it were alone.

    Units of nearly the same number of codes are padded to one shape and, on an accelerator, run
    side by side in one program. A CPU takes them one after another through one program: a single
    unit fills its cores, and several would drive each other out of its cache.

    Args:
      keys: one per unit; draw the random start, and seed scikit-learn.
      codes: one array per unit, one row per image; the numbers of rows may differ.
      options: how; the defaults if not given.
      units_at_once: how many run side by side, in one shape even where fewer are left; by default
        1 on a CPU, as memory allows elsewhere.

    Returns: one result per unit, in their order.

    Raises:
      MemoryError: the pairs of a unit's codes do not fit into memory.
      ValueError: the numbers of units and keys differ, `units_at_once` < 1, or a unit has fewer
        than 5 codes, a code that is not finite, or only one code many times.
    """
    options = EmbedOptions() if options is None else options
    if len(codes) != len(keys):
        raise ValueError(f"{len(codes)} units and {len(keys)} keys; give one key per unit")
    if units_at_once is not None and units_at_once < 1:
        raise ValueError(f"units_at_once must be at least 1, got {units_at_once}")
    for one in codes:
        check_codes(one)
    if options.method == "scikit-learn":
        from mfvjax.facets import scikit_learn

        pairs = zip(keys, codes, strict=True)
        return [Embedding(*scikit_learn.embed(key, one, options)) for key, one in pairs]
    jobs = [_job(key, one, options) for key, one in zip(keys, codes, strict=True)]
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, job in enumerate(jobs):
        groups.setdefault(job[0].shape, []).append(row)
    results: dict[int, Embedding] = {}
    for shape, rows in groups.items():
        width = units_at_once or min(_width(shape[0]), len(rows))
        check_map(shape[0], options, units_at_once=width)
        for first in range(0, len(rows), width):
            chunk = rows[first : first + width]
            maps = _run([jobs[row] for row in chunk], width, options)
            results.update(zip(chunk, maps, strict=True))
    return [results[row] for row in range(len(codes))]


def check_map(num_codes: int, options: EmbedOptions, *, units_at_once: int = 1) -> None:
    """Refuses maps that do not fit into memory; raises ``MemoryError`` as `check_memory`."""
    if options.method == "jax":
        check_memory(num_codes, units_at_once=units_at_once, device=default_device())


def check_codes(codes: Float[np.ndarray, "n d"]) -> None:
    """Refuses codes that have no map.

    Raises:
      ValueError: there are fewer than 5, one is not finite, or all are the same.
    """
    if len(codes) < MIN_CODES:
        images = "1 image" if len(codes) == 1 else f"{len(codes)} images"
        raise ValueError(f"a map needs at least {MIN_CODES} images, got {images}")
    finite = np.isfinite(codes).all(axis=1)
    if not finite.all():
        raise ValueError(f"the code of image {int(finite.argmin())} is not finite")
    if np.ptp(codes, axis=0).max() <= 1e-6 * np.abs(codes).max():
        raise ValueError(
            f"all {len(codes)} images have the same code: they are the same image, or the layer "
            "does not tell them apart"
        )


def _width(num_codes: int) -> int:
    if jax.default_backend() == "cpu":
        return 1
    return max(1, _ELEMENTS_AT_ONCE // num_codes**2)


def _job(key: Key, codes: np.ndarray, options: EmbedOptions) -> _Job:
    """The arguments of `_embed`, padded."""
    num_codes = len(codes)
    steps = Steps.of(
        num_codes,
        perplexity=options.usable_perplexity(num_codes),
        num_iterations=options.num_iterations,
        num_exaggerated=options.num_iterations // 2,
    )
    padded, valid = pad_rows(codes)
    begin = None if options.start == "pca" else random_start(key, len(padded))
    return padded, valid, begin, steps


def _run(jobs: list[_Job], width: int, options: EmbedOptions) -> list[Embedding]:
    """Runs up to `width` jobs of one shape side by side; empty places repeat the last job."""
    num_components = min(options.num_components, *jobs[0][0].shape)
    if width == 1:
        done = [jax.device_get(_embed(*jobs[0], num_components=num_components))]
    else:
        filled = jobs + [jobs[-1]] * (width - len(jobs))
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *filled)
        together = jax.device_get(_embed_together(*stacked, num_components=num_components))
        done = [jax.tree.map(lambda leaf, i=i: leaf[i], together) for i in range(len(jobs))]
    return [_result(job, out, options) for job, out in zip(jobs, done, strict=True)]


@functools.partial(jax.jit, static_argnames="num_components")
def _embed(
    codes: Array, valid: Array, begin: Array | None, steps: Steps, *, num_components: int
) -> tuple[Array, Array, Array, Array]:
    projected = project(codes, valid, num_components=num_components)
    scores = projected.scores
    begin = pca_start(scores, valid) if begin is None else begin
    done = descend(scores, begin, valid, steps)
    explained = projected.variances.sum() / projected.total_variance
    return done.points, scores, explained, done.divergence


@functools.partial(jax.jit, static_argnames="num_components")
def _embed_together(
    codes: Array, valid: Array, begin: Array | None, steps: Steps, *, num_components: int
) -> tuple[Array, Array, Array, Array]:
    one = functools.partial(_embed, num_components=num_components)
    return jax.vmap(one)(codes, valid, begin, steps)


def _result(job: _Job, out: tuple, options: EmbedOptions) -> Embedding:
    points, scores, explained, divergence = out
    num_codes = int(job[1].sum())
    num_components = min(options.num_components, num_codes - 1, scores.shape[1])
    return Embedding(
        points=np.asarray(points[:num_codes]),
        scores=np.asarray(scores[:num_codes, :num_components]),
        explained=float(explained),
        divergence=float(divergence),
        perplexity=options.usable_perplexity(num_codes),
    )
