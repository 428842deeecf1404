"""Ranks, probabilities and leave-one-out scores, against SciPy, scikit-learn and slow loops."""

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.special
import scipy.stats
from sklearn.model_selection import LeaveOneOut
from sklearn.neighbors import NearestCentroid

from mfvjax.metrics import (
    activation_ratio,
    class_probabilities,
    class_ranks,
    code_retention,
    leave_one_out_percentile,
    leave_one_out_recall,
    nearest_code_retention,
    similarity_percentile,
)
from tests.test_metrics_codes import clusters


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ranks_and_probabilities_are_scipys(seed, dtype):
    rng = np.random.default_rng(seed)
    logits = np.round(rng.normal(0, 3, (20, 12)) * 2).astype(dtype) / 2  # with many ties
    for index in (0, 5, 11):
        ranks = scipy.stats.rankdata(-logits, method="max", axis=1)[:, index]
        np.testing.assert_array_equal(class_ranks(logits, index), ranks)
        shares = scipy.special.softmax(logits.astype(np.float64), axis=1)[:, index]
        np.testing.assert_allclose(class_probabilities(logits, index), shares, rtol=1e-12)


def test_ranks_never_flatter():
    logits = np.array([[1.0, 1.0, 1.0], [3.0, 2.0, 1.0], [np.nan, 1.0, 2.0], [1.0, np.nan, np.inf]])
    np.testing.assert_array_equal(class_ranks(logits, 0), [3, 1, 3, 3])
    share = class_probabilities(np.array([[1000.0, 0.0], [np.nan, 0.0], [np.inf, 0.0]]), 0)
    np.testing.assert_array_equal(share, [1, np.nan, np.nan])
    for score in (class_ranks, class_probabilities):
        for index in (-1, 3):
            with pytest.raises(ValueError, match=f"class {index}: the classes are 0 to 2"):
                score(logits, index)


def test_ratio_is_the_multiple_of_the_largest_real_one():
    real = np.array([1.0, 4.0, -3.0])
    shown = np.array([8.0, 4.0, -2.0, np.nan])
    np.testing.assert_array_equal(activation_ratio(shown, real), [2, 1, -0.5, np.nan])
    assert np.isnan(activation_ratio(shown, np.array([-1.0, 0.0]))).all()
    for wrong in (np.zeros(0), np.array([1.0, np.inf])):
        with pytest.raises(ValueError, match="at least one activation, all finite"):
            activation_ratio(shown, wrong)


@pytest.mark.parametrize("seed", range(3))
def test_leave_one_out_recall_is_scikit_learns(seed):
    codes, assignment = clusters(seed, spread=6.0)
    codes = codes.astype(np.float64)
    expected = []
    for rest, [left] in LeaveOneOut().split(codes):
        known = NearestCentroid().fit(codes[rest], assignment[rest])
        expected.append(known.predict(codes[[left]])[0] == assignment[left])
    hits, margins = leave_one_out_recall(codes, assignment, num_facets=5)
    assert 5 < sum(expected) < len(expected) - 5  # both answers occur
    np.testing.assert_array_equal(hits, expected)
    np.testing.assert_array_equal(hits == 1, margins > 0)


def test_an_image_has_no_share_in_its_own_centroid():
    # With itself in the mean, the last image would be nearest to its own facet's centroid.
    codes = np.array([[0.0, 1.0], [0.0, -1.0], [6.0, 0.0], [14.0, 0.0], [1.5, 0.0]])
    assignment = np.array([0, 0, 1, 1, 1])
    hits, margins = leave_one_out_recall(codes, assignment, num_facets=2)
    np.testing.assert_array_equal(hits, [1, 1, 1, 1, 0])
    np.testing.assert_allclose(margins[4], (1.5 - 8.5) / 10)


def test_the_only_image_of_a_facet_has_no_ceiling():
    codes, assignment = np.eye(3), np.array([0, 0, 1])
    hits, margins = leave_one_out_recall(codes, assignment, num_facets=2)
    assert np.isfinite(hits[:2]).all()
    assert np.isnan(hits[2])
    assert np.isnan(margins[2])
    assert np.isnan(leave_one_out_percentile(codes, assignment)[2])
    alone = similarity_percentile(codes[:1], np.array([1]), codes, assignment)
    assert np.isnan(alone).all()


def test_bad_codes_and_facets_are_named():
    codes, assignment = np.eye(3), np.array([0, 0, 1])
    with pytest.raises(ValueError, match="must name a facet of every image"):
        leave_one_out_recall(codes, np.array([0, -1, 1]), num_facets=2)
    with pytest.raises(ValueError, match=r"facets without a real image: \[2\]"):
        leave_one_out_recall(codes, assignment, num_facets=3)
    with pytest.raises(ValueError, match="centroids must be finite"):
        leave_one_out_recall(np.full((3, 3), np.inf), assignment, num_facets=2)
    with pytest.raises(ValueError, match="facet 2 has no real image"):
        similarity_percentile(codes, np.array([0, 1, 2]), codes, assignment)


@pytest.mark.parametrize("seed", range(3))
def test_similarity_percentile_in_slow_steps(seed):
    codes, assignment = clusters(seed, num_images=40)
    shown = np.random.default_rng(seed).uniform(0, 4, (5, codes.shape[1])).astype(np.float32)
    shown[1] = codes[assignment == 1].mean(0) * 7  # its own centroid, however strong
    found = similarity_percentile(shown, np.arange(5), codes, assignment)
    of_real = leave_one_out_percentile(codes, assignment)
    for facet in range(5):
        members = [
            c.astype(np.float64) for c, a in zip(codes, assignment, strict=True) if a == facet
        ]
        among = []
        for i, code in enumerate(members):
            others = np.mean([c for j, c in enumerate(members) if j != i], axis=0)
            among.append(1 - scipy.spatial.distance.cosine(code, others))
        own = 1 - scipy.spatial.distance.cosine(shown[facet], np.mean(members, axis=0))
        expected = scipy.stats.percentileofscore(among, own, kind="mean")
        np.testing.assert_allclose(found[facet], expected, atol=1e-9)
        expected = [scipy.stats.percentileofscore(among, value, kind="mean") for value in among]
        np.testing.assert_allclose(np.sort(of_real[assignment == facet]), np.sort(expected))
        assert of_real[assignment == facet].mean() == pytest.approx(50)
    assert found[1] == 100


def test_similarity_of_nothing_is_not_defined():
    codes, assignment = np.eye(4), np.array([0, 0, 1, 1])
    shown = np.array([[0.0] * 4, [np.nan] * 4])
    assert np.isnan(similarity_percentile(shown, np.array([0, 1]), codes, assignment)).all()


def test_retention_among_the_nearest_images_leaves_out_blank_rows():
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (3, 4, 2, 2, 3)).astype(np.float32)
    nearest = np.arange(12).reshape(3, 4)
    nearest[2, 2:] = -1
    shown = rng.uniform(0, 255, (3, 12))

    def read(some):
        assert len(some) == 4  # one shape, so that one program does
        return some.reshape(4, 12).astype(np.float64)

    found = nearest_code_retention(read, shown, images, nearest)
    flat = np.concatenate([images[0], images[1], images[2, :2]]).reshape(10, 12)
    facets = np.array([0] * 4 + [1] * 4 + [2] * 2)
    expected = code_retention(shown, np.arange(3), flat.astype(np.float64), facets)
    np.testing.assert_array_equal(found, expected)
