"""Nearest members and mean images, against sorting by hand."""

import numpy as np
import pytest

from mfvjax.facets.means import group_rows, mean_image, mean_images, nearest_members, pick


def test_nearest_members():
    points = np.array([[0.0], [4.0], [1.0], [10.0], [9.0], [-1.0]], np.float32)
    assignment = np.array([0, 0, 0, 1, 1, 0])
    centroids = np.array([[1.0], [9.5]], np.float32)
    nearest = nearest_members(points, assignment, centroids, count=3)
    # 3 and 4 are equally near, the first comes first; cluster 1 has no third member.
    np.testing.assert_array_equal(nearest, [[2, 0, 5], [3, 4, -1]])


def test_nearest_members_are_members():
    """A point of another cluster may be nearer, and does not count."""
    points = np.array([[0.0, 0.0], [3.0, 0.0], [1.0, 0.0]], np.float32)
    nearest = nearest_members(points, np.array([0, 0, 1]), points[[0, 2]], count=2)
    np.testing.assert_array_equal(nearest, [[0, 1], [2, -1]])


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), np.uint8)


def test_mean_image(images):
    mean = mean_image(images)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, images.mean(0), rtol=1e-6)


def test_pixels_beyond_the_border_do_not_count(images):
    valid = np.random.default_rng(1).random((6, 4, 5)) < 0.5
    valid[:, 0, 0] = False
    mean = mean_image(images, valid, fill=(1.0, 2.0, 3.0))
    np.testing.assert_array_equal(mean[0, 0], [1, 2, 3])
    masked = np.ma.masked_array(images, ~np.broadcast_to(valid[..., None], images.shape))
    expected = masked.mean(0).filled(np.nan)
    half = valid.sum(0) >= 3
    assert half.any()
    np.testing.assert_allclose(mean[half], expected[half], rtol=1e-6)
    # As if fill were put in for those that are missing at half of the images.
    few = (valid.sum(0) < 3) & valid.any(0)
    assert few.any()
    for row, column in np.argwhere(few):
        there = images[valid[:, row, column], row, column].astype(float)
        padded = np.concatenate([there, np.tile([1.0, 2.0, 3.0], (3 - len(there), 1))])
        np.testing.assert_allclose(mean[row, column], padded.mean(0), rtol=1e-6)


def test_mean_images_of_groups_and_their_pictures(images):
    nearest = np.array([[4, 2], [9, -1], [2, 7]])
    rows, groups = group_rows(nearest)
    np.testing.assert_array_equal(rows, [2, 4, 7, 9])
    read = images[:4]
    means = mean_images(read, np.ones((4, 4, 5), bool), groups, fill=(0.0, 0.0, 0.0))
    expected = [read[[1, 0]].mean(0), read[3], read[[0, 2]].mean(0)]
    np.testing.assert_allclose(means, expected, rtol=1e-6)
    pictures = pick(read, groups)
    np.testing.assert_array_equal(pictures[0], read[[1, 0]])
    np.testing.assert_array_equal(pictures[1, 0], read[3])
    assert not pictures[1, 1].any()


def test_groups_that_are_all_full():
    rows, groups = group_rows(np.array([[1, 0], [3, 1]]))
    np.testing.assert_array_equal(rows[groups], [[1, 0], [3, 1]])


def test_errors(images):
    with pytest.raises(ValueError, match="number of nearest images must be at least 1, got 0"):
        nearest_members(np.zeros((2, 1)), np.zeros(2, int), np.zeros((1, 1)), count=0)
    with pytest.raises(ValueError, match="no images to take the mean of"):
        mean_image(images[:0])
