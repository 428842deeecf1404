"""Projections and the Gaussian blur against NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from mfvjax.ascent import visualize
from mfvjax.contracts import Projection, StepInfo
from mfvjax.parts import part
from mfvjax.priors.blur import gaussian_blur
from mfvjax.priors.projections import Blur, Clip, Decay, SmallContribution, SmallNorm
from mfvjax.priors.tv import denoise_tv
from mfvjax.priors.tv_projection import TV
from mfvjax.recipe import Phase, Recipe
from mfvjax.updates import MeanAbsoluteStep
from tests.oracles import projections as oracle
from tests.tiny_network import SIZE, tiny_network

SHAPE = (11, 14, 3)
ZERO = np.array([120.0, 110.0, 100.0])
RNG = np.random.default_rng(0)
WINDOW = RNG.uniform(-40, 290, SHAPE)
GRADIENT = RNG.normal(size=SHAPE)


def projected(projection, iteration=0, window=WINDOW, gradient=GRADIENT):
    """What a projection makes of a window, jitted, its numbers traced as in a step."""

    @jax.jit
    def apply(projection, window, info):
        return projection(window, info)

    info = StepInfo(
        jnp.float32(iteration),
        None if gradient is None else jnp.asarray(gradient, jnp.float32),
        jnp.asarray(ZERO, jnp.float32),
    )
    found = apply(projection, jnp.asarray(window, jnp.float32), info)
    assert found.dtype == jnp.float32
    return np.asarray(found)


@pytest.mark.parametrize("sigma", [0.3, 0.5, 0.9, 1.6, 2.5, 3.2, 5.0])
@pytest.mark.parametrize("shape", [(40, 25, 3), (21, 24, 1)])
def test_blur_is_scipys(sigma, shape):
    image = np.random.default_rng(1).uniform(0, 255, shape)
    found = jax.jit(gaussian_blur)(jnp.asarray(image, jnp.float32), sigma)
    expected = ndimage.gaussian_filter(image, (sigma, sigma, 0))
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_blur_of_a_traced_sigma_compiles_once():
    traces = []

    @jax.jit
    def blurred(image, sigma):
        traces.append(image.shape)
        return gaussian_blur(image, sigma)

    image = jnp.asarray(WINDOW, jnp.float32)
    for sigma in (0.5, 2.0):
        expected = ndimage.gaussian_filter(WINDOW, (sigma, sigma, 0))
        np.testing.assert_allclose(blurred(image, jnp.float32(sigma)), expected, atol=2e-3)
    np.testing.assert_array_equal(blurred(image, jnp.float32(0)), image)
    assert len(traces) == 1


def test_blur_keeps_the_sum_and_a_flat_image():
    image = jnp.asarray(WINDOW, jnp.float32)
    assert float(gaussian_blur(image, 1.7).sum()) == pytest.approx(WINDOW.sum(), rel=1e-5)
    flat = jnp.full(SHAPE, 77.0)
    np.testing.assert_allclose(gaussian_blur(flat, 1.3), flat, rtol=1e-6)


@pytest.mark.parametrize(("every", "due"), [(1.0, range(7)), (3.0, (0, 3, 6)), (4.0, (0, 4))])
def test_blur_comes_every_so_many_steps(every, due):
    blurred = ndimage.gaussian_filter(WINDOW, (0.8, 0.8, 0))
    for index in range(7):
        expected = blurred if index in due else WINDOW
        np.testing.assert_allclose(projected(Blur(0.8, every), index), expected, atol=2e-3)
    np.testing.assert_allclose(projected(Blur(0.0)), WINDOW, rtol=1e-6)


@pytest.mark.parametrize(("low", "high"), [(0.0, 255.0), (20.0, 90.0)])
def test_clip(low, high):
    np.testing.assert_allclose(projected(Clip(low, high)), WINDOW.clip(low, high), rtol=1e-6)


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_decay_moves_toward_the_networks_zero(rate):
    found = projected(Decay(rate))
    # The toolbox works on images minus their mean: x *= 1 - decay.
    np.testing.assert_allclose(found, (WINDOW - ZERO) * (1 - rate) + ZERO, atol=1e-4)


@pytest.mark.parametrize("percentile", [0.0, 20.0, 62.5, 100.0])
def test_pixels_of_a_small_norm_become_zero(percentile):
    found = projected(SmallNorm(percentile))
    np.testing.assert_allclose(found, oracle.small_norm(WINDOW, ZERO, percentile), atol=1e-4)
    share = (found == ZERO.astype(np.float32)).all(-1).mean()
    assert share == pytest.approx(percentile / 100, abs=0.01)


@pytest.mark.parametrize("percentile", [0.0, 37.0, 90.0])
def test_pixels_that_contribute_little_become_zero(percentile):
    found = projected(SmallContribution(percentile))
    expected = oracle.small_contribution(WINDOW, ZERO, GRADIENT, percentile)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (found != WINDOW.astype(np.float32)).any() == (percentile > 0)


def test_tv_is_the_denoiser():
    found = projected(TV(0.4, num_sweeps=5))
    expected = denoise_tv(jnp.asarray(WINDOW, jnp.float32), fidelity=0.4, num_sweeps=5)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.abs(found - WINDOW).mean() > 1


ALL = [Clip(), Decay(0.1), Blur(0.7, 2), SmallNorm(30), SmallContribution(40), TV(1, num_sweeps=3)]


@pytest.mark.parametrize("projection", ALL, ids=lambda one: type(one).__name__)
def test_projections_of_several_facets_are_those_of_each(projection):
    assert isinstance(projection, Projection)
    windows = np.random.default_rng(5).uniform(0, 255, (3, *SHAPE)).astype(np.float32)
    gradients = np.random.default_rng(6).normal(size=windows.shape).astype(np.float32)
    infos = StepInfo(
        jnp.zeros(3), jnp.asarray(gradients), jnp.asarray(np.tile(ZERO, (3, 1)), jnp.float32)
    )
    together = jax.jit(jax.vmap(projection))(jnp.asarray(windows), infos)
    for window, gradient, found in zip(windows, gradients, together, strict=True):
        np.testing.assert_allclose(
            found, projected(projection, window=window, gradient=gradient), atol=2e-3
        )


@part
class Doubled:
    """Numbers that are twice the levels: an image's axes, and yet no pixels."""

    is_local = True

    def encode(self, image, scene):
        return 2 * image

    def decode(self, numbers, scene):
        return numbers / 2


def run(**options):
    recipe = Recipe("one", (Phase(num_steps=3, update=MeanAbsoluteStep(4.0), **options),))
    starts = np.random.default_rng(0).uniform(90, 160, (1, SIZE, SIZE, 3))
    made = visualize(tiny_network(), "fc:1", starts, recipe=recipe, key=0)
    return starts, made.images


def test_a_run_hands_over_gradient_and_zero():
    starts, images = run(projections=(SmallContribution(30.0),))
    is_zero = np.isclose(images[0], ZERO, atol=1e-3).all(-1)
    assert is_zero.mean() == pytest.approx(0.3, abs=0.1)
    # The pixels that are left have moved as the objective asked.
    assert np.abs(images - starts)[0][~is_zero].mean() > 1


def test_contributions_are_of_pixels_only():
    with pytest.raises(ValueError, match="SmallContribution needs pixels"):
        projected(SmallContribution(30.0), gradient=None)
    with pytest.raises(ValueError, match="use the parametrization Pixels"):
        run(projections=(SmallContribution(30.0),), parametrization=Doubled())


@pytest.mark.parametrize(
    ("projection", "message"),
    [
        (Decay(1.5), "Decay option rate=1.5 must be 0 or more and at most 1"),
        (Blur(-1), "Blur option sigma=-1.0 must be 0 or more"),
        (Blur(1, 0.5), "Blur option every=0.5 must be 1 or more"),
        (SmallNorm((50, 101)), "SmallNorm option percentile=.* must be 0 or more and at most 100"),
        (SmallContribution(-1), "SmallContribution option percentile=-1.0 must be 0 or more"),
        (TV(0.0), "TV option fidelity=0.0 must be above 0"),
    ],
)
def test_a_number_out_of_its_limits_is_named(projection, message):
    with pytest.raises(ValueError, match=message):
        Phase(num_steps=2, update=MeanAbsoluteStep(1.0), projections=(projection,))
