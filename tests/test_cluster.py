"""k-means against scikit-learn's and against all partitions; empty clusters, padding, order."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from mfvjax.facets.cluster import _sweeps, kmeans, partition, start_draws
from tests.unchecked import without_type_checks


def blob(n=320, d=2, seed=0):
    """Without clusters: the hardest case for k-means, many local optima."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * np.linspace(3, 1, d)).astype(np.float32)


def inertia_of(points, assignment):
    points = np.asarray(points, np.float64)
    assignment = np.asarray(assignment)
    groups = [points[assignment == cluster] for cluster in np.unique(assignment)]
    return sum(((group - group.mean(0)) ** 2).sum() for group in groups)


@pytest.mark.parametrize(("d", "k"), [(2, 3), (2, 10), (50, 10)])
def test_inertia_as_low_as_scikit_learns(d, k):
    points = blob(d=d)
    ours = kmeans(jax.random.key(0), points, num_clusters=k, num_restarts=10)
    theirs = KMeans(k, n_init=10, random_state=0).fit(np.asarray(points, np.float64))
    assert ours.inertia <= 1.01 * theirs.inertia_
    assert float(ours.inertia) == pytest.approx(inertia_of(points, ours.assignment), rel=1e-4)


def test_finds_the_best_of_all_partitions():
    points = blob(9, seed=3)
    best = min(
        inertia_of(points, labels)
        for labels in itertools.product(range(3), repeat=9)
        if len(set(labels)) == 3
    )
    found = kmeans(jax.random.key(0), points, num_clusters=3)
    assert float(found.inertia) == pytest.approx(best, rel=1e-5)


def test_what_is_returned():
    points = blob()
    found = kmeans(jax.random.key(1), points, num_clusters=7)
    assignment, sizes = np.asarray(found.assignment), np.asarray(found.sizes)
    np.testing.assert_array_equal(np.bincount(assignment), sizes)
    assert (np.diff(sizes) <= 0).all()
    for cluster in range(7):
        mean = np.asarray(points)[assignment == cluster].mean(0)
        np.testing.assert_allclose(found.centroids[cluster], mean, atol=1e-5)
    distances = ((np.asarray(points)[:, None] - np.asarray(found.centroids)) ** 2).sum(-1)
    np.testing.assert_array_equal(distances.argmin(1), assignment)  # a fixed point of Lloyd's
    again = kmeans(jax.random.key(1), points, num_clusters=7)
    np.testing.assert_array_equal(again.assignment, assignment)


def test_equal_sizes_are_ordered_by_first_member():
    points = np.array([[9.0, 0], [0, 0], [0.1, 0], [9.1, 0], [5, 0]])
    found = kmeans(jax.random.key(0), points, num_clusters=3)
    np.testing.assert_array_equal(found.assignment, [0, 1, 1, 0, 2])
    np.testing.assert_allclose(found.centroids, [[9.05, 0], [0.05, 0], [5, 0]], rtol=1e-6)


def test_one_cluster_and_one_point_each():
    points = blob(12)
    one = kmeans(jax.random.key(0), points, num_clusters=1)
    np.testing.assert_allclose(one.centroids[0], points.mean(0), atol=1e-6)
    each = kmeans(jax.random.key(0), points[:10], num_clusters=10)
    assert sorted(np.asarray(each.assignment)) == list(range(10))
    assert float(each.inertia) == 0


def test_empty_clusters_move_to_the_farthest_points():
    points = jnp.asarray([[0.0], [1.0], [2.0], [50.0], [90.0]])
    # Two of three centroids are too far for any point.
    starts = jnp.asarray([[1.0], [-1e4], [-2e4]])
    args = (points, jnp.ones(5, bool), jnp.ones(3, bool), starts)
    assignment = np.asarray(_sweeps(*args))
    assert len({assignment[3], assignment[4], assignment[0]}) == 3
    assert (assignment[:3] == assignment[0]).all()
    # Without them: more slots than clusters stay empty.
    some = _sweeps(points, jnp.ones(5, bool), jnp.asarray([True, True, False]), starts)
    assert set(np.asarray(some).tolist()) == {0, 1}


def test_many_copies():
    """As many clusters as different points, though nearly all points are one."""
    points = np.array([[0.0, 0.0]] * 40 + [[1.0, 0.0], [0.0, 3.0]])
    found = kmeans(jax.random.key(0), points, num_clusters=3)
    np.testing.assert_array_equal(found.sizes, [40, 1, 1])
    assert float(found.inertia) == 0


def test_padding_influences_nothing():
    points = blob(60)
    draws = start_draws(jax.random.key(0), 10, num_slots=10)
    results = []
    for rubbish in (0.0, 1e6, jnp.nan):
        padded = jnp.concatenate([points, jnp.full((4, 2), rubbish, jnp.float32)])
        results.append(partition(draws, padded, jnp.arange(64) < 60, jnp.int32(4)))
    alone = kmeans(jax.random.key(0), points, num_clusters=4)
    for result in results:
        np.testing.assert_array_equal(result, results[0])
        assert (result[60:] == -1).all()
        assert adjusted_rand_score(result[:60], alone.assignment) == 1


def test_numbers_of_clusters_side_by_side():
    """One program for all of them, each as if alone."""
    points = blob(64)
    draws = start_draws(jax.random.key(0), 10, num_slots=10)
    numbers = jnp.asarray([1, 2, 5], jnp.int32)
    together = jax.vmap(lambda k: partition(draws, points, jnp.ones(64, bool), k))(numbers)
    for assignment, number in zip(np.asarray(together), numbers.tolist(), strict=True):
        alone = kmeans(jax.random.key(0), points, num_clusters=number)
        assert assignment.max() == number - 1
        assert adjusted_rand_score(assignment, alone.assignment) == 1


def test_scikit_learns_own():
    points = blob()
    ours = kmeans(jax.random.key(0), points, num_clusters=5, method="scikit-learn")
    assert (np.diff(ours.sizes) <= 0).all()
    assert float(ours.inertia) == pytest.approx(inertia_of(points, ours.assignment), rel=1e-4)
    best = KMeans(5, n_init=50, random_state=0).fit(np.asarray(points, np.float64)).inertia_
    assert float(ours.inertia) <= 1.01 * best


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_clusters": 0}, "num_clusters and num_restarts must be at least 1, got 0 and 10"),
        ({"num_clusters": 2, "num_restarts": 0}, "must be at least 1, got 2 and 0"),
        ({"num_clusters": 6}, "6 clusters need as many images that differ; of 5 images 2 differ"),
    ],
)
def test_errors(options, message):
    points = np.array([[0.0, 0.0]] * 4 + [[1.0, 0.0]])
    with pytest.raises(ValueError, match=message):
        kmeans(jax.random.key(0), points, **options)


def test_wrong_method_is_told():
    function = without_type_checks(kmeans)
    with pytest.raises(ValueError, match='method must be "jax" or "scikit-learn", got \'fast\''):
        function(jax.random.key(0), blob(5), num_clusters=2, method="fast")
