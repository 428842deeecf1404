"""The fused TV kernel, in interpret mode, against the plain sweeps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfvjax.priors import tv
from mfvjax.priors.checkerboard import Checkerboard
from mfvjax.priors.tv_pallas import pallas_sweeps
from mfvjax.priors.tv_sweep import release_frame
from tests.tv_running import RULES, compiled, random_image

FIDELITY = np.asarray([0.03, 1.3], np.float32)


def framed_planes(images, rule):
    planes = jnp.moveaxis(jnp.asarray(images, jnp.float32), -1, 1)
    height, width = planes.shape[2:]
    board = Checkerboard(height, width)
    framed = release_frame(board, planes) if rule == "scikit-image" else board.frame(planes)
    return framed[..., : height + 2, : width + 2].reshape(-1, height + 2, width + 2)


# Tiles that the image fills, leaves half empty, and does not reach into but for its frame.
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("size", "tile", "sweeps_per_pass"), [((30, 21), (16, 8), 2), ((9, 14), (16, 16), 3)]
)
def test_tiles_and_halos_leave_no_trace(rule, size, tile, sweeps_per_pass):
    images = np.stack([random_image(*size, channels=1, seed=seed) for seed in range(2)])
    found = pallas_sweeps(
        framed_planes(images, rule),
        jnp.asarray(FIDELITY),
        rule=rule,
        num_sweeps=7,  # not a multiple of the sweeps per pass
        sweeps_per_pass=sweeps_per_pass,
        tile=tile,
        interpret=True,
    )
    expected, _ = compiled(rule, num_sweeps=7)(jnp.asarray(images, jnp.float32), FIDELITY)
    np.testing.assert_allclose(found[:, 1:-1, 1:-1], expected[..., 0], atol=2e-3)
    np.testing.assert_array_equal(found[:, 0], framed_planes(images, rule)[:, 0])


def test_a_sweep_carries_information_by_at_most_three_pixels():
    """What the width of the halo rests on, and the reason for it to be no narrower."""
    spike = np.full((1, 40, 40, 1), 100.0)
    spike[0, 20, 20] = 250
    moved, _ = compiled("isotropic", num_sweeps=2)(jnp.asarray(spike, jnp.float32), 0.05)
    still, _ = compiled("isotropic", num_sweeps=2)(jnp.full((1, 40, 40, 1), 100.0), 0.05)
    changed = np.abs(np.asarray(moved - still))[0, :, :, 0] > 1e-4
    reach = max(np.abs(np.argwhere(changed) - 20).max(axis=0))
    assert 3 <= reach <= 6


def test_the_option_gives_what_the_plain_sweeps_give():
    images = jnp.asarray(np.stack([random_image(20, 33, seed=s) for s in range(2)]), jnp.float32)
    plain = jax.jit(functools.partial(tv.denoise_tv, num_sweeps=5))
    fused = jax.jit(functools.partial(tv.denoise_tv, num_sweeps=5, kernel="pallas"))
    np.testing.assert_allclose(
        fused(images, fidelity=FIDELITY), plain(images, fidelity=FIDELITY), atol=2e-3
    )
    mapped = jax.vmap(lambda image, weight: fused(image, fidelity=weight))(images, FIDELITY)
    np.testing.assert_allclose(mapped, plain(images, fidelity=FIDELITY), atol=2e-3)


@pytest.mark.parametrize(
    "options", [{"order": "raster"}, {"tolerance": 1e-3}, {"coarse_levels": 1}]
)
def test_what_the_kernel_cannot_do_is_an_error(options):
    with pytest.raises(ValueError, match="fixed number of red-black sweeps"):
        tv.denoise_tv(jnp.zeros((4, 4, 3)), fidelity=0.1, kernel="pallas", **options)


def test_unknown_kernels_are_errors():
    # The annotation, checked in tests, would refuse the name before the function sees it.
    with pytest.raises(ValueError, match="'xla' or 'pallas'"):
        tv._check_kernel("cuda", "red-black", None, 0)
