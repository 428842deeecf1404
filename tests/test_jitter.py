"""Crops: where they fall, against exact probabilities, and that they write back what they read."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mfvjax.priors.jitter import crop, crop_offset, margin_mask, paste

NUM_DRAWS = 20_000


@functools.cache
def offsets(canvas, window, offset_std=0.3, jitter="center"):
    keys = jax.random.split(jax.random.key(3), NUM_DRAWS)
    draw = functools.partial(
        crop_offset, canvas_size=canvas, window_size=window, offset_std=offset_std, jitter=jitter
    )
    return np.asarray(jax.jit(jax.vmap(draw))(keys))


def center_probabilities(free, offset_std):
    """Of each offset: the normal distribution, cut toward zero and clipped."""
    below = stats.norm(free / 2, free * offset_std).cdf(np.arange(1, free + 1))
    return np.diff(np.concatenate([[0], below, [1]]))


def assert_drawn_from(draws, probabilities):
    counts = np.bincount(draws, minlength=len(probabilities))
    assert len(counts) == len(probabilities)
    common = probabilities * len(draws) >= 5  # the test wants no rarer cells
    counts = np.append(counts[common], counts[~common].sum())
    expected = np.append(probabilities[common], probabilities[~common].sum()) * len(draws)
    kept = expected > 0
    assert stats.chisquare(counts[kept], expected[kept]).pvalue > 1e-3


@pytest.mark.parametrize("offset_std", [0.1, 0.3])
def test_center_offsets_follow_the_clipped_normal(offset_std):
    draws = offsets((272, 260), (227, 227), offset_std)
    assert draws.dtype == np.int32
    for axis, free in enumerate((45, 33)):
        assert_drawn_from(draws[:, axis], center_probabilities(free, offset_std))
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.03


def test_uniform_offsets_are_all_as_likely():
    draws = offsets((20, 13), (12, 12), jitter="uniform")
    for axis, free in enumerate((8, 1)):
        assert_drawn_from(draws[:, axis], np.full(free + 1, 1 / (free + 1)))


@pytest.mark.parametrize("jitter", ["center", "uniform"])
def test_no_free_range_is_one_offset(jitter):
    assert not offsets((12, 12), (12, 12), jitter=jitter).any()


def test_offsets_are_cut_toward_zero_as_python_does():
    for seed in range(20):
        key = jax.random.key(seed)
        noise = np.asarray(jax.random.normal(key, (2,)), np.float32)
        expected = [min(max(int(4.5 + 9 * 2.0 * n), 0), 9) for n in noise]
        actual = crop_offset(key, canvas_size=(21, 21), window_size=(12, 12), offset_std=2.0)
        assert actual.tolist() == expected


def test_zero_spread_is_the_center():
    offset = crop_offset(
        jax.random.key(0), canvas_size=(272, 273), window_size=(227, 227), offset_std=0.0
    )
    assert offset.tolist() == [22, 23]


def test_spread_is_traced():
    traces = 0

    @jax.jit
    def draw(key, offset_std):
        nonlocal traces
        traces += 1
        return crop_offset(key, canvas_size=(9, 9), window_size=(4, 4), offset_std=offset_std)

    for offset_std in (0.1, 0.3):
        draw(jax.random.key(0), offset_std)
    assert traces == 1


def test_paste_undoes_crop_and_touches_nothing_else():
    rng = np.random.default_rng(0)
    canvases = jnp.asarray(rng.uniform(0, 255, (4, 9, 11, 3)), jnp.float32)
    windows = jnp.asarray(rng.uniform(0, 255, (4, 5, 4, 3)), jnp.float32)
    places = jnp.asarray([[0, 0], [4, 7], [2, 3], [1, 6]], jnp.int32)
    cropped = jax.vmap(lambda canvas, offset: crop(canvas, offset, (5, 4)))(canvases, places)
    pasted = jax.jit(jax.vmap(paste))(canvases, windows, places)
    for index, (row, column) in enumerate(places.tolist()):
        expected = np.array(canvases[index])
        np.testing.assert_array_equal(cropped[index], expected[row : row + 5, column : column + 4])
        np.testing.assert_array_equal(
            paste(canvases[index], cropped[index], places[index]), canvases[index]
        )
        expected[row : row + 5, column : column + 4] = windows[index]
        np.testing.assert_array_equal(pasted[index], expected)


@pytest.mark.parametrize("margin_px", [0, 1, 3, 4, 9])
def test_margin_mask_keeps_the_inside(margin_px):
    expected = np.zeros((8, 11, 1), np.float32)
    expected[margin_px : 8 - margin_px, margin_px : 11 - margin_px] = 1
    actual = jax.jit(functools.partial(margin_mask, (8, 11)))(margin_px)
    np.testing.assert_array_equal(actual, expected if 2 * margin_px < 8 else 0 * expected)


def test_margin_of_the_published_schedule_keeps_127_pixels():
    mask = np.asarray(margin_mask((227, 227), 50))
    assert mask.sum() == 127**2
    assert mask[50:177, 50:177].all()


def test_a_window_larger_than_the_canvas_is_an_error():
    with pytest.raises(ValueError, match="does not fit into canvas_size"):
        crop_offset(jax.random.key(0), canvas_size=(20, 9), window_size=(12, 12))


def test_unknown_jitter_is_an_error():
    draw = functools.partial(crop_offset, canvas_size=(9, 9), window_size=(4, 4))
    draw = getattr(draw.func, "__wrapped__", draw.func)  # past the check of annotations
    with pytest.raises(ValueError, match="'center' or 'uniform'"):
        draw(jax.random.key(0), canvas_size=(9, 9), window_size=(4, 4), jitter="gauss")
