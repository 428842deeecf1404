"""Climbing probabilities: beside the term that holds a facet, and of layers that hold them."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import special

from mfvjax.ascent import visualize
from mfvjax.ascent.inputs import find_softmax_layers
from mfvjax.facet_objective import UnitHeld
from mfvjax.facets.discover import discover_facets
from mfvjax.network import Network
from mfvjax.objective import read_objectives, stack_objectives, unit_objective
from mfvjax.objective.probability import climb_probability
from mfvjax.pipeline import plan_ascent
from mfvjax.pipeline.sources import open_source
from mfvjax.recipe import Phase, Recipe
from mfvjax.recipes import MEAN_IMAGE, RELEASE_CENTER_BIASED
from mfvjax.types import LayerInfo
from mfvjax.updates import MeanAbsoluteStep
from tests.tiny_network import SIZE, tiny_network

ONE_DEVICE = jax.devices()[:1]
NETWORK = tiny_network()


class WithProb:
    """A forward that adds the softmax of fc as a layer, as Caffe's definitions do."""

    def __call__(self, params, net_input):
        out = dict(NETWORK.forward(params, net_input))
        return {**out, "prob": jax.nn.softmax(out["fc"])}


def with_prob():
    info = LayerInfo("prob", (7,))
    return dataclasses.replace(NETWORK, forward=WithProb(), layers={**NETWORK.layers, "prob": info})


@pytest.mark.slow
def test_a_held_facet_climbs_its_probability_from_noise():
    """Without the others' share the term that holds a facet is all that is left of it."""
    network = Network.load("compact")
    peppers = open_source("facetworld:bell pepper", network=network)
    facets = discover_facets(network, peppers, unit="fc8:0", num_facets=4)
    plan = plan_ascent(network, facets, objective=UnitHeld(5.0), seed=0)
    rng = np.random.default_rng(0)
    noise = np.clip(rng.normal(175, 8, (4, *plan.starts.shape[1:])), 0, 255)
    first = dataclasses.replace(RELEASE_CENTER_BIASED.phases[0], num_steps=40)
    result = visualize(network, plan.objectives[:4], noise, recipe=Recipe("first", (first,)), key=0)
    found = special.softmax(np.asarray(network.activations(result.images, "fc8")["fc8"]), axis=1)
    # Three of the four were below 4e-4 when the term stood beside the bare probability.
    assert (found[:, 0] > 0.05).all(), found[:, 0]
    assert (result.stopped_at == -1).all()


def test_layers_of_probabilities_are_told_from_others():
    network = with_prob()
    units = [unit_objective(unit) for unit in ("prob:0", "conv2:1", "fc:2")]
    assert find_softmax_layers(network, units, RELEASE_CENTER_BIASED) == ("prob",)
    assert find_softmax_layers(network, units, MEAN_IMAGE) == ()


def test_no_softmax_of_a_softmax():
    network = with_prob()
    images = np.random.default_rng(0).uniform(60, 200, (2, SIZE, SIZE, 3)).astype(np.float32)
    activations = network.activations(images)
    expected = np.asarray(activations["prob"])[:, 3]
    units = [unit_objective(unit) for unit in ("prob:3", "fc:3")]
    climbed = [climb_probability(unit, ("prob",)) for unit in units]
    values = read_objectives(activations, stack_objectives(climbed, network.layers))
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    phase = Phase(num_steps=2, update=MeanAbsoluteStep(1.0), target="probability")
    options = {"recipe": Recipe("p", (phase,)), "key": 0, "devices": ONE_DEVICE}
    one = visualize(network, "prob:3", images, **options)
    other = visualize(network, "fc:3", images, **options)
    np.testing.assert_allclose(one.activations, other.activations, rtol=1e-5)
    np.testing.assert_allclose(one.images, other.images, atol=0.01)
