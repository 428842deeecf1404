"""One step against the release's arithmetic in NumPy, and the pieces around it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mfvjax.ascent.step import (
    NOT_FINITE,
    RUNNING,
    VANISHED,
    StepOptions,
    ascend,
    normalize_by_mean_absolute,
    place,
)
from mfvjax.objective import stack_objectives, unit_objective
from mfvjax.priors.jitter import margin_mask
from mfvjax.types import PixelBox
from tests.oracles.ascent import release_step
from tests.tiny_network import SIZE, tiny_network

NETWORK = tiny_network()
RELEASE = StepOptions(
    (SIZE, SIZE), tv_rule="scikit-image", tv_order="raster", num_sweeps=100, tv_tolerance=1e-3
)


def windows_of(count, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.uniform(60, 200, (count, SIZE, SIZE, 3)), jnp.float32)


def step(windows, units, options, *, read=NETWORK.read, step_size=3.0, fidelity=0.3, margin=0):
    optimizer = normalize_by_mean_absolute()
    return ascend(
        read,
        NETWORK.params,
        stack_objectives([unit_objective(NETWORK.resolve(u)) for u in units], NETWORK.layers),
        windows,
        jax.vmap(optimizer.init)(windows),
        options=options,
        optimizer=optimizer,
        step_size=step_size,
        fidelity=fidelity,
        mask=margin_mask(options.window_size, margin),
    )


@pytest.mark.parametrize(
    ("step_size", "fidelity", "margin"), [(1.0, 0.4, 0), (11.0, 0.01, 0), (3.0, 2.0, 5)]
)
def test_a_step_is_that_of_the_release(step_size, fidelity, margin):
    windows, units = windows_of(3), ["fc:2", "conv2:1", "fc:6"]
    result = step(windows, units, RELEASE, step_size=step_size, fidelity=fidelity, margin=margin)

    def activation(image, unit):
        unit = NETWORK.resolve(unit)
        value = NETWORK.read(NETWORK.params, image[None])[unit.layer][0, ..., unit.index]
        return value if unit.position is None else value[unit.position]

    for i, unit in enumerate(units):
        value, gradient = jax.value_and_grad(activation)(windows[i], unit)
        expected = release_step(
            np.asarray(windows[i], np.float64),
            np.asarray(gradient, np.float64),
            step_size=step_size,
            fidelity=fidelity,
            margin=margin,
        )
        assert result.activations[i] == pytest.approx(float(value), rel=1e-5)
        # float32 against float64 over a hundred sweeps, which may stop one sweep apart.
        rms = np.sqrt(np.mean((np.asarray(result.windows[i]) - expected) ** 2))
        assert rms < 5e-3
    assert result.status.tolist() == [RUNNING] * 3


def test_the_mean_counts_masked_zeros():
    no_tv = StepOptions((SIZE, SIZE), num_sweeps=0)
    windows = jnp.full((1, SIZE, SIZE, 3), 128.0)
    moved = step(windows, ["fc:0"], no_tv, step_size=2.0, margin=6).windows - windows
    assert float(jnp.mean(jnp.abs(moved))) == pytest.approx(2.0, rel=1e-4)
    assert not moved[:, :6].any()
    assert not moved[:, :, -6:].any()


def test_a_step_stays_in_the_pixel_range():
    no_tv = StepOptions((SIZE, SIZE), num_sweeps=0)
    moved = step(windows_of(2), ["fc:0", "fc:1"], no_tv, step_size=500.0).windows
    assert float(moved.min()) == 0
    assert float(moved.max()) == 255


def test_probability_climbs_the_softmax_of_the_layer():
    options = StepOptions((SIZE, SIZE), target="probability", num_sweeps=0)
    windows = windows_of(2)
    logits = NETWORK.read(NETWORK.params, windows)["fc"]
    result = step(windows, ["fc:0", "fc:5"], options, step_size=0.5)
    expected = [jax.nn.softmax(logits[0])[0], jax.nn.softmax(logits[1])[5]]
    np.testing.assert_allclose(result.activations, expected, rtol=1e-5)
    after = jax.nn.softmax(NETWORK.read(NETWORK.params, result.windows)["fc"])
    assert after[0, 0] > expected[0]
    assert after[1, 5] > expected[1]


def test_normalization_against_numpy_and_at_extreme_scales():
    update = normalize_by_mean_absolute().update
    gradient = np.random.default_rng(0).normal(size=(6, 5, 3)).astype(np.float32)
    expected = gradient / np.abs(gradient).mean()
    for scale in (1e-34, 1e-20, 1.0, 1e30):
        normalized, _ = update(jnp.asarray(gradient * np.float32(scale)), optax.EmptyState())
        np.testing.assert_allclose(normalized, expected, rtol=2e-5)
    zeros, _ = update(jnp.zeros((2, 2, 3)), optax.EmptyState())
    assert not zeros.any()


def test_place_sets_windows_into_a_flat_image():
    box = PixelBox(3, 5, 13, 12)
    options = StepOptions((SIZE, SIZE), region=box, fill=(1.0, 2.0, 3.0))
    windows = windows_of(2)[:, :10, :7]
    placed = np.asarray(place(windows, options))
    np.testing.assert_array_equal(placed[:, 3:13, 5:12], windows)
    outside = np.ones((SIZE, SIZE), bool)
    outside[3:13, 5:12] = False
    np.testing.assert_array_equal(placed[0][outside], np.tile([1.0, 2.0, 3.0], (506, 1)))


def test_facets_that_cannot_move_say_why():
    def read(params, images):
        out = dict(NETWORK.read(params, images))
        factors = jnp.asarray([1.0, jnp.nan, 0.0], jnp.float32)
        out["fc"] = out["fc"] * factors[:, None]
        return out

    windows = windows_of(3)
    options = StepOptions((SIZE, SIZE), num_sweeps=3)
    result = step(windows, ["fc:0"] * 3, options, read=read)
    assert result.status.tolist() == [RUNNING, NOT_FINITE, VANISHED]
    alone = step(windows[:1], ["fc:0"], options)
    np.testing.assert_allclose(result.windows[0], alone.windows[0], atol=1e-3)
