"""The recipe of facet statistics: its numbers, and that it meets what its objective asks for."""

import dataclasses

import jax
import numpy as np
import optax
import pytest

from mfvjax.ascent import visualize
from mfvjax.facet_objective import UnitAndStatistics
from mfvjax.objective import TotalVariation, statistics_objective, unit_objective
from mfvjax.parametrizations import Fourier
from mfvjax.recipes import FACET_STATISTICS, FACET_STATISTICS_PATCH, FACET_STATISTICS_SMALL
from mfvjax.views import RandomView
from tests.tiny_network import tiny_network

LAYERS = ["conv1", "conv2"]


def test_its_numbers():
    (phase,) = FACET_STATISTICS.phases
    assert (phase.num_steps, phase.num_views) == (64, 2)
    assert phase.parametrization == Fourier(decay=1.0, divisor=4.0, decorrelated=True)
    assert phase.view == (RandomView(0.6, 1.1, degrees=8.0, noise=None),)
    (update,) = phase.update
    assert update.make is optax.adam
    assert update.options == {"learning_rate": 0.05}
    assert (phase.projections, phase.penalties, phase.target) == ((), (), "unit")
    assert FACET_STATISTICS.canvas_sizes((227, 227)) == [(257, 257)]
    assert FACET_STATISTICS.objective == UnitAndStatistics(unit=1.0, statistics=1.0, codes=1.0)


def test_what_small_inputs_and_patches_have_instead():
    (small,), (patch,) = FACET_STATISTICS_SMALL.phases, FACET_STATISTICS_PATCH.phases
    (whole,) = FACET_STATISTICS.phases
    assert small.penalties == (TotalVariation(beta=1.0, weight=0.05),)
    assert small.update[0].options == {"learning_rate": 0.03}
    plain = dataclasses.replace(small, penalties=(), update=whole.update)
    assert plain == whole
    assert patch.view == (RandomView(0.8, 1.05, degrees=8.0),)
    assert dataclasses.replace(patch, view=whole.view, scale=1.13) == whole
    assert FACET_STATISTICS_PATCH.objective == UnitAndStatistics(unit=0.05)


@pytest.fixture(scope="module")
def network():
    return tiny_network()


def blocks(seed, count=4):
    rng = np.random.default_rng(seed)
    images = rng.uniform(30, 225, (count, 6, 6, 3)).repeat(4, 1).repeat(4, 2)
    return images.astype(np.float32)


def distances(network, images, objective):
    """What the statistics terms ask to be 0, written out."""
    found = network.activations(images, LAYERS)
    total = np.zeros(len(images))
    for term in objective.terms:
        maps = np.asarray(found[term.layer], np.float64)
        for values, wanted in (
            (maps.mean((1, 2)), term.means),
            (maps.std((1, 2)), term.deviations),
        ):
            total += np.mean((values - wanted) ** 2, axis=1) / np.mean(wanted**2)
    return total


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pictures_meet_the_statistics_and_raise_the_unit(network, seed):
    real = blocks(seed)
    found = network.activations(real, [*LAYERS, "fc"])
    wanted = statistics_objective({name: np.asarray(found[name]) for name in LAYERS}, LAYERS)
    largest = float(np.abs(np.asarray(found["fc"])[:, 3]).max())
    whole = wanted + (1 / largest) * unit_objective("fc:3")
    start = real.mean(0, keepdims=True)
    recipe = FACET_STATISTICS.shortened(0.5)
    with jax.numpy_dtype_promotion("standard"):  # Adam's own arithmetic mixes dtypes
        made = visualize(network, [whole, wanted], start.repeat(2, 0), recipe=recipe, key=seed)
    center = made.images[:, 1:25, 1:25]
    before, after = (distances(network, x, wanted) for x in (start, center))
    assert after[0] < 0.7 * before[0]
    assert after[1] < 0.3 * before[0]  # with nothing else to climb
    units = np.asarray(network.activations(center, ["fc"])["fc"])[:, 3]
    assert units[0] > units[1] + 0.3 * largest
