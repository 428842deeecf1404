"""One step against the release's arithmetic in NumPy, and the pieces around it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mfvjax.ascent.plan import PhaseValues
from mfvjax.ascent.scene import Frame, Reader
from mfvjax.ascent.step import NOT_FINITE, RUNNING, VANISHED, Facets, Now, Step
from mfvjax.objective import climb_probability, stack_objectives, unit_objective
from mfvjax.priors.projections import Clip
from mfvjax.priors.tv_projection import TV
from mfvjax.recipe import Phase
from mfvjax.types import PixelBox
from mfvjax.updates import MeanAbsoluteStep, mean_absolute
from tests.oracles.ascent import release_step
from tests.tiny_network import SIZE, tiny_network

NETWORK = tiny_network()
RELEASE = TV(1.0, rule="scikit-image", order="raster", num_sweeps=100, tolerance=1e-3)
READER = Reader(NETWORK.forward, NETWORK.preprocessing)


def windows_of(count, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.uniform(60, 200, (count, SIZE, SIZE, 3)), jnp.float32)


class Answers:
    """A network's forward with something done to its answers."""

    def __init__(self, change):
        self.change = change

    def __call__(self, params, net_input):
        return self.change(dict(NETWORK.forward(params, net_input)))


def step(windows, units, *tv, reader=READER, size=3.0, margin=0, target="unit", region=None):
    phase = Phase(
        num_steps=1, update=MeanAbsoluteStep(size, margin_px=margin), projections=(Clip(), *tv)
    )
    values = PhaseValues.of(phase)
    frame = Frame.of(reader, region)
    objectives = [unit_objective(NETWORK.resolve(unit)) for unit in units]
    if target == "probability":
        objectives = [climb_probability(objective, ()) for objective in objectives]
    keys = jax.random.split(jax.random.key(0), len(units))
    facets = Facets(
        stack_objectives(objectives, NETWORK.layers), keys, jnp.zeros(len(units), jnp.int32)
    )
    take = Step(frame, values.plan, frame.window_size)
    now = Now(jnp.asarray(values.steps[0]), values.constants, keys)
    state = jax.vmap(mean_absolute().init)(windows)
    opt_state = (state, state, state)
    return take(NETWORK.params, facets, now, windows, opt_state)


@pytest.mark.parametrize(
    ("step_size", "fidelity", "margin"), [(1.0, 0.4, 0), (11.0, 0.01, 0), (3.0, 2.0, 5)]
)
def test_a_step_is_that_of_the_release(step_size, fidelity, margin):
    windows, units = windows_of(3), ["fc:2", "conv2:1", "fc:6"]
    tv = dataclasses.replace(RELEASE, fidelity=fidelity)
    result = step(windows, units, tv, size=step_size, margin=margin)

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
        assert result.values[i] == pytest.approx(float(value), rel=1e-5)
        # float32 against float64 over a hundred sweeps, which may stop one sweep apart.
        rms = np.sqrt(np.mean((np.asarray(result.numbers[i]) - expected) ** 2))
        assert rms < 5e-3
    assert result.status.tolist() == [RUNNING] * 3


def test_the_mean_counts_masked_zeros():
    windows = jnp.full((1, SIZE, SIZE, 3), 128.0)
    moved = step(windows, ["fc:0"], size=2.0, margin=6).numbers - windows
    assert float(jnp.mean(jnp.abs(moved))) == pytest.approx(2.0, rel=1e-4)
    assert not moved[:, :6].any()
    assert not moved[:, :, -6:].any()


def test_a_step_stays_in_the_pixel_range():
    moved = step(windows_of(2), ["fc:0", "fc:1"], size=500.0).numbers
    assert float(moved.min()) == 0
    assert float(moved.max()) == 255


def test_probability_climbs_the_softmax_of_the_layer():
    windows = windows_of(2)
    logits = NETWORK.read(NETWORK.params, windows)["fc"]
    result = step(windows, ["fc:0", "fc:5"], size=0.5, target="probability")
    expected = [jax.nn.softmax(logits[0])[0], jax.nn.softmax(logits[1])[5]]
    np.testing.assert_allclose(result.values, expected, rtol=1e-5)
    after = jax.nn.softmax(NETWORK.read(NETWORK.params, result.numbers)["fc"])
    assert after[0, 0] > expected[0]
    assert after[1, 5] > expected[1]


def test_normalization_against_numpy_and_at_extreme_scales():
    update = mean_absolute().update
    gradient = np.random.default_rng(0).normal(size=(6, 5, 3)).astype(np.float32)
    expected = gradient / np.abs(gradient).mean()
    for scale in (1e-34, 1e-20, 1.0, 1e30):
        normalized, _ = update(jnp.asarray(gradient * np.float32(scale)), optax.EmptyState())
        np.testing.assert_allclose(normalized, expected, rtol=2e-5)
    zeros, _ = update(jnp.zeros((2, 2, 3)), optax.EmptyState())
    assert not zeros.any()


def test_place_sets_windows_into_a_flat_image():
    box = PixelBox(3, 5, 13, 12)
    frame = Frame(READER, box, (1.0, 2.0, 3.0))
    windows = windows_of(2)[:, :10, :7]
    placed = np.asarray(frame.place(windows))
    np.testing.assert_array_equal(placed[:, 3:13, 5:12], windows)
    outside = np.ones((SIZE, SIZE), bool)
    outside[3:13, 5:12] = False
    np.testing.assert_array_equal(placed[0][outside], np.tile([1.0, 2.0, 3.0], (506, 1)))


def test_facets_that_cannot_move_say_why():
    def spoil(out):
        factors = jnp.asarray([1.0, jnp.nan, 0.0], jnp.float32)
        return {**out, "fc": out["fc"] * factors[:, None]}

    windows = windows_of(3)
    tv = TV(0.3, num_sweeps=3)
    reader = Reader(Answers(spoil), NETWORK.preprocessing)
    result = step(windows, ["fc:0"] * 3, tv, reader=reader)
    assert result.status.tolist() == [RUNNING, NOT_FINITE, VANISHED]
    alone = step(windows[:1], ["fc:0"], tv)
    np.testing.assert_allclose(result.numbers[0], alone.numbers[0], atol=1e-3)
