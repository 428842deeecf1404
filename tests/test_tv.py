"""TV denoising against loops, scikit-image, a dual solver and a closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.restoration import denoise_tv_bregman

from mfvjax.priors import tv
from tests.oracles import tv as slow
from tests.tv_running import RULES, compiled, photographs, random_image, rms

# The rule of the released scripts


@pytest.mark.parametrize(("height", "width"), [(9, 12), (12, 9)])
def test_loop_oracle_is_scikit_image(height, width):
    image = random_image(height, width)
    for fidelity, tolerance in [(0.05, None), (0.4, 0.5)]:
        expected, num_sweeps = slow.release_loop(image, fidelity, 12, tolerance)
        actual = denoise_tv_bregman(
            image, weight=fidelity, max_num_iter=12, eps=-1.0 if tolerance is None else tolerance
        )
        np.testing.assert_allclose(actual, expected, atol=1e-11)
        assert (num_sweeps == 12) == (tolerance is None)


# Even and odd sides in all combinations, and an image far from square.
@pytest.mark.parametrize(("height", "width"), [(13, 16), (16, 13), (12, 14), (7, 41), (41, 9)])
def test_raster_order_is_the_sequential_loop(height, width):
    images = np.stack([random_image(height, width, seed=seed) for seed in range(2)])
    fidelity = np.array([0.03, 1.3])
    with jax.enable_x64(True):
        actual, _ = compiled("scikit-image", "raster", 15)(jnp.asarray(images), fidelity)
    for image, weight, result in zip(images, fidelity, np.asarray(actual), strict=True):
        expected = denoise_tv_bregman(image, weight=weight, max_num_iter=15, eps=-1.0)
        np.testing.assert_allclose(result, expected, atol=1e-10)


@pytest.mark.parametrize(("height", "width"), [(16, 15), (31, 9)])
def test_raster_order_stops_at_the_same_sweep(height, width):
    images = np.stack([random_image(height, width, seed=seed) for seed in range(3)])
    fidelity, tolerance = (0.05, 0.4, 0.0005), 0.05
    with jax.enable_x64(True):
        run = compiled("scikit-image", "raster", 40)
        actual, info = run(jnp.asarray(images), np.array(fidelity), tolerance=tolerance)
    expected = [
        slow.release_loop(image, weight, 40, tolerance)
        for image, weight in zip(images, fidelity, strict=True)
    ]
    assert info.num_sweeps.tolist() == [count for _, count in expected]
    assert len(set(info.num_sweeps.tolist())) == 3
    np.testing.assert_allclose(actual, np.stack([image for image, _ in expected]), atol=1e-10)


def test_red_black_order_has_the_limit_of_scikit_image():
    image = random_image(24, 21)
    for fidelity in (0.05, 0.4, 2.0):
        actual, _ = compiled("scikit-image", num_sweeps=3000)(
            jnp.asarray(image, jnp.float32), fidelity
        )
        expected = denoise_tv_bregman(image, weight=fidelity, max_num_iter=5000, eps=-1.0)
        assert rms(actual - expected) < 1e-3


def test_photographs_at_a_hundred_sweeps(data_dir):
    photos = photographs(data_dir)
    run = compiled("scikit-image")
    for fidelity, limit in [(0.001, 0.4), (0.05, 0.4), (0.4, 0.4), (1.0, 0.4), (2.0, 1.5)]:
        actual, _ = run(jnp.asarray(photos), fidelity)
        for result, photo in zip(actual, photos, strict=True):
            expected = denoise_tv_bregman(photo, weight=fidelity, max_num_iter=100, eps=1e-3)
            assert rms(result - expected) < limit


def test_raster_order_in_single_precision_on_a_photograph(data_dir):
    photo = photographs(data_dir)[0]
    run = compiled("scikit-image", "raster", 100)
    for fidelity in (0.05, 1.0):
        actual, _ = run(jnp.asarray(photo), fidelity)
        expected = denoise_tv_bregman(
            photo.astype(np.float64), weight=fidelity, max_num_iter=100, eps=-1.0
        )
        assert rms(actual - expected) < 1e-3


# The paper's energy


@pytest.mark.parametrize("rule", ["isotropic", "anisotropic"])
def test_energy_is_that_of_a_dual_solver_with_ten_times_the_sweeps(data_dir, rule):
    photos = photographs(data_dir)[:2, 60:124, 60:124]
    isotropic = rule == "isotropic"
    for fidelity in (0.03, 0.4, 2.0):  # below 0.01, 100 sweeps are too few
        actual, _ = compiled(rule)(jnp.asarray(photos), fidelity)
        for result, photo in zip(actual, photos, strict=True):
            other = slow.dual_descent(photo, fidelity, 1000, isotropic)
            reached = slow.energy(result, photo, fidelity, isotropic)
            assert reached <= 1.001 * slow.energy(other, photo, fidelity, isotropic)


@pytest.mark.parametrize("rule", ["isotropic", "anisotropic"])
def test_coarse_start_makes_a_hundred_sweeps_enough_at_low_fidelity(data_dir, rule):
    photos = photographs(data_dir)[:2, 60:113, 60:114]  # odd sides at some levels
    isotropic = rule == "isotropic"

    @jax.jit
    def run(images, fidelity):
        return tv.denoise_tv(images, fidelity=fidelity, rule=rule, coarse_levels=3)

    for fidelity in (0.001, 0.02):
        coarse = run(jnp.asarray(photos), fidelity)
        plain, _ = compiled(rule)(jnp.asarray(photos), fidelity)
        for result, other, photo in zip(coarse, plain, photos, strict=True):
            reached, without, independent = (
                slow.energy(each, photo, fidelity, isotropic)
                for each in (result, other, slow.dual_descent(photo, fidelity, 1000, isotropic))
            )
            assert reached <= 1.001 * independent
            assert fidelity > 0.001 or reached < 0.97 * without


@pytest.mark.parametrize("rule", ["isotropic", "anisotropic"])
@pytest.mark.parametrize("order", ["red-black", "raster"])
def test_both_orders_reach_the_minimum(rule, order):
    image = random_image(15, 18)
    actual, _ = compiled(rule, order, 500)(jnp.asarray(image, jnp.float32), 0.05)
    expected = slow.dual_descent(image, 0.05, 5000, rule == "isotropic")
    np.testing.assert_allclose(actual, expected, atol=0.02)


@pytest.mark.parametrize("fidelity", [0.05, 0.2, 1.0])
def test_bright_square_loses_contrast_as_the_closed_form_says(fidelity):
    size, side = 24, 8
    image = np.full((size, size, 1), 50.0, np.float32)
    image[5 : 5 + side, 9 : 9 + side] = 200
    actual, _ = compiled("anisotropic", num_sweeps=2000)(jnp.asarray(image), fidelity)
    expected = image.copy()
    expected[image == 200] -= 4 / (fidelity * side)
    expected[image == 50] += 4 * side / fidelity / (size**2 - side**2)  # nothing gets lost
    np.testing.assert_allclose(actual, expected, atol=0.01)


@pytest.mark.parametrize("rule", RULES)
def test_energy_and_variation_do_not_rise(rule):
    image = random_image(33, 34)
    isotropic = rule != "anisotropic"
    for fidelity in (0.01, 0.3):
        actual, _ = compiled(rule)(jnp.asarray(image, jnp.float32), fidelity)
        assert slow.energy(actual, image, fidelity, isotropic) < slow.energy(
            image, image, fidelity, isotropic
        )
