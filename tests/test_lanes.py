"""Lanes and room: a batch cut to a program's shape and put together again, and what it computes."""

import dataclasses
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mfvjax.ascent import lanes, visualize
from mfvjax.ascent.engine import DEFAULT_OPTIMIZER
from mfvjax.ascent.loop import init_state
from mfvjax.ascent.program import compiled
from mfvjax.schedule import Phase, Schedule
from tests.tiny_network import SIZE, tiny_network

NETWORK = tiny_network()
ONE_DEVICE = jax.devices()[:1]
SCHEDULE = Schedule(
    "two canvases",
    (
        Phase(num_steps=6, step_size=3.0, fidelity=2.0, num_sweeps=6),
        Phase(num_steps=6, step_size=2.0, fidelity=2.0, num_sweeps=6, scale=1.3),
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


@pytest.mark.parametrize(("facets", "num_lanes"), [(5, 2), (4, 2), (3, 1), (7, 3)])
def test_split_and_join_are_each_others_inverse(facets, num_lanes):
    momentum = optax.chain(DEFAULT_OPTIMIZER, optax.trace(decay=0.5))
    state = init_state(momentum, jnp.asarray(starts_of(facets)))
    state = state._replace(opt_state=jax.tree.map(lambda leaf: leaf + 7, state.opt_state))
    keys = jax.random.split(jax.random.key(0), facets)
    readouts = {"weights": jnp.arange(2.0 * facets).reshape(facets, 2)}
    room = (SIZE + 5, SIZE + 3)
    parts = lanes.split((state, readouts, keys), lanes=num_lanes, room=room)
    assert len(parts) == num_lanes
    per_lane = -(-facets // num_lanes)
    for part, _, part_keys in parts:
        assert part.canvases.shape == (per_lane, *room, 3)
        assert not part.canvases[:, SIZE:].any()
        assert not part.canvases[:, :, SIZE:].any()
        momenta = jax.tree.leaves(part.opt_state)
        assert [leaf.shape for leaf in momenta] == [part.canvases.shape]
        assert part_keys.shape == (per_lane,)
    together = np.concatenate([part[1]["weights"] for part in parts])
    np.testing.assert_array_equal(together[:facets], readouts["weights"])
    traced = [(part[0], part[1]["weights"].T) for part in parts]
    joined, trace = lanes.join(traced, num_facets=facets, size=(SIZE, SIZE))
    for found, expected in zip(jax.tree.leaves(joined), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(trace, readouts["weights"].T)


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
            visualize(network, targets, starts_of(3), schedule=SCHEDULE, key=1, devices=ONE_DEVICE)
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
        schedule=Schedule("first", SCHEDULE.phases[:1]),
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
