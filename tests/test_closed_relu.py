"""Ascents of sums in which a ReLU is closed: opened where that raises the objective, not else."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfvjax.ascent import FacetStoppedWarning, visualize
from mfvjax.ascent.relu import read_with_relu_inputs
from mfvjax.objective import (
    direction_objective,
    read_objectives,
    stack_objectives,
    unit_objective,
)
from mfvjax.recipe import Phase, Recipe
from mfvjax.updates import MeanAbsoluteStep
from tests.tiny_network import SIZE, tiny_network

NETWORK = tiny_network()
ONE_DEVICE = jax.devices()[:1]
CLIMB = Recipe("climb", (Phase(num_steps=15, update=MeanAbsoluteStep(4.0)),))


def images(count):
    rng = np.random.default_rng(0)
    return rng.uniform(0, 255, (count, SIZE, SIZE, 3)).astype(np.float32)


def closed_and_open():
    """An image, and channels of conv2's center that are closed and open on it."""
    for image in images(24):
        values = np.asarray(NETWORK.activations(image[None])["conv2"])[0, 4, 4]
        if (values == 0).any() and (values > 0).any():
            return image, int(np.argmin(values)), int(np.argmax(values))
    raise AssertionError("no such image")


def gradient(objective, image):
    stacked = stack_objectives([objective], NETWORK.layers)
    read = functools.partial(NETWORK.read, NETWORK.params)

    def value(image):
        activations, inputs = read_with_relu_inputs(read, image[None], ("conv2",))
        return read_objectives(activations, stacked, relu_inputs=inputs)[0]

    return np.asarray(jax.grad(value)(jnp.asarray(image)))


def test_a_closed_unit_is_not_opened_to_be_subtracted():
    image, closed, opened = closed_and_open()
    a, b = unit_objective(f"conv2:{opened}"), unit_objective(f"conv2:{closed}")
    np.testing.assert_array_equal(gradient(a - b, image), gradient(a, image))
    assert np.abs(gradient(a + b, image) - gradient(a, image)).max() > 0
    climbed, alone = (
        visualize(NETWORK, target, image, recipe=CLIMB, key=0, devices=ONE_DEVICE)
        for target in (a - b, a)
    )
    # Opening the second unit, and then keeping it down again, would cost height.
    assert climbed.final_activations[0] > 0.97 * alone.final_activations[0]


def test_a_direction_opens_its_positive_channels_only():
    image, closed, _ = closed_and_open()
    up = np.zeros(6, np.float32)
    up[closed] = 1.0
    assert np.abs(gradient(direction_objective("conv2", up), image)).max() > 0
    assert not gradient(direction_objective("conv2", -up), image).any()


class Answers:
    """The network's forward with another end of conv2."""

    def __init__(self, end):
        self.end = end

    def __call__(self, params, net_input):
        out = dict(NETWORK.forward(params, net_input))
        return {**out, "conv2": self.end(out["conv2"])}


def test_a_closed_end_that_is_not_known_is_named():
    image, closed, _ = closed_and_open()
    # Nobody can read off a program that this leaves the ReLU before it as it is.
    network = dataclasses.replace(NETWORK, forward=Answers(lambda a: jnp.expm1(jnp.log1p(a))))
    options = {"recipe": CLIMB, "key": 0, "devices": ONE_DEVICE}
    with pytest.warns(FacetStoppedWarning, match="layer 'conv2' ends is not recognized as a ReLU"):
        result = visualize(network, f"conv2:{closed}", image, **options)
    assert result.stopped_at[0] == 0
    # One that is known is opened, and says nothing.
    climbed = visualize(NETWORK, f"conv2:{closed}", image, **options)
    assert climbed.final_activations[0] > 0
