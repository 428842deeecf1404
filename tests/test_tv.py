"""TV denoising against loops, scikit-image, a dual solver and a closed form."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from skimage.restoration import denoise_tv_bregman

from mfvjax.priors import tv, tv_solve
from mfvjax.priors.checkerboard import Checkerboard
from mfvjax.priors.tv_sweep import SplitBregman, release_frame
from tests.oracles import tv as slow

RULES = ("isotropic", "anisotropic", "scikit-image")


def random_image(height, width, channels=3, seed=0):
    """Steps, a ramp and noise: values in [0, 255], nothing symmetric."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:height, :width]
    image = 60.0 + 3 * row + 40 * (column > width // 3) + 50 * (row + 2 * column > height)
    return np.clip(image[..., None] + rng.normal(0, 25, (height, width, channels)), 0, 255)


@functools.cache
def photographs(data_dir, size=227):
    names = ("n02106662", "n03792972", "n07873807")  # German shepherd, tent, pizza
    images = []
    for name in names:
        (path,) = (data_dir / "images" / "one_per_class").glob(f"{name}_*")
        with Image.open(path) as photo:
            pixels = np.asarray(photo.convert("RGB"), np.float32)
        top, left = (pixels.shape[0] - size) // 2, (pixels.shape[1] - size) // 2
        images.append(pixels[top : top + size, left : left + size])
    return np.stack(images)


def rms(difference):
    return float(np.sqrt(np.mean(np.square(np.asarray(difference, np.float64)))))


@functools.cache
def compiled(rule="isotropic", order="red-black", num_sweeps=100, stops=False):
    def run(images, fidelity, tolerance=None):
        return tv.denoise_tv_with_info(
            images,
            fidelity=fidelity,
            rule=rule,
            order=order,
            num_sweeps=num_sweeps,
            tolerance=tolerance,
        )

    return jax.jit(run, static_argnames="tolerance")


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


# Every rule and order


@pytest.mark.parametrize("rule", RULES)
def test_constant_images_stay(rule):
    image = jnp.full((33, 34, 3), 137.25, jnp.float32)
    actual, _ = compiled(rule)(image, 0.3)
    np.testing.assert_allclose(actual, image, atol=1e-3)


@pytest.mark.parametrize("rule", RULES)
def test_channels_and_images_are_independent(rule):
    images = np.stack([random_image(14, 17, seed=seed) for seed in range(4)]).astype(np.float32)
    fidelity = jnp.asarray([0.02, 0.1, 0.5, 2.0])
    run = compiled(rule, num_sweeps=20)
    together, _ = run(jnp.asarray(images), fidelity)
    disturbed = images.copy()
    disturbed[1:] *= 0.3
    disturbed[0, ..., 1] = 0
    alone, _ = run(jnp.asarray(disturbed), fidelity)
    np.testing.assert_array_equal(together[0, ..., ::2], alone[0, ..., ::2])
    shuffled, _ = run(jnp.asarray(images[::-1]), fidelity[::-1])
    np.testing.assert_array_equal(together, shuffled[::-1])


def test_vmap_and_leading_axes_give_what_a_loop_gives():
    images = np.stack([random_image(14, 17, seed=seed) for seed in range(4)])
    images = jnp.asarray(images.reshape(2, 2, 14, 17, 3), jnp.float32)
    fidelity = jnp.asarray([0.05, 2.0])
    run = functools.partial(compiled("scikit-image", num_sweeps=20, stops=True), tolerance=0.5)
    together, info = run(images, fidelity)
    mapped, mapped_info = jax.vmap(jax.vmap(run), in_axes=(0, None))(images, fidelity)
    np.testing.assert_array_equal(together, mapped)
    np.testing.assert_array_equal(info.num_sweeps, mapped_info.num_sweeps)
    for i, j in np.ndindex(2, 2):
        alone, alone_info = run(images[i, j], fidelity[j])
        np.testing.assert_array_equal(together[i, j], alone)
        assert info.num_sweeps[i, j] == alone_info.num_sweeps


def iterates(rule, images, fidelity, num_sweeps):
    """The images after each sweep, from the sweeps alone."""
    planes = jnp.moveaxis(images, -1, 1)
    board = Checkerboard(*planes.shape[2:])
    framed = release_frame(board, planes) if rule == "scikit-image" else board.frame(planes)
    method = SplitBregman.build(board, rule, board.split(framed), fidelity)

    def sweep(cells, _):
        cells = method.sweep(*cells)
        return cells, jnp.moveaxis(board.join(cells[0].u, cells[1].u), 1, -1)

    cells = method.start(board.split(framed))
    return jax.jit(lambda: jax.lax.scan(sweep, cells, length=num_sweeps)[1])()


@pytest.mark.parametrize("rule", RULES)
def test_an_image_stops_when_its_last_sweep_is_small(rule):
    images = jnp.asarray(np.stack([random_image(14, 17, seed=s) for s in range(3)]), jnp.float32)
    fidelity = jnp.asarray([0.01, 0.3, 3.0])
    tolerance = 0.05
    stopped, info = compiled(rule, num_sweeps=150)(images, fidelity, tolerance=tolerance)
    after = iterates(rule, images, fidelity, 150)
    expected = []
    for index in range(3):
        changes = {2 + i: rms(step) for i, step in enumerate(np.diff(after[:, index], axis=0))}
        looked_at = range(tv_solve.CHECK_EVERY, 151, tv_solve.CHECK_EVERY)
        count = next(count for count in looked_at if changes[count] <= tolerance)
        expected.append(count)
        np.testing.assert_allclose(stopped[index], after[count - 1, index], atol=1e-4)
    assert info.num_sweeps.tolist() == expected
    assert len(set(expected)) == 3


@pytest.mark.parametrize(
    ("rule", "stops"), [("scikit-image", True), ("isotropic", True), ("anisotropic", False)]
)
def test_whole_batch_at_once_is_image_by_image(rule, stops):
    """Accelerators run the whole batch at once, processors one image after another."""
    images = np.stack([random_image(14, 17, seed=seed) for seed in range(3)])
    planes = jnp.asarray(np.moveaxis(images, -1, 1), jnp.float32)
    board = Checkerboard(14, 17)
    framed = release_frame(board, planes) if rule == "scikit-image" else board.frame(planes)
    run = functools.partial(tv_solve.run_batch, board, tv_solve.Plan(rule, "red-black", 60, stops))
    args = (*board.split(framed), jnp.asarray([0.01, 0.3, 3.0]), jnp.full(3, 0.05))
    together = jax.jit(run)(*args)
    in_turn = jax.jit(functools.partial(tv_solve.run_one_by_one, run, by_plane=not stops))(*args)
    for a, b in zip(together, in_turn, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)
    assert together[2].tolist() == in_turn[2].tolist()


def test_fidelity_is_traced_and_the_step_runs_inside_a_scan():
    traces = 0

    @jax.jit
    def steps(image, fidelities):
        nonlocal traces
        traces += 1

        def step(image, fidelity):
            image = tv.denoise_tv(image, fidelity=fidelity, num_sweeps=10)
            return image, jnp.mean(image)

        return jax.lax.scan(step, image, fidelities)

    image = jnp.asarray(random_image(14, 17), jnp.float32)
    for scale in (0.1, 0.5):
        fidelities = jnp.asarray([1.0, 0.5, 0.2]) * scale
        scanned, _ = steps(image, fidelities)
        expected = image
        for fidelity in fidelities:
            expected = tv.denoise_tv(expected, fidelity=fidelity, num_sweeps=10)
        np.testing.assert_allclose(scanned, expected, atol=1e-3)
    assert traces == 1


@pytest.mark.parametrize("rule", RULES)
def test_extreme_fidelities_stay_finite(rule):
    images = np.stack([random_image(14, 17, seed=seed) for seed in range(4)])
    fidelity = jnp.asarray([1e-8, 1e-5, 1e5, 1e8])
    actual, _ = compiled(rule, num_sweeps=20)(jnp.asarray(images, jnp.float32), fidelity)
    assert np.isfinite(actual).all()
    assert np.abs(actual - 127.5).max() < 2 * 127.5
    if rule != "scikit-image":  # whose frame pulls at border pixels at any fidelity
        np.testing.assert_allclose(actual[2:], images[2:], atol=0.1)


def test_double_precision_stays_double_and_channels_may_be_any_number():
    with jax.enable_x64(True):
        image = jnp.asarray(random_image(6, 5, channels=2))
        assert tv.denoise_tv(image, fidelity=0.1, num_sweeps=2).dtype == jnp.float64
        assert tv.denoise_tv(image, fidelity=0.1, num_sweeps=2).shape == (6, 5, 2)


# Errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_sweeps": 0}, "at least one sweep"),
        ({"tolerance": -1.0}, "0 or more"),
        ({"coarse_levels": -1}, "0 or more"),
        ({"coarse_levels": 1, "rule": "scikit-image"}, "0 with rule 'scikit-image'"),
        ({"fidelity": 0.0}, "must be positive"),
        ({"fidelity": np.array([0.1, np.nan])}, "must be positive"),
        ({"fidelity": np.ones(3)}, "one number, or one per image"),
        ({"fidelity": np.ones((2, 2))}, "one number, or one per image"),
    ],
)
def test_bad_options_are_errors(options, message):
    images = jnp.zeros((2, 4, 4, 3))
    with pytest.raises(ValueError, match=message):
        tv.denoise_tv(images, **{"fidelity": 0.1, **options})


@pytest.mark.parametrize(
    ("rule", "order", "message"),
    [
        ("total", "raster", "rules are isotropic"),
        ("isotropic", "spiral", "'red-black' or 'raster'"),
    ],
)
def test_unknown_names_are_errors(rule, order, message):
    # The annotations, checked in tests, would refuse these names before the function sees them.
    with pytest.raises(ValueError, match=message):
        tv._check_options(rule, order, 1, None, 0)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((4, 1, 3), jnp.float32, "at least 2 x 2"),
        ((4, 4, 3), jnp.bfloat16, "float32 or float64"),
    ],
)
def test_bad_images_are_errors(shape, dtype, message):
    with pytest.raises(ValueError, match=message):
        tv.denoise_tv(jnp.zeros(shape, dtype), fidelity=0.1)


def test_too_few_axes_are_an_error():
    # The annotation, checked in tests, would refuse the array before the function sees it.
    with pytest.raises(ValueError, match="at least three axes"):
        tv._check_images(jnp.zeros((4, 4)))
