"""From codes to clusters: PCA, t-SNE and k-means, for one unit and for sixteen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks.context import Context
from benchmarks.harness import interleaved, medians, missing
from benchmarks.report import Table
from mfvjax.facets.cluster import kmeans
from mfvjax.facets.embed import embed_codes, embed_many

NUM_CODES, NUM_FEATURES, NUM_UNITS, NUM_CLUSTERS = 1300, 4096, 16, 10
_PERPLEXITY, _COMPONENTS = 30.0, 50


def run(context: Context) -> list[Table]:
    """One class's worth of codes; and the codes of sixteen units in one call."""
    codes = [made_codes(seed) for seed in range(2 if context.quick else NUM_UNITS)]
    return [_one(context, codes[0]), _many(context, codes)]


def made_codes(seed: int, count: int = NUM_CODES, features: int = NUM_FEATURES) -> np.ndarray:
    """Rectified codes in twelve overlapping groups of unequal size, as of a dense layer."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(0, 1, (12, 40)) * np.linspace(2, 0.3, 40)
    group = rng.choice(12, count, p=rng.dirichlet(np.full(12, 3.0)))
    hidden = centers[group] + rng.normal(0, 0.8, (count, 40)) * np.linspace(1.5, 0.3, 40)
    mixed = hidden @ rng.normal(0, 0.16, (40, features)) + rng.normal(-0.3, 0.5, features)
    return np.maximum(mixed + rng.normal(0, 0.3, mixed.shape), 0).astype(np.float32)


def _one(context: Context, codes: np.ndarray) -> Table:
    maps: dict[str, np.ndarray] = {}

    def keep(name: str, way: Callable[[np.ndarray], np.ndarray]) -> Callable[[], None]:
        def run() -> None:
            maps[name] = way(codes)

        return run

    ways = {"mfvjax": ours, "scikit-learn, Barnes-Hut": scikit_learn}
    no_open = "left out when quick" if context.quick else missing("openTSNE")
    if no_open is None:
        ways["openTSNE, FFT"] = open_tsne
    runs = {name: keep(name, way) for name, way in ways.items()}
    seconds = medians(interleaved(runs, repeats=context.repeats))
    base = seconds["scikit-learn, Barnes-Hut"]
    rows: list[list[Any]] = [
        [name, value, f"{base / value:.2f}", divergence(codes, maps[name])]
        for name, value in seconds.items()
    ]
    if no_open is not None:
        rows.append(["openTSNE, FFT", no_open, None, None])
    note = (
        f"{len(codes)} made codes of {codes.shape[1]} features, PCA to {_COMPONENTS}, perplexity "
        f"{_PERPLEXITY:g}, k-means with {NUM_CLUSTERS} clusters and 10 restarts. Divergence: of "
        "each map, by one exact function in float64. Defaults of each package."
    )
    columns = ["codes to clusters, one unit", "s", "times scikit-learn", "KL divergence, nats"]
    return Table("t-SNE and k-means", columns, rows, [note])


def _many(context: Context, codes: list[np.ndarray]) -> Table:
    keys = [jax.random.key(seed) for seed in range(len(codes))]
    runs: dict[str, Callable[[], Any]] = {
        "one by one": lambda: [embed_codes(*pair) for pair in zip(keys, codes, strict=True)],
        "in one call": lambda: embed_many(keys, codes),
    }
    seconds = medians(interleaved(runs, repeats=min(context.repeats, 2)))
    rows = [[f"{len(codes)} units {how}", s, s / len(codes)] for how, s in seconds.items()]
    note = f"PCA and t-SNE of {NUM_CODES} codes each, without k-means."
    return Table("Maps of many units, mfvjax", ["", "s", "s per unit"], rows, [note])


def ours(codes: np.ndarray) -> np.ndarray:
    """The library's map and clusters."""
    key = jax.random.key(0)
    points = embed_codes(key, codes).points
    kmeans(key, points, num_clusters=NUM_CLUSTERS)
    return points


def scikit_learn(codes: np.ndarray) -> np.ndarray:
    """The same steps with scikit-learn, as a user would write them."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    scores = PCA(_COMPONENTS, random_state=0).fit_transform(codes)
    points = TSNE(perplexity=_PERPLEXITY, random_state=0).fit_transform(scores)
    KMeans(NUM_CLUSTERS, n_init=10, random_state=0).fit(points)
    return points


def open_tsne(codes: np.ndarray) -> np.ndarray:
    """The same with openTSNE's interpolated t-SNE."""
    import os

    import openTSNE
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    scores = PCA(_COMPONENTS, random_state=0).fit_transform(codes)
    made = openTSNE.TSNE(
        perplexity=_PERPLEXITY,
        negative_gradient_method="fft",
        n_jobs=os.cpu_count(),
        random_state=0,
    )
    points = np.asarray(made.fit(scores))
    KMeans(NUM_CLUSTERS, n_init=10, random_state=0).fit(points)
    return points


def divergence(codes: np.ndarray, points: np.ndarray) -> float:
    """Exact KL divergence of a map from its codes' PCA scores, similarities by scikit-learn."""
    from scipy.spatial.distance import pdist, squareform
    from sklearn.decomposition import PCA
    from sklearn.manifold import _t_sne

    scores = PCA(_COMPONENTS, svd_solver="full").fit_transform(codes.astype(np.float64))
    squared = squareform(pdist(scores, "sqeuclidean")).astype(np.float32)
    wanted = _t_sne._joint_probabilities(squared, _PERPLEXITY, 0)
    kernel = 1 / (1 + pdist(points.astype(np.float64), "sqeuclidean"))
    found = kernel / (2 * kernel.sum())
    return float(2 * np.sum(wanted * np.log(np.maximum(wanted, 1e-300) / found)))
