"""Numbers about pixels, against scikit-image, SciPy and cases known in closed form."""

import numpy as np
import pytest
import scipy.stats
import skimage.color

from mfvjax.metrics import (
    color_distance,
    gradient_area,
    gradient_spread,
    image_diversity,
    rgb_to_lab,
    sliced_wasserstein,
)
from mfvjax.metrics.color import _directions

BLACK_TO_WHITE = np.arange(256.0)[:, None].repeat(3, 1)


def photo(seed, size=32, tint=(0, 0, 0)):
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(20, 200, (4, 4, 3)).repeat(size // 4, 0).repeat(size // 4, 1)
    return (coarse + rng.normal(0, 10, coarse.shape) + tint).clip(0, 255).astype(np.float32)


def test_lab_equals_scikit_images():
    levels = np.array([0, 1, 9, 10, 11, 40, 128, 200, 254, 255])
    colors = np.stack(np.meshgrid(levels, levels, levels), -1)
    expected = skimage.color.rgb2lab(colors / 255)
    # Their matrix and white point are rounded to other digits.
    np.testing.assert_allclose(rgb_to_lab(colors), expected, atol=0.01)


def test_lab_of_known_colors():
    found = rgb_to_lab(BLACK_TO_WHITE)
    np.testing.assert_allclose(found[[0, 255]], [[0, 0, 0], [100, 0, 0]], atol=1e-9)
    np.testing.assert_allclose(found[:, 1:], 0, atol=1e-9)
    assert (np.diff(found[:, 0]) > 0).all()
    # sRGB's red under D65, as color science tables give it.
    np.testing.assert_allclose(rgb_to_lab(np.array([255, 0, 0])), [53.24, 80.09, 67.20], atol=0.02)
    np.testing.assert_array_equal(
        rgb_to_lab(np.array([-9.0, 300, 0])), rgb_to_lab(np.array([0.0, 255, 0]))
    )


@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 100), (37, 64), (1, 9), (30, 7)])
def test_each_projection_is_scipys_wasserstein_distance(n, m):
    rng = np.random.default_rng(n * m)
    points, others = rng.normal(0, 20, (n, 3)), rng.exponential(9, (m, 3))
    points[: n // 2] = points[n // 2 : n // 2 * 2]  # ties
    directions = _directions(16)
    np.testing.assert_allclose((directions**2).sum(1), 1)
    expected = 2 * np.mean(
        [scipy.stats.wasserstein_distance(points @ d, others @ d) for d in directions]
    )
    found = sliced_wasserstein(points, others, num_directions=16)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_allclose(sliced_wasserstein(others, points, num_directions=16), found)


@pytest.mark.parametrize("seed", range(4))
def test_a_shift_costs_its_length(seed):
    rng = np.random.default_rng(seed)
    points, shift = rng.normal(0, 20, (40, 3)), rng.normal(0, 10, 3)
    found = sliced_wasserstein(points, points + shift)
    np.testing.assert_allclose(found, np.linalg.norm(shift), rtol=0.01)


def test_a_shift_along_an_axis_costs_its_length():
    points = np.random.default_rng(0).normal(0, 20, (40, 3))
    for axis in np.eye(3):
        np.testing.assert_allclose(sliced_wasserstein(points, points + 5 * axis), 5, rtol=0.01)


def test_sliced_wasserstein_refuses_empty_and_infinite_sets():
    points = np.zeros((3, 3))
    for wrong in (points[:0], points + np.inf):
        with pytest.raises(ValueError, match="needs points on both sides, all finite"):
            sliced_wasserstein(points, wrong)
    with pytest.raises(ValueError, match="num_directions must be at least 1"):
        sliced_wasserstein(points, points, num_directions=0)


def test_color_distance_of_flat_images_is_their_color_difference():
    one, other = np.full((8, 8, 3), 90.0), np.full((2, 8, 8, 3), [140.0, 90, 60])
    expected = skimage.color.deltaE_cie76(
        skimage.color.rgb2lab(one[0, 0] / 255), skimage.color.rgb2lab(other[0, 0, 0] / 255)
    )
    np.testing.assert_allclose(color_distance(one, other), expected, rtol=0.01)


def test_color_distance_sees_colors_and_not_where_they_are():
    image = photo(0)
    pixels = np.random.default_rng(1).permutation(image.reshape(-1, 3)).reshape(image.shape)
    np.testing.assert_allclose(color_distance(image, pixels[None]), 0, atol=1e-9)
    tinted = [color_distance(image, photo(0, tint=(t, 0, -t))[None]) for t in (5, 15, 45)]
    assert 1 < tinted[0] < tinted[1] < tinted[2]


def test_color_distance_of_a_draw_is_that_of_all_pixels():
    image, real = photo(0, 64), np.stack([photo(seed, 64) for seed in (0, 1, 2)]).astype(np.uint8)
    exact = color_distance(image, real, num_pixels=10**6)
    drawn = [color_distance(image, real, num_pixels=2048, seed=seed) for seed in range(3)]
    np.testing.assert_allclose(drawn, exact, atol=0.5)
    assert len(set(drawn)) == 3
    assert color_distance(image, real, num_pixels=2048) == drawn[0]


def test_color_distance_of_nothing():
    for real, num_pixels in ((np.zeros((0, 8, 8, 3)), 9), (np.zeros((1, 8, 8, 3)), 0)):
        with pytest.raises(ValueError, match="must be at least one, got"):
            color_distance(photo(0), real, num_pixels=num_pixels)


def test_image_diversity_is_the_mean_color_difference_of_pairs():
    images = np.stack([photo(seed) for seed in range(4)])
    lab = skimage.color.rgb2lab(images / 255)
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    expected = np.mean([skimage.color.deltaE_cie76(lab[i], lab[j]).mean() for i, j in pairs])
    np.testing.assert_allclose(image_diversity(images), expected, atol=0.01)
    assert image_diversity(images[[0, 0, 0]]) == 0
    assert np.isnan(image_diversity(images[:1]))


def area(energy):
    return gradient_area(energy[None])[0]


def spread(energy):
    return gradient_spread(energy[None])[0]


def energy_of(h, w, *boxes):
    """Even energy in boxes of rows and columns, 0 elsewhere."""
    energy = np.zeros((h, w))
    for rows, columns in boxes:
        energy[rows, columns] = 1e-30  # a real gradient may be as small
    return energy


def test_even_energy_covers_everything():
    for shape in ((7, 7), (5, 12), (1, 4)):
        np.testing.assert_allclose(area(np.full(shape, 3.0)), 1)
        np.testing.assert_allclose(spread(np.full(shape, 3.0)), 1)


def test_area_of_a_box_is_its_share_of_the_image():
    energy = energy_of(20, 30, (slice(2, 7), slice(3, 15)))
    np.testing.assert_allclose(area(energy), 5 * 12 / 600)
    point = energy_of(20, 30, (4, 5))
    np.testing.assert_allclose(area(point), 1 / 600)
    assert spread(point) == 0


def test_spread_of_a_box_is_its_share_of_the_side():
    # Even energy over s pixels has variance (s^2 - 1) / 12, over the whole side (n^2 - 1) / 12.
    energy = energy_of(31, 31, (slice(4, 15), slice(20, 31)))
    np.testing.assert_allclose(spread(energy), np.sqrt((11**2 - 1) / (31**2 - 1)))


def test_repeating_a_fragment_raises_both_numbers():
    one = energy_of(32, 32, (slice(14, 18), slice(14, 18)))
    four = energy_of(
        32, 32, *[(slice(r, r + 4), slice(c, c + 4)) for r in (2, 26) for c in (2, 26)]
    )
    np.testing.assert_allclose(area(four), 4 * area(one))
    assert spread(four) > 1 > 4 * spread(one)


def test_spread_tells_scattered_from_connected_energy_of_the_same_area():
    together = energy_of(32, 32, (slice(12, 20), slice(12, 20)))
    apart = energy_of(
        32, 32, *[(slice(r, r + 4), slice(c, c + 4)) for r in (2, 26) for c in (2, 26)]
    )
    assert area(together) == area(apart)
    assert spread(apart) > 3 * spread(together)


def test_spread_is_largest_between_opposite_corners():
    energy = energy_of(50, 50, (0, 0), (49, 49))
    np.testing.assert_allclose(spread(energy), np.sqrt(3 * 49**2 / (50**2 - 1)))
    assert spread(energy) < np.sqrt(3)


def test_spread_equals_a_slow_sum_and_maps_are_independent():
    energy = np.random.default_rng(0).exponential(1, (5, 9, 14)).astype(np.float32)
    points = np.array([(r, c) for r in range(9) for c in range(14)])
    found = zip(energy, gradient_spread(energy), gradient_area(energy), strict=True)
    for one, its_spread, its_area in found:
        weight = one.astype(np.float64).reshape(-1)
        center = np.average(points, axis=0, weights=weight)
        square = np.average(((points - center) ** 2).sum(1), weights=weight)
        even = ((points - points.mean(0)) ** 2).sum(1).mean()
        np.testing.assert_allclose(its_spread, np.sqrt(square / even))
        np.testing.assert_allclose(its_area, weight.sum() ** 2 / (126 * (weight**2).sum()))


def test_maps_without_energy_and_wrong_ones():
    maps = np.ones((3, 4, 4))
    maps[0], maps[1, 2, 2] = 0, np.nan
    for measure in (gradient_area, gradient_spread):
        np.testing.assert_allclose(measure(maps), [np.nan, np.nan, 1])
        with pytest.raises(ValueError, match="cannot be negative"):
            measure(-maps[2:])
    with pytest.raises(ValueError, match="at least two pixels, got 1 x 1"):
        spread(np.ones((1, 1)))
