"""Principal components against scikit-learn's, and padding that influences nothing."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA

from mfvjax.facets.pca import pca


def rectified_codes(n, d, seed=0):
    """Like a layer's: not centered, rectified, correlated with a falling spectrum."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(40, d)) * np.arange(1, 41)[:, None] ** -0.6
    return np.maximum(rng.normal(size=(n, 40)) @ mixing + 0.3, 0).astype(np.float32)


@pytest.mark.parametrize("shape", [(200, 60), (70, 300)], ids=["covariances", "inner products"])
def test_equals_scikit_learn(shape):
    codes = rectified_codes(*shape)
    ours = pca(jnp.asarray(codes), num_components=20)
    theirs = PCA(20, svd_solver="full")
    scores = theirs.fit_transform(codes.astype(np.float64))
    spread = np.sqrt(theirs.explained_variance_[0])
    np.testing.assert_allclose(ours.scores, scores, atol=1e-4 * spread)
    np.testing.assert_allclose(ours.components, theirs.components_, atol=1e-4)
    np.testing.assert_allclose(ours.variances, theirs.explained_variance_, rtol=1e-4)
    explained = ours.variances / ours.total_variance
    np.testing.assert_allclose(explained, theirs.explained_variance_ratio_, rtol=1e-4)
    np.testing.assert_allclose(ours.mean, codes.mean(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(90, 20), (20, 90)])
def test_padding_influences_nothing(shape):
    codes = rectified_codes(*shape)
    alone = pca(jnp.asarray(codes), num_components=8)
    results = []
    for rubbish in (0.0, 1e6, np.nan, np.inf):
        padded = np.concatenate([codes, np.full((12, shape[1]), rubbish, np.float32)])
        valid = jnp.arange(len(padded)) < len(codes)
        results.append(pca(jnp.asarray(padded), num_components=8, valid=valid))
    for other in results[1:]:
        np.testing.assert_array_equal(other.scores, results[0].scores)
    assert not results[0].scores[len(codes) :].any()
    spread = float(jnp.sqrt(alone.variances[0]))
    np.testing.assert_allclose(results[0].scores[: len(codes)], alone.scores, atol=1e-4 * spread)
    np.testing.assert_allclose(results[0].total_variance, alone.total_variance, rtol=1e-5)


def test_no_more_components_than_codes_can_have():
    codes = rectified_codes(6, 30)
    assert pca(jnp.asarray(codes)).scores.shape == (6, 5)
    assert pca(jnp.asarray(rectified_codes(30, 4))).scores.shape == (30, 4)
    # Padded, the number of components stays; beyond the rank they are 0 instead of noise.
    padded = np.concatenate([codes, np.zeros((58, 30), np.float32)])
    scores = pca(jnp.asarray(padded), num_components=20, valid=jnp.arange(64) < 6).scores
    assert scores.shape == (64, 20)
    assert jnp.abs(scores[:6, :5]).max(0).min() > 0.01
    assert not scores[:, 5:].any()


def test_errors():
    with pytest.raises(ValueError, match="num_components must be at least 1, got 0"):
        pca(jnp.ones((5, 3)), num_components=0)
    with pytest.raises(ValueError, match="at least 2 codes, got 1"):
        pca(jnp.ones((1, 3)))
