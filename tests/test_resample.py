"""Spline zoom against SciPy's on whole images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from mfvjax.priors.resample import _zoom_matrix, spline_zoom, zoomed_size


@pytest.mark.parametrize(
    ("height", "width", "scale"),
    [(227, 227, 1.2), (13, 29, 1.7), (20, 9, 0.6), (7, 8, 1.0), (2, 3, 4.0), (1, 5, 3.0)],
)
def test_zoom_is_scipys(height, width, scale):
    rng = np.random.default_rng(height)
    image = rng.uniform(0, 255, (height, width, 3))
    # As the released scripts call it, on (channel, row, column).
    planes = ndimage.zoom(np.moveaxis(image, -1, 0), (1, scale, scale))
    expected = np.moveaxis(planes, 0, -1)
    size = zoomed_size((height, width), scale)
    assert size == expected.shape[:2]
    single = spline_zoom(jnp.asarray(image, jnp.float32), size)
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, expected, atol=2e-3)
    with jax.enable_x64(True):
        double = spline_zoom(jnp.asarray(image), size)
    np.testing.assert_allclose(double, expected, atol=1e-9)


def test_published_sizes():
    assert zoomed_size((227, 227), 1.2) == (272, 272)
    assert zoomed_size((272, 272), 1.2) == (326, 326)


def test_sizes_are_scipys_for_every_side():
    for side in range(2, 120):
        for scale in (0.5, 1.1, 1.25, 1.5):
            expected = ndimage.zoom(np.zeros(side), scale, order=0).shape[0]
            assert zoomed_size((side, side), scale) == (expected, expected)


def test_a_photograph_enlarged_twice(data_dir):
    (path,) = (data_dir / "images" / "one_per_class").glob("n07873807_*")
    with Image.open(path) as photo:
        photo = np.asarray(photo.convert("RGB"), np.float32)[:227, :227]
    actual, expected = jnp.asarray(photo), np.float64(photo)
    for size in (272, 326):
        actual = spline_zoom(actual, (size, size))
        expected = ndimage.zoom(expected, (1.2, 1.2, 1))
    np.testing.assert_allclose(actual, expected, atol=2e-3)
    assert expected.max() > 255  # overshoot is part of it


def test_no_size_gets_the_black_border_of_scipy():
    black = 0
    for side in range(2, 80):
        for new in (side + 1, 2 * side, 3 * side - 1):
            matrix = _zoom_matrix(side, new)
            np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
            ones = ndimage.zoom(np.ones(side), new / side, order=3)
            if ones[-1] == 0:
                black += 1
                continue
            ramp = np.linspace(3.0, 250.0, side) ** 2
            expected = ndimage.zoom(ramp, new / side, order=3)
            np.testing.assert_allclose(matrix @ ramp, expected, rtol=1e-12)
    assert black  # or the exception above has become needless


def test_leading_axes_and_vmap():
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.uniform(0, 255, (2, 3, 6, 7, 3)), jnp.float32)
    together = spline_zoom(images, (9, 8))
    assert together.shape == (2, 3, 9, 8, 3)
    mapped = jax.vmap(jax.vmap(lambda image: spline_zoom(image, (9, 8))))(images)
    np.testing.assert_allclose(together, mapped, atol=1e-3)
    np.testing.assert_allclose(together[1, 2], spline_zoom(images[1, 2], (9, 8)), atol=1e-3)


def test_nothing_left_is_an_error():
    with pytest.raises(ValueError, match="leaves nothing"):
        zoomed_size((5, 5), 0.01)
    with pytest.raises(ValueError, match="shorter than one pixel"):
        spline_zoom(jnp.ones((5, 5, 3)), (0, 5))
