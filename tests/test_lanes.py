"""Lanes and room: a batch cut to a program's shape and put together again, and what it computes."""

import dataclasses
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mfvjax.ascent import lanes, visualize
from mfvjax.ascent.loop import State, start_status
from mfvjax.ascent.program import compiled
from mfvjax.ascent.step import Facets
from mfvjax.priors.projections import Clip
from mfvjax.priors.tv_projection import TV
from mfvjax.recipe import Phase, Recipe
from mfvjax.updates import MeanAbsoluteStep
from tests.tiny_network import SIZE, tiny_network

NETWORK = tiny_network()
ONE_DEVICE = jax.devices()[:1]
PRIORS = (Clip(), TV(2.0, num_sweeps=6))
RECIPE = Recipe(
    "two canvases",
    (
        Phase(num_steps=6, update=MeanAbsoluteStep(3.0), projections=PRIORS),
        Phase(num_steps=6, update=MeanAbsoluteStep(2.0), projections=PRIORS, scale=1.3),
    ),
)


def starts_of(count):
    rng = np.random.default_rng(0)
    return rng.uniform(90, 160, (count, SIZE, SIZE, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("cores", "facets", "expected"),
    [(1, 10, 1), (2, 10, 2), (2, 1, 1), (2, 2, 1), (2, 3, 2), (16, 10, 5), (16, 40, 16)],
)
def test_a_lane_for_each_core_of_two_facets_or_more(monkeypatch, cores, facets, expected):
    monkeypatch.setattr(lanes, "_num_cores", lambda: cores)
    assert lanes.num_lanes(ONE_DEVICE, facets) == expected


def test_several_devices_need_no_lanes(monkeypatch):
    monkeypatch.setattr(lanes, "_num_cores", lambda: 16)
    assert lanes.num_lanes(ONE_DEVICE * 2, 40) == 1


def batch_of(count):
    """A state and facets that tell the facets apart."""
    canvases = jnp.asarray(starts_of(count))
    momentum = jax.vmap(optax.trace(decay=0.5).init)(canvases)
    state = State(canvases, jax.tree.map(lambda leaf: leaf + 7, momentum), *start_status(count))
    weights = jnp.arange(2.0 * count).reshape(count, 2)
    keys = jax.random.split(jax.random.key(0), count)
    return state, Facets((weights,), keys, jnp.arange(count, dtype=jnp.int32))


@pytest.mark.parametrize(("facets", "num_lanes"), [(5, 2), (4, 2), (3, 1), (7, 3)])
def test_split_and_join_are_each_others_inverse(facets, num_lanes):
    state, whole = batch_of(facets)
    parts = lanes.split((state, whole), lanes=num_lanes)
    assert len(parts) == num_lanes
    per_lane = -(-facets // num_lanes)
    for part, of_part in parts:
        assert part.numbers.shape == (per_lane, SIZE, SIZE, 3)
        assert of_part.keys.shape == (per_lane,)
    together = np.concatenate([of_part.objectives[0] for _, of_part in parts])
    np.testing.assert_array_equal(together[:facets], whole.objectives[0])
    traced = [(part, of_part.objectives[0].T) for part, of_part in parts]
    joined, trace = lanes.join(traced, num_facets=facets)
    for found, expected in zip(jax.tree.leaves(joined), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(trace, whole.objectives[0].T)


def test_lanes_cut_no_group_apart():
    state, whole = batch_of(9)
    assert lanes.num_lanes(ONE_DEVICE, 9, together=9) == 1
    parts = lanes.split((state, whole), lanes=2, together=3)
    # Three blocks of three in two lanes: the last block is repeated, each row a group of its own.
    assert [p.groups.tolist() for _, p in parts] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, -4, -5, -6]]
    assert [p.objectives[0][:, 0].tolist() for _, p in parts][1] == [12, 14, 16, 12, 14, 16]
    joined, _ = lanes.join(
        [(one, one.status[None].astype(jnp.float32)) for one, _ in parts], num_facets=9
    )
    np.testing.assert_array_equal(joined.numbers, state.numbers)


def test_lanes_run_at_the_same_time():
    meeting = threading.Barrier(3, timeout=30)

    def run(number):
        meeting.wait()  # breaks, and raises, unless all three get here
        return jnp.float32(number)

    found = lanes.side_by_side(run, [(number,) for number in range(3)])
    assert [float(value) for value in found] == [0, 1, 2]


def test_a_failing_lane_raises():
    def run(number):
        raise RuntimeError(f"lane {number}")

    with pytest.raises(RuntimeError, match="lane 0"):
        lanes.side_by_side(run, [(0,), (1,)])


def test_lanes_change_no_image(monkeypatch):
    results = []
    for cores in (1, 2):
        monkeypatch.setattr(lanes, "_num_cores", lambda cores=cores: cores)
        # A network of its own for each: compiled programs are kept by what they compute.
        forward = lambda params, net_input: NETWORK.forward(params, net_input)  # noqa: E731
        network = dataclasses.replace(NETWORK, forward=forward)
        targets = ["fc:0", "fc:3", "conv2:1"]
        results.append(
            visualize(network, targets, starts_of(3), recipe=RECIPE, key=1, devices=ONE_DEVICE)
        )
    one, two = results
    for ours, theirs in zip(one.phase_images, two.phase_images, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=0.05)
    np.testing.assert_allclose(one.activations, two.activations, rtol=1e-3, atol=1e-3)
    assert one.images.shape[1] > SIZE
    alone = visualize(
        NETWORK,
        ["fc:0", "fc:3", "conv2:1"],
        starts_of(3),
        recipe=Recipe("first", RECIPE.phases[:1]),
        key=1,
        devices=ONE_DEVICE,
    )
    # A program with room for the second canvas takes the same steps on the first.
    np.testing.assert_allclose(one.phase_images[0], alone.images, atol=0.05)


def test_an_option_that_the_compiler_does_not_know_is_left_out():
    lowered = jax.jit(lambda x: x + 1).lower(jnp.ones(3))
    run = compiled(lowered, {"xla_cpu_no_such_option": "1"})
    assert run(jnp.ones(3)).tolist() == [2, 2, 2]
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_cpu_prefer_vector_width"):
        compiled(lowered, {"xla_cpu_prefer_vector_width": "wide"})
