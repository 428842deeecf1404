"""Units whose ReLU is closed: the input of the ReLU is found, and climbed from there."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from mfvjax.ascent import visualize
from mfvjax.ascent.relu import read_with_relu_inputs
from mfvjax.models import ops
from mfvjax.network.precision import PreciseForward
from mfvjax.objective import channel_objective, read_objectives, stack_objectives, unit_objective
from mfvjax.schedule import Phase, Schedule
from tests.small_graph import LAYERS, small_network
from tests.tiny_network import SIZE, TinyNet, tiny_network

MODULE = TinyNet(rngs=nnx.Rngs(0))
NETWORK = tiny_network()
CENTER = 4  # of conv2's 8 positions


def images(count=2, *, size=SIZE, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.uniform(0, 255, (count, size, size, 3)), jnp.float32)


def inputs_found(forward, x=None, layers=None):
    x = images() if x is None else x
    names = layers or tuple(jax.eval_shape(forward, x))
    activations, inputs = jax.jit(lambda x: read_with_relu_inputs(forward, x, names))(x)
    for name, expected in forward(x).items():  # the activations are left as they are
        np.testing.assert_allclose(activations[name], expected, rtol=1e-5, atol=1e-5)
    return inputs


def before_relu(net_input):
    """conv1 and conv2 of `TinyNet` before their ReLUs."""
    first = MODULE.conv1(net_input)
    return {"conv1": first, "conv2": MODULE.conv2(nnx.relu(first))}


def test_inputs_of_relus_are_found():
    found = inputs_found(functools.partial(NETWORK.read, NETWORK.params))
    assert sorted(found) == ["conv1", "conv2"]
    expected = before_relu(NETWORK.preprocessing.to_net_input(images()))
    for name, value in found.items():
        assert float(value.min()) < -0.1
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-5)


def test_only_layers_asked_for_are_looked_at():
    read = functools.partial(NETWORK.read, NETWORK.params)
    assert list(inputs_found(read, layers=("conv2", "fc"))) == ["conv2"]


@pytest.mark.parametrize(
    "relu",
    [
        jax.nn.relu,
        nnx.relu,
        linen.relu,
        jax.nn.relu6,
        jax.jit(jax.nn.relu),
        lambda x: jnp.maximum(x, 0),
        lambda x: jnp.maximum(0.0, x),
        lambda x: jax.lax.max(x, jnp.zeros_like(x)),
        lambda x: jax.nn.relu(x).astype(jnp.bfloat16).astype(jnp.float32),
        lambda x: jnp.minimum(6.0, jnp.maximum(x, 0.0)),
    ],
)
def test_the_ways_to_write_a_relu(relu):
    x = images() - 128
    (found,) = inputs_found(lambda x: {"a": relu(x)}, x).values()
    np.testing.assert_array_equal(found, x)


@pytest.mark.parametrize(
    "function",
    [
        jax.nn.gelu,
        jax.nn.leaky_relu,
        jax.nn.sigmoid,
        lambda x: jnp.maximum(x, 1.0),
        lambda x: jnp.maximum(x, -x),
        lambda x: jnp.maximum(x, jnp.zeros_like(x).at[0].set(1)),
        lambda x: jax.nn.relu(x) + 1,
        lambda x: jnp.minimum(x, 6.0),
        lambda x: jnp.concatenate([jax.nn.relu(x), x], -1),
        lambda x: x,
        lambda x: jnp.zeros_like(x),
    ],
)
def test_what_is_no_relu(function):
    assert inputs_found(lambda x: {"a": function(x - 128)}) == {}


def test_joined_relus_and_compiled_forwards():
    @jax.jit
    def forward(x):
        branches = [jax.nn.relu(x - 100), jnp.maximum(2 * x - 300, 0)]
        return {"z": x.mean((1, 2)), "joined": jnp.concatenate(branches, axis=-1)}

    found = inputs_found(forward)
    expected = np.concatenate([images() - 100, 2 * images() - 300], axis=-1)
    np.testing.assert_allclose(found["joined"], expected, rtol=1e-6, atol=1e-4)


def test_caffe_graphs_and_other_precisions():
    network = small_network([*LAYERS[:5], ("relu2", ops.ReLU(), ["conv2"], "conv2"), *LAYERS[6:]])
    x = images(size=30)
    read = functools.partial(network.read, network.params)
    found = inputs_found(read, x)
    assert sorted(found) == ["conv1", "conv2"]
    assert "both" not in found  # joins a normalized map with a ReLU's
    for name, value in found.items():
        np.testing.assert_allclose(np.maximum(value, 0), read(x)[name], rtol=1e-4, atol=1e-4)
        assert float(value.min()) < 0
    half = network.with_precision("bfloat16")
    scale = float(np.abs(found["conv2"]).max())
    for forward in (half.forward, PreciseForward(network.forward, "bfloat16")):
        net_input = network.preprocessing.to_net_input(x)
        read = functools.partial(forward, network.params)
        _, coarse = read_with_relu_inputs(read, net_input, ("conv2",))
        assert coarse["conv2"].dtype == jnp.float32
        np.testing.assert_allclose(coarse["conv2"], found["conv2"], atol=0.05 * scale)


def gradients(objectives, x, *, opened):
    """Values and gradients of a batch of objectives."""
    readouts = stack_objectives(objectives, NETWORK.layers)
    read = functools.partial(NETWORK.read, NETWORK.params)

    def value(x):
        activations, inputs = read_with_relu_inputs(read, x, tuple(readouts.linear))
        return read_objectives(activations, readouts, relu_inputs=inputs if opened else None)

    values, pullback = jax.vjp(value, x)
    return np.asarray(values), np.asarray(pullback(jnp.ones_like(values))[0])


def test_a_closed_unit_has_the_gradient_from_before_its_relu():
    x, channels = images(24), np.arange(24) % 6
    objectives = [unit_objective(f"conv2:{channel}") for channel in channels]
    values, plain = gradients(objectives, x, opened=False)
    same_values, opened = gradients(objectives, x, opened=True)
    closed = values == 0
    assert 3 <= closed.sum() <= 21
    np.testing.assert_array_equal(same_values, values)
    np.testing.assert_array_equal(opened[~closed], plain[~closed])
    assert not plain[closed].any()

    def before(x):
        net_input = NETWORK.preprocessing.to_net_input(x)
        return before_relu(net_input)["conv2"][jnp.arange(24), CENTER, CENTER, channels].sum()

    expected = np.asarray(jax.grad(before)(x))
    np.testing.assert_allclose(opened, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_a_channel_with_any_open_position_keeps_its_gradient():
    x = images(6)
    objectives = [channel_objective("conv2", channel) for channel in range(6)]
    values, plain = gradients(objectives, x, opened=False)
    _, opened = gradients(objectives, x, opened=True)
    assert (values > 0).all()
    np.testing.assert_array_equal(opened, plain)


def test_only_the_closed_term_of_a_sum_is_opened():
    x = images(24)
    closed_channel = [unit_objective(f"conv2:{i % 6}") for i in range(24)]
    values, _ = gradients(closed_channel, x, opened=True)
    row = int(np.flatnonzero(values == 0)[0])
    closed, open_one = closed_channel[row], unit_objective("fc:1")
    one = [gradients([o], x[row : row + 1], opened=True)[1] for o in (closed, open_one)]
    _, both = gradients([closed + 3.0 * open_one], x[row : row + 1], opened=True)
    np.testing.assert_allclose(both, one[0] + 3 * one[1], rtol=1e-4, atol=1e-7)


def test_the_ascent_opens_closed_units():
    x = images(24)
    units = [f"conv2:{i % 6}" for i in range(24)]
    values, _ = gradients([unit_objective(unit) for unit in units], x, opened=True)
    rows = np.flatnonzero(values == 0)
    schedule = Schedule("climb", (Phase(num_steps=12, step_size=6.0, fidelity=2.0, num_sweeps=4),))
    starts = np.asarray(x)[rows]
    result = visualize(NETWORK, [units[row] for row in rows], starts, schedule=schedule, key=0)
    assert (result.stopped_at == -1).all()
    assert (result.activations[:, 0] == 0).all()
    assert (result.final_activations > 0.5 * values.max()).all()
