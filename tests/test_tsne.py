"""t-SNE against its slow float64 double; on real codes in ``test_facets_real.py``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfvjax.facets.tsne import (
    descend,
    joint_similarities,
    pca_start,
    random_start,
    tsne,
)
from tests.oracles import tsne as oracle


def clumps(sizes=(30, 20, 14), d=12, apart=5.0, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(len(sizes), d)) * apart / np.sqrt(2 * d)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    codes = centers[labels] + rng.normal(size=(len(labels), d)) * np.linspace(1.5, 0.3, d)
    return codes.astype(np.float32), labels


@pytest.mark.parametrize("perplexity", [3.0, 15.0])
def test_similarities_equal_the_oracle(perplexity):
    codes, _ = clumps()
    codes[40:42] = codes[5]  # two copies of a code
    ours = joint_similarities(jnp.asarray(codes), jnp.ones(64, bool), jnp.float32(perplexity))
    expected = oracle.joint_similarities(codes, perplexity)
    np.testing.assert_allclose(ours, expected, atol=2e-5 * expected.max())
    assert float(ours.sum()) == pytest.approx(1, abs=1e-5)


def test_more_copies_than_neighbors_share_the_row():
    codes, _ = clumps((20,))
    codes[:8] = codes[0]
    ours = np.asarray(joint_similarities(jnp.asarray(codes), jnp.ones(20, bool), jnp.float32(3)))
    assert np.isfinite(ours).all()
    among_copies = ours[:8, :8][~np.eye(8, dtype=bool)]
    np.testing.assert_allclose(among_copies, 1 / (7 * 20), rtol=1e-4)
    assert ours[:8, 8:].max() < among_copies.min()


@pytest.mark.parametrize("annealed", [True, False])
def test_steps_equal_the_oracle(annealed):
    codes, _ = clumps()
    # From a spread start: a tiny one takes longer to do anything, and then rounding decides.
    start = 2 * jax.random.normal(jax.random.key(1), (64, 2))
    ours = tsne(
        jnp.asarray(codes),
        start,
        perplexity=10.0,
        num_iterations=24,
        num_exaggerated=12,
        exaggeration=4.0,
        annealed=annealed,
        learning_rate=10.0,
    )
    i = np.arange(24)
    factors = np.maximum(4.0 ** (1 - i / 12), 1) if annealed else np.where(i < 12, 4.0, 1.0)
    similarities = oracle.joint_similarities(codes, 10.0)
    expected = oracle.descend(
        similarities,
        np.asarray(start),
        factors=factors,
        momenta=np.where(i < 12, 0.5, 0.8),
        learning_rate=10.0,
    )
    assert np.abs(expected - np.asarray(start)).max() > 3  # something happened
    np.testing.assert_allclose(ours.points, expected, atol=2e-3)
    expected_divergence = oracle.divergence(similarities, np.asarray(ours.points))
    assert float(ours.divergence) == pytest.approx(expected_divergence, rel=1e-4)


def whole_map(codes, **options):
    codes = jnp.asarray(codes)
    return tsne(codes, pca_start(codes - codes.mean(0)[None, :]), perplexity=10.0, **options)


def test_clumps_come_apart_and_twice_alike():
    codes, labels = clumps(apart=8.0)
    first, again = whole_map(codes), whole_map(codes)
    np.testing.assert_array_equal(first.points, again.points)
    points = np.asarray(first.points)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    same = labels[:, None] == labels[None]
    assert distances[same].max() < distances[~same].min()
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-3)


def test_padding_influences_nothing():
    codes, _ = clumps()
    scores = codes - codes.mean(0)
    options = {"perplexity": 10.0, "num_iterations": 20, "num_exaggerated": 10}
    maps = []
    for rubbish in (0.0, 7.0, np.nan):
        padded = np.full((80, 12), rubbish, np.float32)
        padded[:64] = scores
        start = np.full((80, 2), rubbish, np.float32)
        start[:64] = pca_start(jnp.asarray(scores))
        valid = jnp.arange(80) < 64
        maps.append(tsne(jnp.asarray(padded), jnp.asarray(start), valid=valid, **options))
    for other in maps[1:]:
        np.testing.assert_array_equal(other.points, maps[0].points)
        np.testing.assert_array_equal(other.divergence, maps[0].divergence)
    assert not maps[0].points[64:].any()
    alone = tsne(jnp.asarray(scores), pca_start(jnp.asarray(scores)), **options)
    size = np.abs(alone.points).max()
    np.testing.assert_allclose(maps[0].points[:64], alone.points, atol=1e-3 * size)
    assert float(maps[0].divergence) == pytest.approx(float(alone.divergence), rel=1e-4)


def test_starts():
    scores = jnp.asarray(np.random.default_rng(0).normal(size=(50, 3)), jnp.float32) * 7
    start = np.asarray(pca_start(scores))
    assert np.sqrt((start[:, 0] ** 2).mean()) == pytest.approx(1e-4, rel=1e-5)
    np.testing.assert_allclose(start[:, 1] / start[:, 0], scores[:, 1] / scores[:, 0], rtol=1e-5)
    np.testing.assert_array_equal(pca_start(scores[:, :1])[:, 1], 0)
    padded = jnp.concatenate([scores, jnp.zeros((14, 3))])
    np.testing.assert_allclose(pca_start(padded, jnp.arange(64) < 50)[:50], start, rtol=1e-6)
    drawn = random_start(jax.random.key(0), 4000)
    assert float(drawn.std()) == pytest.approx(1e-4, rel=0.05)


def test_options_enter_one_program():
    codes, _ = clumps()
    whole_map(codes)
    before = descend._cache_size()
    whole_map(codes, num_iterations=10, num_exaggerated=0, exaggeration=2.0, learning_rate=3.0)
    assert descend._cache_size() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"perplexity": 10.0}, "perplexity must be above 1 and below the number of codes, 10"),
        ({"perplexity": 1.0}, "perplexity must be above 1"),
        ({"num_iterations": 100}, "num_iterations must be at least num_exaggerated"),
        ({"exaggeration": 0.5}, "exaggeration must be at least 1, got 0.5"),
        ({"learning_rate": 0.0}, 'learning_rate must be "auto" or above 0, got 0.0'),
        ({"valid": np.arange(10) < 3}, "at least 4 codes, got 3"),
    ],
)
def test_errors(options, message):
    options = {"perplexity": 3.0, **options}
    if "valid" in options:
        options["valid"] = jnp.asarray(options["valid"])
    with pytest.raises(ValueError, match=message):
        tsne(jnp.ones((10, 3)), jnp.ones((10, 2)), **options)
