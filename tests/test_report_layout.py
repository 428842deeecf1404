"""The map in its square and the ring of facets about it."""

import itertools

import numpy as np
import pytest

from mfvjax.report.layout import GAP, fit_map, ring


def boxes(around):
    """Left, top, right, bottom of the map and of every tile."""
    corners = np.vstack([around.map_corner, around.corners])
    sides = np.array([1.0] + [around.tile] * len(around.corners))[:, None]
    return np.hstack([corners, corners + sides])


def random_centroids(count, seed=0):
    return np.random.default_rng(seed).uniform(0.1, 0.9, (count, 2))


@pytest.mark.parametrize("shape", [(1.0, 1.0), (30.0, 3.0), (1e-3, 5e-3)])
def test_the_map_fills_its_square_in_its_proportions(shape):
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (50, 2)) * shape + 7
    centroids = points[:3]
    fitted, fitted_centroids = fit_map(points, centroids, margin=0.1)
    np.testing.assert_allclose(np.ptp(fitted, axis=0).max(), 0.8)
    assert fitted.min() > 0.1 - 1e-9
    assert fitted.max() < 0.9 + 1e-9
    flipped = fitted * [1, -1]
    ratio = np.linalg.norm(flipped[0] - flipped[1]) / np.linalg.norm(points[0] - points[1])
    np.testing.assert_allclose(flipped - flipped[0], (points - points[0]) * ratio, atol=1e-9)
    np.testing.assert_allclose(fitted_centroids, fitted[:3])


def test_points_that_are_all_the_same_stand_in_the_middle():
    fitted, centroids = fit_map(np.full((4, 2), 3.0), np.full((1, 2), 3.0))
    np.testing.assert_allclose(fitted, 0.5)
    np.testing.assert_allclose(centroids, 0.5)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 10, 11, 14, 25, 40])
def test_tiles_lie_apart_and_inside(count):
    around = ring(random_centroids(count))
    placed = boxes(around)
    for a, b in itertools.combinations(placed, 2):
        apart = max(b[0] - a[2], a[0] - b[2], b[1] - a[3], a[1] - b[3])
        assert apart > 1e-6
    assert placed[:, :2].min() > -1e-9
    assert (placed[:, 2:].max(0) < np.array(around.size) + 1e-9).all()
    # The lines start at the middle of an edge, a gap away from the map.
    left, top = around.map_corner
    x, y = around.joints.T
    outside = np.maximum.reduce([left - x, x - left - 1, top - y, y - top - 1])
    np.testing.assert_allclose(outside, GAP, atol=1e-9)
    middle = around.corners + around.tile / 2
    offsets = np.sort(np.abs(around.joints - middle), axis=1)
    np.testing.assert_allclose(offsets, [[0, around.tile / 2]] * count, atol=1e-9)


@pytest.mark.parametrize("count", [2, 5, 10, 12])
def test_no_turn_of_the_ring_has_shorter_lines(count):
    """By trying: every order that goes around the middle as the centroids do."""
    centroids = random_centroids(count, seed=count)
    around = ring(centroids)
    tiles = around.corners + around.tile / 2 - around.map_corner
    angle = np.arctan2(*(tiles - 0.5).T[::-1])
    clockwise = tiles[np.argsort(angle)]
    order = np.argsort(np.arctan2(*(centroids - 0.5).T[::-1]))

    def length(turn):
        return sum(
            (clockwise[(i + turn) % count] - centroids[facet])
            @ (clockwise[(i + turn) % count] - centroids[facet])
            for i, facet in enumerate(order)
        )

    chosen = ((tiles - centroids) ** 2).sum()
    np.testing.assert_allclose(chosen, min(map(length, range(count))), rtol=1e-9)


def test_each_facet_stands_on_its_own_side():
    angle = np.radians([200, 160, 20, -20, 100, -100, 80, -80, 150, 30, -150, -30])
    centroids = 0.5 + 0.4 * np.stack([np.cos(angle), np.sin(angle)], 1)
    around = ring(centroids)
    tiles = around.corners + around.tile / 2 - around.map_corner - 0.5
    cosine = (tiles * (centroids - 0.5)).sum(1) / np.linalg.norm(tiles, axis=1) / 0.4
    assert cosine.min() > 0.8
