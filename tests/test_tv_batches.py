"""TV denoising of batches: independence, stops, transforms, extremes and errors."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfvjax.priors import tv, tv_solve
from mfvjax.priors.checkerboard import Checkerboard
from mfvjax.priors.tv_sweep import SplitBregman, release_frame
from tests.tv_running import RULES, compiled, random_image, rms


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


def run_in_turn(board, plan):
    run = functools.partial(tv_solve.run_batch, board, plan)
    return functools.partial(tv_solve.run_one_by_one, run, by_plane=not plan.stops)


def run_together(board, plan):
    whole = dataclasses.replace(board, whole=True)
    return functools.partial(tv_solve.run_batch, whole, plan)


@pytest.mark.parametrize(
    ("shape", "plan"),
    [
        ((14, 17), tv_solve.Plan("scikit-image", num_sweeps=62, stops=True)),
        ((17, 14), tv_solve.Plan("isotropic", num_sweeps=60, stops=True)),
        ((14, 17), tv_solve.Plan("anisotropic", num_sweeps=13)),
        ((17, 18), tv_solve.Plan("isotropic", num_sweeps=3, coarse_levels=1)),
        ((17, 14), tv_solve.Plan("scikit-image", "raster", 60, stops=True)),
        ((14, 17), tv_solve.Plan("isotropic", "raster", 13)),
    ],
    ids=str,
)
def test_whole_batch_at_once_is_image_by_image(shape, plan):
    """Accelerators run the whole batch at once on whole arrays, processors one image in turn."""
    images = np.stack([random_image(*shape, seed=seed) for seed in range(3)])
    planes = jnp.asarray(np.moveaxis(images, -1, 1), jnp.float32)
    board = Checkerboard(*shape)
    framed = release_frame(board, planes) if plan.rule == "scikit-image" else board.frame(planes)
    args = (*board.split(framed), jnp.asarray([0.01, 0.3, 3.0]), jnp.full(3, 0.05))
    together = jax.jit(run_together(board, plan))(*args)
    in_turn = jax.jit(run_in_turn(board, plan))(*args)
    for a, b in zip(together[:2], in_turn[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)
    assert together[2].tolist() == in_turn[2].tolist()
    assert not plan.stops or len(set(together[2].tolist())) == 3


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
