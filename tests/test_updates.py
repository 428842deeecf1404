"""Links of the optimizer's chain against NumPy, SciPy and optax itself."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import ndimage

from mfvjax.ascent.plan import PhaseValues
from mfvjax.contracts import Update
from mfvjax.parametrizations import Fourier
from mfvjax.recipe import Phase
from mfvjax.schedule import Ramp
from mfvjax.updates import Given, GradientBlur, Margin, MeanAbsoluteStep, Optax
from mfvjax.views import RandomView

SHAPE = (9, 12, 3)


def gradient_of(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).normal(size=shape) * 7


def steps_of(update, gradients):
    """What a phase's chain makes of gradients, one step after the other; jitted, numbers traced."""
    values = PhaseValues.of(Phase(num_steps=len(gradients), update=update))

    @jax.jit
    def step(row, gradient, state):
        chain = values.plan.parts(row, values.constants, ()).transformation()
        return chain.update(gradient, state, gradient)

    def start(row, gradient):
        return values.plan.parts(row, values.constants, ()).transformation().init(gradient)

    gradients = [jnp.asarray(gradient, jnp.float32) for gradient in gradients]
    state = start(jnp.asarray(values.steps[0]), gradients[0])
    updates = []
    for row, gradient in zip(values.steps, gradients, strict=True):
        update, state = step(jnp.asarray(row), gradient, state)
        updates.append(np.asarray(update))
    return updates


def test_steps_are_those_of_the_release_downhill_of_the_loss():
    gradients = [gradient_of(seed) for seed in range(4)]
    found = steps_of(MeanAbsoluteStep((11.0, 5.0), margin_px=2), gradients)
    for size, gradient, update in zip([11, 9, 7, 5], gradients, found, strict=True):
        masked = np.zeros(SHAPE)
        masked[2:-2, 2:-2] = gradient[2:-2, 2:-2]
        np.testing.assert_allclose(update, -size / np.abs(masked).mean() * masked, rtol=1e-4)


def test_a_step_without_a_margin_moves_numbers_of_any_axes():
    gradient = gradient_of(shape=(5, 3, 2, 2))
    (found,) = steps_of(MeanAbsoluteStep(3.0), [gradient])
    np.testing.assert_allclose(found, -3 / np.abs(gradient).mean() * gradient, rtol=1e-4)
    (still,) = steps_of(MeanAbsoluteStep(3.0), [np.zeros(SHAPE)])
    assert not still.any()


@pytest.mark.parametrize("pixels", [0, 1, 4, 5])
def test_a_margin_gets_no_gradient(pixels):
    (found,) = steps_of(Margin(pixels), [gradient_of()])
    row, column = np.mgrid[:9, :12]
    from_border = np.minimum(np.minimum(row, 8 - row), np.minimum(column, 11 - column))
    inside = (from_border >= pixels)[..., None]
    np.testing.assert_allclose(found, np.where(inside, gradient_of(), 0), rtol=1e-6)


def test_a_margin_may_ramp():
    first, last = steps_of(Margin((0.0, 3.0)), [gradient_of(), gradient_of()])
    assert first[0].any()
    assert not last[:3].any()
    assert last[3].any()


@pytest.mark.parametrize("sigma", [0.4, 1.5])
def test_blurred_gradients_are_scipys(sigma):
    (found,) = steps_of(GradientBlur(sigma), [gradient_of()])
    expected = ndimage.gaussian_filter(gradient_of(), (sigma, sigma, 0))
    np.testing.assert_allclose(found, expected, atol=2e-5)


ADAMS = {
    "optax": optax.adam(0.3, b1=0.8, nesterov=True),
    "given": Given(optax.adam(0.3, b1=0.8, nesterov=True)),
    "made": Optax(optax.adam, {"learning_rate": 0.3, "b1": 0.8}, (("nesterov", True),)),
}


@pytest.mark.parametrize("update", ADAMS.values(), ids=ADAMS)
def test_adam_is_optaxs(update):
    adam = optax.adam(0.3, b1=0.8, nesterov=True)
    gradients = [gradient_of(seed) for seed in range(3)]
    with jax.numpy_dtype_promotion("standard"):  # optax's own arithmetic mixes dtypes
        found = steps_of(update, gradients)
        state = adam.init(jnp.zeros(SHAPE))
        for gradient, mine in zip(gradients, found, strict=True):
            expected, state = adam.update(jnp.asarray(gradient, jnp.float32), state)
            np.testing.assert_allclose(mine, expected, rtol=1e-4)


def test_options_of_optax_ramp():
    """Adam in plain NumPy, its step size and its second decay another in each step."""
    gradients = [gradient_of(seed) for seed in range(4)]
    options = {"learning_rate": Ramp(0.4, 0.1), "b2": (0.9, 0.6), "b1": 0.5}
    with jax.numpy_dtype_promotion("standard"):
        found = steps_of(Optax(optax.adam, options), gradients)
    mean, square = np.zeros(SHAPE), np.zeros(SHAPE)
    for i, (gradient, mine) in enumerate(zip(gradients, found, strict=True)):
        rate, b2 = 0.4 - 0.1 * i, 0.9 - 0.1 * i
        mean = 0.5 * mean + 0.5 * gradient
        square = b2 * square + (1 - b2) * gradient**2
        unbiased = mean / (1 - 0.5 ** (i + 1)), square / (1 - b2 ** (i + 1))
        expected = -rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
        np.testing.assert_allclose(mine, expected, rtol=1e-3)


def test_links_stand_in_a_row():
    row = [Margin(2), GradientBlur(1.0), optax.scale(-0.5)]
    (found,) = steps_of(row, [gradient_of()])
    masked = np.zeros(SHAPE)
    masked[2:-2, 2:-2] = gradient_of()[2:-2, 2:-2]
    np.testing.assert_allclose(found, -0.5 * ndimage.gaussian_filter(masked, (1, 1, 0)), atol=2e-5)


def test_updates_have_the_contract():
    for update in (
        Margin(1),
        GradientBlur(1),
        MeanAbsoluteStep(1),
        Optax(optax.sgd),
        ADAMS["given"],
    ):
        assert isinstance(update, Update)


def whole(update):
    return Phase(num_steps=1, update=update, view=RandomView(), parametrization=Fourier())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: whole(Margin(2)),
            "update=Margin.* without a margin or a blur: the numbers of Four",
        ),
        (lambda: whole((GradientBlur(1.0), optax.sgd(1.0))), "update=GradientBlur.* are no pixels"),
        (lambda: whole(MeanAbsoluteStep(1.0, margin_px=0)), "update=MeanAbsoluteStep.* no pixels"),
        (lambda: Phase(num_steps=1, update=GradientBlur(0.0)), "sigma=0.0 must be above 0"),
        (lambda: Phase(num_steps=1, update=Margin(-1)), "pixels=-1.0 must be 0 or more"),
        (lambda: Phase(num_steps=3, update=MeanAbsoluteStep((2, -1))), "size=.* 0 or more"),
        (lambda: Optax(optax.adam, {"b1": "large"}), "Optax option b1='large' must be a finite"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_steps_without_axes_are_taken_by_parametrizations_that_move_as_a_whole():
    assert whole(MeanAbsoluteStep(0.1)).update == (MeanAbsoluteStep(0.1),)
