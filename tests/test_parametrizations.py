"""Fourier parametrizations against sums over waves, and what an image is worth as a start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from mfvjax.contracts import Parametrization, Scene
from mfvjax.parametrizations import Fourier, FourierPhase, Pixels, mean_magnitude
from tests.oracles import fourier as oracle

SIZES = [(8, 8), (7, 9), (6, 11), (9, 4), (1, 5)]
LOW, HIGH = 0.02 * 255, 0.98 * 255


def scene_of(size, channels=3, is_color=True):
    return Scene(size, channels, is_color, is_picture=True)


def image_of(size, channels=3, seed=0, low=LOW, high=HIGH):
    rng = np.random.default_rng(seed)
    return rng.uniform(low, high, (*size, channels))


def half(size):
    return size[0], size[1] // 2 + 1


def float32(array):
    return jnp.asarray(array, jnp.float32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("decay", "divisor", "decorrelated"), [(1.0, 4.0, True), (1.5, 5.0, True), (0.0, 4.0, False)]
)
def test_fourier_images_are_lucids(size, decay, divisor, decorrelated):
    numbers = np.random.default_rng(1).normal(size=(*half(size), 3, 2))
    part = Fourier(decay, divisor, decorrelated)
    image = part.decode(float32(numbers), scene_of(size))
    expected = oracle.lucid_image(numbers, size, decay=decay, divisor=divisor, colors=decorrelated)
    assert expected.std() > 5  # far from flat
    assert image.dtype == jnp.float32
    np.testing.assert_allclose(image, expected, atol=2e-3)


@pytest.mark.parametrize("channels", [1, 2])
def test_channels_that_are_no_colors_stay_apart(channels):
    size = (6, 5)
    scene = scene_of(size, channels, is_color=False)
    numbers = np.random.default_rng(1).normal(size=(*half(size), channels, 2))
    image = Fourier().decode(float32(numbers), scene)
    np.testing.assert_allclose(image, oracle.lucid_image(numbers, size, colors=False), atol=2e-3)
    start = image_of(size, channels)
    part = FourierPhase(np.abs(oracle.transform(oracle.unsquashed(start, False))))
    np.testing.assert_allclose(
        part.decode(part.encode(float32(start), scene), scene),
        oracle.squashed(_standardized(oracle.unsquashed(start, False)), False),
        atol=0.02,
    )


@pytest.mark.parametrize("size", SIZES)
def test_a_fourier_start_is_the_image(size):
    image = image_of(size)
    part = Fourier()
    numbers = part.encode(float32(image), scene_of(size))
    assert numbers.shape == (*half(size), 3, 2)
    spectrum = oracle.transform(4 * oracle.unsquashed(image, True))
    spectrum = spectrum / oracle.lucid_scale(size, 1.0)[..., None]
    np.testing.assert_allclose(numbers[..., 0], spectrum.real, atol=2e-4)
    np.testing.assert_allclose(numbers[..., 1], spectrum.imag, atol=2e-4)
    np.testing.assert_allclose(part.decode(numbers, scene_of(size)), image, atol=2e-3)
    again = part.encode(part.decode(numbers, scene_of(size)), scene_of(size))
    np.testing.assert_allclose(again, numbers, atol=2e-3)


def test_a_start_beyond_2_to_98_percent_is_clipped_to_that():
    image = image_of((6, 7), low=0, high=255)
    image[0, 0], image[1, 1] = 0, 255
    numbers = Fourier().encode(float32(image), scene_of((6, 7)))
    found = Fourier().decode(numbers, scene_of((6, 7)))
    np.testing.assert_allclose(found, image.clip(LOW, HIGH), atol=2e-3)


def test_slopes_of_fourier_images_are_difference_quotients():
    size, step = (4, 5), 1e-4
    rng = np.random.default_rng(2)
    numbers, weights = rng.normal(size=(*half(size), 3, 2)), rng.normal(size=(*size, 3))
    slopes = jax.grad(lambda n: jnp.sum(Fourier().decode(n, scene_of(size)) * float32(weights)))(
        float32(numbers)
    )
    for place in np.ndindex(numbers.shape):
        ends = []
        for sign in (1, -1):
            moved = numbers.copy()
            moved[place] += sign * step
            ends.append((oracle.lucid_image(moved, size) * weights).sum())
        assert slopes[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=0.01)


def _standardized(values):
    return (values - values.mean()) / values.std()


@pytest.mark.parametrize("size", SIZES[:4])
@pytest.mark.parametrize(("contrast", "decorrelated"), [(1.0, True), (2.5, False)])
def test_phase_images_against_waves(size, contrast, decorrelated):
    rng = np.random.default_rng(3)
    phases = rng.uniform(-np.pi, np.pi, (*half(size), 3))
    magnitude = rng.uniform(0.5, 2, (*half(size), 3))
    part = FourierPhase(float32(magnitude), contrast, decorrelated)
    image = part.decode(float32(phases), scene_of(size))
    expected = oracle.phase_image(phases, magnitude, size, contrast=contrast, colors=decorrelated)
    assert expected.std() > 5  # far from flat
    assert image.dtype == jnp.float32
    np.testing.assert_allclose(image, expected, atol=5e-3)
    larger = FourierPhase(float32(1000 * magnitude), contrast, decorrelated)
    np.testing.assert_allclose(larger.decode(float32(phases), scene_of(size)), image, atol=5e-3)


@pytest.mark.parametrize("size", SIZES[:4])
def test_phases_of_an_image_give_it_back_with_its_own_magnitudes(size):
    image = image_of(size)
    values = oracle.unsquashed(image, True)
    spectrum = oracle.transform(values)
    part = FourierPhase(float32(np.abs(spectrum)), contrast=float(values.std()))
    phases = part.encode(float32(image), scene_of(size))
    turned = np.abs(spectrum) * np.exp(1j * np.asarray(phases, np.float64))
    np.testing.assert_allclose(turned, spectrum, atol=1e-3 * np.abs(spectrum).max())
    expected = oracle.squashed(values - values.mean(), True)
    np.testing.assert_allclose(part.decode(phases, scene_of(size)), expected, atol=0.02)


def test_noise_has_phases_all_around_the_circle():
    image = image_of((64, 64))
    phases = np.asarray(FourierPhase(None).encode(float32(image), scene_of((64, 64))))
    shares, _ = np.histogram(phases, 8, (-np.pi, np.pi))
    np.testing.assert_allclose(shares / phases.size, 1 / 8, atol=0.02)


def test_magnitudes_of_another_size_are_refused():
    part = FourierPhase(np.ones((8, 5, 3), np.float32))
    with pytest.raises(ValueError, match=r"a canvas of 8x10 needs \(8, 6, 3\); use mean_magnitude"):
        part.decode(jnp.zeros((8, 6, 3)), scene_of((8, 10)))


@pytest.mark.parametrize("colors", [True, False])
def test_the_mean_magnitude_of_images(colors):
    images = [image_of((9, 9), seed=seed) for seed in range(3)]
    found = mean_magnitude(images, size=(9, 9), colors=colors)
    expected = np.mean(
        [np.abs(oracle.transform(oracle.unsquashed(image, colors))) for image in images], axis=0
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.mean())


def test_images_of_another_size_are_zoomed_by_splines():
    image = image_of((10, 8), low=60, high=200)
    zoomed = np.stack(
        [ndimage.zoom(image[..., c], (1.5, 2), order=3, mode="mirror") for c in range(3)], -1
    )
    assert zoomed.shape == (15, 16, 3)
    expected = np.abs(oracle.transform(oracle.unsquashed(zoomed.clip(LOW, HIGH), True)))
    found = mean_magnitude([image], size=(15, 16))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.mean())
    grey = mean_magnitude([image[..., :1]], size=(15, 16), colors=False)
    assert grey.shape == (15, 9, 1)


def test_a_mean_of_no_images_or_of_colors_that_are_none_is_refused():
    with pytest.raises(ValueError, match="mean_magnitude needs at least one image"):
        mean_magnitude([], size=(4, 4))
    with pytest.raises(ValueError, match="colors=True needs images of 3 channels, not of 1"):
        mean_magnitude([image_of((4, 4), 1)], size=(4, 4))


PARTS = [Pixels(), Fourier(), FourierPhase(np.ones((7, 5, 3), np.float32))]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_parametrizations_under_jit_and_vmap(part):
    scene = scene_of((7, 9))
    assert isinstance(part, Parametrization)
    images = float32(np.stack([image_of((7, 9), seed=seed) for seed in range(3)]))

    def both(image):
        numbers = part.encode(image, scene)
        return numbers, part.decode(numbers, scene)

    together = jax.jit(jax.vmap(both))(images)
    for i, image in enumerate(images):
        for mine, alone in zip(together, both(image), strict=True):
            np.testing.assert_allclose(mine[i], alone, atol=5e-3)
    assert together[1].shape == images.shape


def test_pixels_are_the_image():
    image = float32(image_of((3, 4)))
    assert Pixels().is_local
    assert Pixels().encode(image, scene_of((3, 4))) is image
    assert Pixels().decode(image, scene_of((3, 4))) is image
