"""scikit-learn's own PCA, t-SNE and k-means, for those who want them; all on the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from mfvjax.facets.host_random import generator
from mfvjax.types import Key

if TYPE_CHECKING:
    from mfvjax.facets.embed import EmbedOptions


def embed(
    key: Key, codes: Float[np.ndarray, "n d"], options: EmbedOptions
) -> tuple[np.ndarray, np.ndarray, float, float, float]:
    """The fields of an ``Embedding``, made by ``PCA`` and Barnes-Hut ``TSNE``."""
    import sklearn.decomposition
    import sklearn.manifold

    num_codes, size = codes.shape
    num_components = min(options.num_components, num_codes - 1, size)
    projection = sklearn.decomposition.PCA(num_components, svd_solver="full")
    scores = projection.fit_transform(np.asarray(codes, np.float32))
    perplexity = options.usable_perplexity(num_codes)
    tsne = sklearn.manifold.TSNE(
        init=options.start if num_components > 1 else "random",
        perplexity=perplexity,
        max_iter=options.num_iterations,
        random_state=_seed(key),
    )
    points = tsne.fit_transform(scores)
    explained = float(projection.explained_variance_ratio_.sum())
    return points, scores, explained, float(tsne.kl_divergence_), perplexity


def kmeans(
    key: Key,
    points: Float[np.ndarray, "n d"],
    *,
    num_clusters: int,
    num_restarts: int,
    max_sweeps: int,
) -> Int[np.ndarray, " n"]:
    """The cluster of each point by ``KMeans``, in no particular order."""
    import sklearn.cluster

    model = sklearn.cluster.KMeans(
        num_clusters, n_init=num_restarts, max_iter=max_sweeps, random_state=_seed(key)
    )
    return model.fit_predict(np.asarray(points, np.float64))


def _seed(key: Key) -> int:
    return int(generator(key).integers(np.iinfo(np.int32).max))
