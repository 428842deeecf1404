"""How many facets: silhouettes, stability and the answer, on codes whose facets are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import adjusted_rand_score, silhouette_score

from mfvjax.facets.embed import embed_codes
from mfvjax.facets.num_facets import choose_num_facets, null_codes, silhouette
from mfvjax.facets.stability import adjusted_rand_index, bootstrap_stability, contingency


@pytest.fixture(scope="module")
def disc():
    """Points evenly in a disc, as t-SNE lays out codes without clusters."""
    rng = np.random.default_rng(0)
    angle, radius = rng.uniform(0, 2 * np.pi, 64), np.sqrt(rng.uniform(size=64))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32)


def partitions(n, seed=0):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 4, n)
    return first, np.where(rng.random(n) < 0.6, first, rng.integers(0, 6, n))


def test_silhouette_equals_scikit_learns(disc):
    labels, _ = partitions(len(disc))
    labels[labels == 3] = 5  # an empty slot in between
    labels[7] = 8  # a point alone
    distances = np.linalg.norm(disc[:, None] - disc[None], axis=-1)
    expected = silhouette_score(disc, labels)
    ours = silhouette(jnp.asarray(distances), jnp.asarray(labels, jnp.int32), num_slots=10)
    assert float(ours) == pytest.approx(expected, abs=1e-5)
    padded = np.full((94, 94), 1e3, np.float32)
    padded[:64, :64] = distances
    labels = np.concatenate([labels, np.full(30, -1)]).astype(np.int32)
    ours = silhouette(jnp.asarray(padded), jnp.asarray(labels), num_slots=10)
    assert float(ours) == pytest.approx(expected, abs=1e-5)


def test_adjusted_rand_index_equals_scikit_learns():
    first, second = partitions(50)
    for a, b in [(first, second), (first, first), (first, np.zeros(50, int)), (first[:1],) * 2]:
        assert adjusted_rand_index(contingency(a, b)) == pytest.approx(adjusted_rand_score(a, b))
    np.testing.assert_array_equal(
        contingency(np.array([0, 1, 1]), np.array([1, 0, 1])), [[0, 1], [1, 1]]
    )


def test_stability(disc):
    """Clumps come back from every resample; slices of a disc do not."""
    clumps = np.repeat(np.array([[0.0, 0], [8, 0], [0, 8]]), 20, axis=0) + disc[:60]
    labels = np.repeat(np.arange(3), 20)
    stable = bootstrap_stability(jax.random.key(0), clumps.astype(np.float32), labels)
    assert stable.agreement == pytest.approx(1)
    np.testing.assert_allclose(stable.jaccard, 1)
    slices = (np.arctan2(disc[:, 1], disc[:, 0]) > 0).astype(int)
    unstable = bootstrap_stability(jax.random.key(0), disc, slices)
    assert unstable.agreement < 0.6
    assert unstable.jaccard.shape == (2,)
    assert unstable.jaccard.max() < 0.85


def test_one_cluster_is_stable(disc):
    found = bootstrap_stability(jax.random.key(0), disc, np.zeros(64, int))
    assert (found.agreement, found.jaccard.tolist()) == (1.0, [1.0])


def test_null_codes_have_the_spread_and_no_more():
    """Two clumps along the first axis are gone, their spread is not."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(400, 3)) * [2, 3, 1]
    scores[:200, 0] += 20
    scores -= scores.mean(0)
    assert scipy.stats.kurtosis(scores[:, 0]) < -1.5
    nulls = null_codes(jax.random.key(0), scores.astype(np.float32), 5)
    assert len(nulls) == 5
    for null in nulls:
        np.testing.assert_allclose(null.std(0), scores.std(0), rtol=0.15)
        assert abs(scipy.stats.kurtosis(null[:, 0])) < 0.8
    assert np.abs(nulls[0] - nulls[1]).max() > 1


def mixture(num_facets, n=64, d=30, apart=6.0, seed=0):
    """Rectified normal codes around `num_facets` centers, of unequal shares."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(
        num_facets, n, p=np.arange(3, 3 + num_facets) / sum(range(3, 3 + num_facets))
    )
    centers = rng.normal(size=(num_facets, d))
    centers *= apart / np.linalg.norm(centers, axis=1, keepdims=True)
    spread = np.arange(1, d + 1) ** -0.3
    return np.maximum(centers[labels] + rng.normal(size=(n, d)) * spread + 1, 0), labels


@pytest.mark.parametrize("num_facets", [1, 2, 4])
def test_finds_the_number(num_facets):
    codes, _ = mixture(num_facets)
    embedding = embed_codes(jax.random.key(0), codes.astype(np.float32))
    found = choose_num_facets(jax.random.key(0), embedding)
    assert found.num_facets == num_facets, found.reason
    assert found.tried == tuple(range(2, 11))
    assert found.null_silhouettes.shape == (10, 9)
    told = found.to_json()
    assert told["num_facets"] == num_facets
    assert told["tried"][-1] == 10
    at = found.best - 2
    assert f"silhouette {found.silhouettes[at]:.2f} of {found.best} clusters" in told["reason"]


def test_few_images_limit_the_number():
    codes, _ = mixture(2, n=20)
    embedding = embed_codes(jax.random.key(0), codes.astype(np.float32))
    assert choose_num_facets(jax.random.key(0), embedding, num_nulls=2).tried == (2, 3, 4)


def test_errors(disc):
    embedding = embed_codes(jax.random.key(0), disc)
    with pytest.raises(ValueError, match=r"max_facets must be at least 2 .* got 1 and 10"):
        choose_num_facets(jax.random.key(0), embedding, max_facets=1)
    with pytest.raises(ValueError, match="num_nulls at least 1, got 10 and 0"):
        choose_num_facets(jax.random.key(0), embedding, num_nulls=0)
    with pytest.raises(ValueError, match="num_resamples must be at least 1, got 0"):
        bootstrap_stability(jax.random.key(0), disc, np.zeros(64, int), num_resamples=0)
