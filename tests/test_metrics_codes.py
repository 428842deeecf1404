"""Numbers about activations and codes, against SciPy, scikit-learn and cases known by hand."""

import warnings

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
from sklearn.neighbors import NearestCentroid

from mfvjax.metrics import (
    activation_percentile,
    code_centroids,
    code_diversity,
    code_retention,
    facet_recall,
    homogeneity,
)

SQUARE = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [40.0, 40.0]])


def clusters(seed, num_facets=5, num_images=60, width=20, spread=1.5):
    """Codes behind a ReLU in noisy clusters: codes, assignment."""
    rng = np.random.default_rng(seed)
    assignment = np.concatenate([np.arange(num_facets), rng.integers(0, num_facets, num_images)])
    centers = rng.uniform(0, 4, (num_facets, width))
    codes = centers[assignment] + rng.normal(0, spread, (len(assignment), width))
    return np.maximum(codes, 0).astype(np.float32), assignment


def to_unit(codes):
    return codes / np.sqrt((codes**2).sum(1))[:, None]


@pytest.mark.parametrize("seed", range(3))
def test_percentile_equals_scipys(seed):
    rng = np.random.default_rng(seed)
    real = rng.integers(0, 9, 40).astype(np.float32)  # with many ties
    shown = np.concatenate([rng.integers(-1, 10, 9), rng.normal(4, 3, 9)])
    expected = [scipy.stats.percentileofscore(real, value, kind="mean") for value in shown]
    np.testing.assert_allclose(activation_percentile(shown, real), expected, rtol=1e-12)


def test_percentile_of_known_cases():
    real = np.array([1.0, 2.0, 3.0, 4.0])
    shown = np.array([9.0, -9.0, 2.5, 4.0, np.nan, np.inf])
    percent = activation_percentile(shown, real)
    np.testing.assert_array_equal(percent, [100, 0, 50, 87.5, np.nan, 100])
    for wrong in (np.zeros(0), np.array([1.0, np.nan])):
        with pytest.raises(ValueError, match="at least one activation, all finite"):
            activation_percentile(shown, wrong)


def test_centroids_are_means_of_members():
    codes, assignment = clusters(0)
    assignment[-3:] = -1
    found = code_centroids(codes, assignment, num_facets=5)
    for facet in range(5):
        members = [
            c.astype(np.float64) for c, a in zip(codes, assignment, strict=True) if a == facet
        ]
        np.testing.assert_allclose(found[facet], sum(members) / len(members), rtol=1e-12)
    with pytest.raises(ValueError, match=r"facets without a real image: \[5, 6\]"):
        code_centroids(codes, assignment, num_facets=7)
    for wrong in (assignment + 1, assignment - 1):
        with pytest.raises(ValueError, match="assignment must be -1 to 4"):
            code_centroids(codes, wrong, num_facets=5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_recall_equals_the_nearest_centroid_classifier(seed, distance):
    codes, assignment = clusters(seed, spread=6.0)
    codes += np.float32(0.01)  # none is 0
    centroids = code_centroids(codes, assignment, num_facets=5)
    own = np.random.default_rng(seed).integers(0, 5, len(codes))
    hits, margin = facet_recall(codes, own, centroids, distance=distance)
    if distance == "cosine":
        cosines = 1 - scipy.spatial.distance.cdist(codes, centroids, "cosine")
        nearest = cosines.argmax(1)
    else:
        exact = codes.astype(np.float64)
        nearest = NearestCentroid().fit(exact, assignment).predict(exact)
    assert 5 < (nearest == own).sum() < len(own) - 5  # both answers occur
    np.testing.assert_array_equal(hits, nearest == own)
    np.testing.assert_array_equal(hits, margin > 0)
    assert np.abs(margin).max() <= 1


def test_margin_of_known_cases():
    codes = np.array([[0.0, 0.0], [4.0, 0.0], [2.0, 0.0], [1.0, 0.0], [3.0, 0.0], [-5.0, 0.0]])
    hits, margin = facet_recall(codes, np.zeros(6, int), SQUARE[:2])
    np.testing.assert_allclose(margin, [1, -1, 0, 0.5, -0.5, 1], atol=1e-12)
    np.testing.assert_array_equal(hits, [True, False, False, True, False, True])


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_margin_in_slow_steps(distance):
    codes, assignment = clusters(7)
    centroids = code_centroids(codes, assignment, num_facets=5)
    _, margin = facet_recall(codes, assignment, centroids, distance=distance)
    if distance == "cosine":
        codes, centroids = to_unit(codes.astype(np.float64)), to_unit(centroids)
    for code, facet, found in zip(codes, assignment, margin, strict=True):
        away = {f: np.sqrt(((code - centroids[f]) ** 2).sum()) for f in range(5)}
        to_own = away.pop(facet)
        rival = min(away, key=away.get)
        between = np.sqrt(((centroids[facet] - centroids[rival]) ** 2).sum())
        np.testing.assert_allclose(found, (away[rival] - to_own) / between, atol=1e-6)


def test_cosine_is_blind_to_the_strength_of_a_code():
    codes, assignment = clusters(1)
    centroids = code_centroids(codes, assignment, num_facets=5)
    strong = codes * np.float32(7)
    usual = facet_recall(codes, assignment, centroids, distance="cosine")[1]
    np.testing.assert_allclose(
        facet_recall(strong, assignment, centroids, distance="cosine")[1], usual, atol=1e-6
    )
    plain = facet_recall(strong, assignment, centroids)[1]
    assert np.abs(plain - facet_recall(codes, assignment, centroids)[1]).max() > 0.1


def test_recall_where_it_is_not_defined():
    codes = np.array([[np.nan, 0], [0.0, 0.0], [1.0, 1.0]])
    hits, margin = facet_recall(codes, np.array([0, 1, 0]), SQUARE)
    np.testing.assert_array_equal(hits, [False, False, True])
    assert np.isnan(margin[0])
    hits, margin = facet_recall(codes, np.zeros(3, int), SQUARE[1:], distance="cosine")
    np.testing.assert_array_equal(np.isnan(margin), [True, True, False])
    assert not hits[:2].any()
    alone = facet_recall(codes, np.zeros(3, int), SQUARE[:1])
    np.testing.assert_array_equal(alone[0], [False, True, True])
    assert np.isnan(alone[1]).all()
    same = facet_recall(codes, np.zeros(3, int), SQUARE[[1, 1]])
    assert not same[0].any()
    np.testing.assert_array_equal(same[1], [np.nan, 0, 0])


def test_recall_refuses_what_it_cannot_judge():
    codes = np.zeros((2, 2))
    for own in ([0, 4], [-1, 0]):
        with pytest.raises(ValueError, match="own must be facets 0 to 3, got"):
            facet_recall(codes, np.array(own), SQUARE)
    with pytest.raises(ValueError, match=r'not 0 with "cosine"; not so: \[0\]'):
        facet_recall(codes, np.array([0, 1]), SQUARE, distance="cosine")
    with pytest.raises(ValueError, match=r"centroids must be finite.* \[1\]"):
        facet_recall(codes, np.array([0, 0]), np.array([[0, 0], [np.nan, 1]]))


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_retention_counts_the_members_that_are_farther_away(distance):
    codes, assignment = clusters(3)
    rng = np.random.default_rng(3)
    shown = codes[rng.permutation(len(codes))[:8]] + np.float32(0.3)
    own = rng.integers(0, 5, 8)
    found = code_retention(shown, own, codes, assignment, distance=distance)
    if distance == "cosine":
        shown, codes = to_unit(shown.astype(np.float64)), to_unit(codes.astype(np.float64))
    for i, facet in enumerate(own):
        members = codes[assignment == facet].astype(np.float64)
        away = scipy.spatial.distance.cdist(members, [members.mean(0)])[:, 0]
        here = scipy.spatial.distance.euclidean(shown[i], members.mean(0))
        np.testing.assert_allclose(found[i], 100 * (away > here).mean(), atol=1e-9)


def test_retention_of_known_cases():
    ring = np.array([[1.0, 0], [-1, 0], [0, 2], [0, -2], [9, 9]])
    assignment = np.array([0, 0, 0, 0, -1])
    shown = np.array([[0.0, 0], [0, 1.5], [3, 0], [2, 0], [np.nan, 0]])
    found = code_retention(shown, np.zeros(5, int), ring, assignment)
    np.testing.assert_array_equal(found, [100, 50, 0, 25, np.nan])
    with pytest.raises(ValueError, match="facet 1 has no real image"):
        code_retention(shown, np.ones(5, int), ring, assignment)
    with pytest.raises(ValueError, match=r"real_codes must be finite.* \[1, 3\]"):
        code_retention(shown, np.zeros(5, int), np.where(ring < 0, np.inf, ring), assignment)


def test_unknown_distance():
    with pytest.raises(ValueError, match="distance must be"):
        facet_recall.__wrapped__(SQUARE, np.arange(4), SQUARE, distance="manhattan")


def mean_cosine_distance(codes):
    return scipy.spatial.distance.pdist(codes, "cosine").mean()


def test_diversity_is_a_ratio_of_mean_cosine_distances():
    rng = np.random.default_rng(0)
    codes, centroids = rng.uniform(0, 1, (2, 6, 30))
    expected = mean_cosine_distance(codes) / mean_cosine_distance(centroids)
    np.testing.assert_allclose(code_diversity(codes, centroids), expected, rtol=1e-10)
    strength = rng.uniform(0.5, 3, (6, 1))
    np.testing.assert_allclose(code_diversity(codes * strength, centroids), expected, rtol=1e-10)


def test_diversity_of_known_cases():
    centroids = np.eye(4)
    one_code = np.ones((4, 4)) * np.arange(1.0, 5.0)[:, None]
    assert code_diversity(centroids * 3, centroids) == 1
    assert abs(code_diversity(one_code, centroids)) < 1e-12
    assert code_diversity(np.array([[1.0, 0], [-1, 0]]), np.eye(2)) == 2
    for codes, others in [
        (centroids[:1], centroids[:1]),
        (centroids * 0, centroids),
        (centroids * np.nan, centroids),
        (centroids, one_code),
    ]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.isnan(code_diversity(codes, others))


def test_homogeneity_is_the_mean_similarity_of_pairs():
    codes, assignment = clusters(5)
    assignment[-4:] = -1
    found = homogeneity(codes, assignment, num_facets=5)
    for facet in range(5):
        pairs = scipy.spatial.distance.pdist(
            codes[assignment == facet].astype(np.float64), "cosine"
        )
        np.testing.assert_allclose(found[facet], 1 - pairs.mean(), rtol=1e-5)


def test_homogeneity_of_known_cases():
    codes = np.array([[1.0, 0], [5, 0], [1, 0], [0, 1], [1, 1], [0, 0], [3, 0]])
    assignment = np.array([0, 0, 1, 1, 2, 3, 3])
    found = homogeneity(codes, assignment, num_facets=5)
    np.testing.assert_allclose(found, [1, 0, np.nan, 0, np.nan], atol=1e-12)
