"""Maps of many units: each as if it were alone; scikit-learn's on request; errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from mfvjax.facets.embed import EmbedOptions, _embed, embed_codes, embed_many
from tests.oracles import tsne as oracle
from tests.test_pca import rectified_codes
from tests.unchecked import without_type_checks

SIZES = (70, 128, 90)
FEW = EmbedOptions(num_components=10, num_iterations=250)


@pytest.fixture(scope="module")
def units():
    codes = [rectified_codes(n, 40, seed=n) for n in SIZES]
    return [jax.random.key(i) for i in range(len(SIZES))], codes


@pytest.fixture(scope="module")
def maps(units):
    return embed_many(*units, options=FEW, units_at_once=1)


def test_a_unit_comes_out_as_if_alone(units, maps):
    before = _embed._cache_size()
    for key, codes, together in zip(*units, maps, strict=True):
        alone = embed_codes(key, codes, options=FEW)
        np.testing.assert_array_equal(alone.points, together.points)
        np.testing.assert_array_equal(alone.scores, together.scores)
    assert _embed._cache_size() == before  # one padded shape, one program


def test_units_side_by_side(units, maps):
    """Another program rounds otherwise, and descent amplifies that: the maps are equally good."""
    for one, other, codes in zip(
        maps, embed_many(*units, options=FEW, units_at_once=2), units[1], strict=True
    ):
        spread = other.scores[:, 0].std()
        np.testing.assert_allclose(other.scores, one.scores, atol=1e-4 * spread)
        assert other.points.shape == (len(codes), 2)
        assert other.divergence == pytest.approx(one.divergence, rel=0.02)


def test_what_is_told_of_a_map(units, maps):
    codes, found = units[1][0], maps[0]
    theirs = PCA(10, svd_solver="full").fit(codes)
    assert found.explained == pytest.approx(theirs.explained_variance_ratio_.sum(), rel=1e-4)
    assert found.perplexity == 23  # a third of the others
    similarities = oracle.joint_similarities(found.scores, 23.0)
    expected = oracle.divergence(similarities, found.points)
    assert found.divergence == pytest.approx(expected, rel=1e-3)


def test_random_starts_differ_by_key(units):
    codes = units[1][0]
    options = EmbedOptions(num_components=10, num_iterations=250, start="random")
    first, again, other = embed_many(
        [jax.random.key(0), jax.random.key(0), jax.random.key(1)], [codes] * 3, options=options
    )
    np.testing.assert_array_equal(first.points, again.points)
    assert np.abs(first.points - other.points).max() > 1


def test_scikit_learns_own(units):
    codes = units[1][0]
    options = EmbedOptions(num_components=10, num_iterations=250, method="scikit-learn")
    found = embed_codes(jax.random.key(0), codes, options=options)
    scores = PCA(10, svd_solver="full").fit_transform(codes)
    np.testing.assert_array_equal(found.scores, scores)
    model = TSNE(init="pca", perplexity=23.0, max_iter=250, random_state=0)
    model.fit(scores)
    # Its random state only seeds what the PCA start leaves to chance: nothing.
    assert found.divergence == pytest.approx(model.kl_divergence_, rel=0.05)
    assert found.perplexity == 23


def test_few_codes():
    """Five codes have a map, in as many components as they can have."""
    found = embed_codes(jax.random.key(0), rectified_codes(5, 40))
    assert found.scores.shape == (5, 4)
    assert found.points.shape == (5, 2)
    assert found.perplexity == pytest.approx(4 / 3)
    assert found.explained == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((1, 3), np.float32), "at least 5 images, got 1 image$"),
        (np.zeros((4, 3), np.float32), "at least 5 images, got 4 images"),
        (np.ones((6, 3), np.float32), "all 6 images have the same code"),
        (np.zeros((6, 3), np.float32), "all 6 images have the same code"),
        (np.diag([1, 1, 1, np.nan, 1, 1]).astype(np.float32), "code of image 3 is not finite"),
    ],
)
def test_codes_without_a_map(codes, message):
    with pytest.raises(ValueError, match=message):
        embed_codes(jax.random.key(0), codes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "umap"}, 'method must be "jax" or "scikit-learn"'),
        ({"start": "spectral"}, 'start must be "pca" or "random"'),
        ({"num_components": 0}, "num_components must be at least 1"),
        ({"perplexity": 1.0}, "perplexity above 1"),
        ({"num_iterations": 249}, "num_iterations must be at least 250, got 249"),
    ],
)
def test_option_errors(options, message):
    with pytest.raises(ValueError, match=message):
        without_type_checks(EmbedOptions)(**options)


def test_call_errors(units):
    keys, codes = units
    with pytest.raises(ValueError, match="3 units and 2 keys"):
        embed_many(keys[:2], codes)
    with pytest.raises(ValueError, match="units_at_once must be at least 1, got 0"):
        embed_many(keys, codes, units_at_once=0)
    assert jnp.asarray(codes[0]).dtype == jnp.float32
