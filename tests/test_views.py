"""Views: samples against SciPy, and where they fall against the distributions that they name."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mfvjax.contracts import CroppingView, Scene, View
from mfvjax.priors.jitter import crop_offset
from mfvjax.recipe import Phase
from mfvjax.updates import MeanAbsoluteStep
from mfvjax.views import Crop, RandomView, Roll
from mfvjax.views.random_view import sample
from tests.oracles.views import bilinear

NUM_DRAWS = 4000


def image_of(size, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.uniform(0, 255, (*size, 3)), jnp.float32)


def scene_of(size, is_picture=True):
    return Scene(size, 3, True, is_picture)


def keys_of(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


# Images, and views that are larger, smaller, of other proportions, and of a single row.
SIZES = [((9, 9), (9, 9)), ((9, 12), (20, 15)), ((16, 11), (5, 8)), ((1, 7), (4, 4))]


@pytest.mark.parametrize(("image_size", "size"), SIZES)
@pytest.mark.parametrize("degrees", [None, 30.0])
def test_samples_are_scipys(image_size, size, degrees):
    image = image_of(image_size)
    view = RandomView(0.4, 1.6, degrees)
    for key in keys_of(5):
        transform = view.transform(key, image_size, size)
        found = sample(image, transform, size, view.turns)
        assert found.dtype == jnp.float32
        # A place is known to about 1e-6 of a pixel, next to which levels are up to 255 apart.
        np.testing.assert_allclose(found, bilinear(image, transform, size), atol=2e-3)


@pytest.mark.parametrize("degrees", [None, 20.0])
def test_slopes_of_samples_are_the_weights_of_a_pixel_in_scipys(degrees):
    image, size = image_of((6, 7)), (5, 4)
    view = RandomView(degrees=degrees)
    transform = view.transform(jax.random.key(3), (6, 7), size)
    see = functools.partial(sample, transform=transform, size=size, turns=view.turns)
    cotangent = image_of(size, 1)
    (slopes,) = jax.vjp(see, image)[1](cotangent)
    for row, column in np.ndindex(6, 7):
        spike = np.zeros((6, 7, 1))
        spike[row, column] = 1
        expected = (bilinear(spike, transform, size) * cotangent).sum((0, 1))
        np.testing.assert_allclose(slopes[row, column], expected, atol=2e-3)


@pytest.mark.parametrize(("image_size", "size"), SIZES)
def test_without_a_turn_both_ways_to_sample_agree(image_size, size):
    image = image_of(image_size)
    for key in keys_of(4):
        apart = RandomView(0.5, 1.3, None).see(key, image, size, scene_of(image_size))
        mixed = RandomView(0.5, 1.3, 0.0).see(key, image, size, scene_of(image_size))
        np.testing.assert_allclose(apart, mixed, atol=2e-3)


def test_a_view_of_all_in_the_same_size_is_the_image():
    image = image_of((8, 11))
    for degrees in (None, 0.0):
        seen = RandomView(1, 1, degrees).see(jax.random.key(1), image, (8, 11), scene_of((8, 11)))
        np.testing.assert_allclose(seen, image, atol=1e-3)


def test_a_view_of_all_in_half_the_size_is_the_mean_of_four():
    image = image_of((8, 12))
    seen = RandomView(1, 1, None).see(jax.random.key(1), image, (4, 6), scene_of((8, 12)))
    expected = np.asarray(image).reshape(4, 2, 6, 2, 3).mean((1, 3))
    np.testing.assert_allclose(seen, expected, atol=1e-3)


def rectangles(view, image_size, size):
    """Side, free share of rows and columns, and angle in degrees, of many draws."""
    draw = functools.partial(view.transform, image_size=image_size, size=size)
    matrices, offsets = jax.vmap(draw)(keys_of(NUM_DRAWS, 7))
    matrices, offsets = np.asarray(matrices, np.float64), np.asarray(offsets, np.float64)
    angles = np.rad2deg(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    sides = np.hypot(matrices[:, 0, 0], matrices[:, 1, 0]) * size[0] / image_size[0]
    middle = np.array(size) / 2 - 0.5
    centers = matrices @ middle + offsets + 0.5
    places = centers / image_size - sides[:, None] / 2
    return sides, places, places / (1 - sides[:, None]), angles


@pytest.mark.parametrize("degrees", [None, 12.0])
def test_rectangles_are_drawn_alike_from_all_inside(degrees):
    sides, places, shares, angles = rectangles(RandomView(0.5, 0.9, degrees), (20, 31), (8, 9))
    assert places.min() > -1e-5
    assert (places + sides[:, None]).max() < 1 + 1e-5
    uniform = stats.uniform(0.5, 0.4)
    assert stats.kstest(sides, uniform.cdf).pvalue > 1e-3
    for axis in range(2):
        assert stats.kstest(shares[:, axis], stats.uniform.cdf).pvalue > 1e-3
    drawn = [sides, *shares.T]
    if degrees is None:
        assert not angles.any()
    else:
        assert stats.kstest(angles, stats.uniform(-12, 24).cdf).pvalue > 1e-3
        drawn.append(angles)
    correlations = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(correlations).max() < 0.06  # four standard errors


def test_rectangles_larger_than_the_image_lie_around_it():
    sides, places, shares, _ = rectangles(RandomView(1.1, 1.4, None), (20, 31), (8, 9))
    assert places.max() < 1e-5
    assert (places + sides[:, None]).min() > 1 - 1e-5
    assert stats.kstest(shares[:, 0], stats.uniform.cdf).pvalue > 1e-3


def test_a_turn_keeps_proportions():
    view = RandomView(1, 1, 25)
    matrix, _ = view.transform(jax.random.key(4), (30, 20), (15, 10))
    # Both axes are halved alike, so the matrix is twice a rotation.
    np.testing.assert_allclose(matrix @ matrix.T, 4 * np.eye(2), atol=1e-4)
    assert np.linalg.det(matrix) == pytest.approx(4, rel=1e-4)


def test_noise_has_its_deviation_and_is_new_for_each_key():
    flat = jnp.full((40, 40, 3), 100.0)
    see = functools.partial(RandomView(noise=5.0).see, image=flat, size=(60, 60))
    first, second = (np.asarray(see(key, scene=scene_of((40, 40)))) for key in keys_of(2))
    for seen in (first, second):
        assert seen.std() == pytest.approx(5, rel=0.05)
        assert seen.mean() == pytest.approx(100, abs=0.3)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


@pytest.mark.parametrize(("rows", "columns"), [(2.0, 3.0), (0.0, 1.0), (9.0, 0.0)])
def test_rolled_images_are_numpys(rows, columns):
    image = image_of((5, 4))
    view = Roll(rows, columns)
    found = jax.vmap(lambda key: view.see(key, image, (5, 4), scene_of((5, 4))))(keys_of(60))
    shifts = {
        (down, right): np.roll(image, (down, right), (0, 1))
        for down in range(-int(rows), int(rows) + 1)
        for right in range(-int(columns), int(columns) + 1)
    }
    for seen in np.asarray(found):
        assert any(np.array_equal(seen, shifted) for shifted in shifts.values())


def test_shifts_are_all_as_likely():
    ramp = jnp.broadcast_to(
        jnp.arange(40.0)[:, None, None] * 40 + jnp.arange(40.0)[None, :, None], (40, 40, 1)
    )
    view = Roll(3.0, 2.0)
    scene = Scene((40, 40), 1, False, True)
    corner = jax.vmap(lambda key: view.see(key, ramp, (40, 40), scene)[20, 20, 0])
    seen = np.asarray(corner(keys_of(NUM_DRAWS)), int)
    rows, columns = 20 - seen // 40, 20 - seen % 40
    assert set(rows) == set(range(-3, 4))
    assert set(columns) == set(range(-2, 3))
    counts = np.histogram2d(rows, columns, [np.arange(-3.5, 4), np.arange(-2.5, 3)])[0]
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


@pytest.mark.parametrize("offset_std", [0.0, 0.1, 0.7])
def test_crops_lie_where_the_release_puts_them(offset_std):
    free = jnp.asarray([9, 4], jnp.int32)
    sizes = {"canvas_size": (21, 16), "window_size": (12, 12)}
    for key in keys_of(20):
        expected = crop_offset(key, **sizes, offset_std=offset_std)
        assert Crop(offset_std).offset(key, free).tolist() == expected.tolist()
        anywhere = crop_offset(key, **sizes, jitter="uniform")
        assert Crop(offset_std, uniform=1).offset(key, free).tolist() == anywhere.tolist()


def test_a_crop_is_seen_as_it_is():
    image = image_of((5, 6))
    assert Crop().see(jax.random.key(0), image, (5, 6), scene_of((5, 6))) is image


@pytest.mark.parametrize(
    "view", [RandomView(), RandomView(degrees=None, noise=3.0), Roll(3, 3)], ids=str
)
def test_views_under_jit_and_vmap_with_numbers_that_are_traced(view):
    assert isinstance(view, View)
    assert not view.crops
    keys, images = keys_of(3), jnp.stack([image_of((9, 8), seed) for seed in range(3)])

    def see(view, key, image):
        return view.see(key, image, (9, 8), scene_of((9, 8)))

    together = jax.jit(jax.vmap(see, (None, 0, 0)))(view, keys, images)
    for key, image, seen in zip(keys, images, together, strict=True):
        np.testing.assert_allclose(seen, see(view, key, image), atol=0.01)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomView(0.9, 0.5), "largest=0.5 must be at least smallest=0.9"),
        (lambda: RandomView((0.2, 0.9), 0.8), "must be at least smallest"),
        (
            lambda: RandomView().see(
                jax.random.key(0), image_of((8, 8)), (8, 8), scene_of((8, 8), False)
            ),
            "RandomView mixes rows and columns, which are not alike",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_only_views_that_crop_place_a_window():
    for view, crops in ((Crop(), True), (RandomView(), False), (Roll(), False)):
        assert isinstance(view, View)
        assert isinstance(view, CroppingView) is view.crops is crops


def test_a_view_that_crops_and_places_no_window_is_refused():
    class Half:
        crops = True

        def see(self, key, image, size, scene):
            return image

    with pytest.raises(ValueError, match="one with a method offset, since it crops"):
        Phase(num_steps=1, update=MeanAbsoluteStep(1.0), view=Half())
