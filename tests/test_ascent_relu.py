"""Units whose ReLU is closed: the input of the ReLU is found, and climbed from there."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from mfvjax.ascent import visualize
from mfvjax.ascent.relu import read_with_relu_inputs, relu_is_known
from mfvjax.models import ops
from mfvjax.network import Network
from mfvjax.network.precision import PreciseForward
from mfvjax.nodes import nodes_of
from mfvjax.objective import channel_objective, read_objectives, stack_objectives, unit_objective
from mfvjax.objective.stack import opened_layers
from mfvjax.preprocess import Preprocessing
from mfvjax.recipe import Phase, Recipe
from mfvjax.types import LayerInfo
from mfvjax.updates import MeanAbsoluteStep
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
    known = relu_is_known(forward, x, names)
    assert list(known) == list(names)
    assert {name for name in names if known[name]} == set(inputs)
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


def standard(function):
    """`function` with numbers and truth values mixed as JAX allows unless told otherwise."""

    def relaxed(x):
        with jax.numpy_dtype_promotion("standard"):
            return function(x)

    return relaxed


@jax.custom_vjp
def own_relu(x):
    return jnp.where(x > 0, x, 0)


own_relu.defvjp(lambda x: (own_relu(x), x), lambda x, g: (jnp.where(x > 0, g, 0),))

ZEROS = np.zeros((1, 1, 1, 3), np.float32)
RELUS = {
    "jax": jax.nn.relu,
    "nnx": nnx.relu,
    "linen": linen.relu,
    "relu6": jax.nn.relu6,
    "compiled": jax.jit(jax.nn.relu),
    "maximum": lambda x: jnp.maximum(x, 0),
    "maximum, swapped": lambda x: jnp.maximum(0.0, x),
    "lax.max": lambda x: jax.lax.max(x, jnp.zeros_like(x)),
    "zeros of a constant": lambda x: jnp.maximum(x, ZEROS),
    "through bfloat16": lambda x: jax.nn.relu(x).astype(jnp.bfloat16).astype(jnp.float32),
    "capped": lambda x: jnp.minimum(6.0, jnp.maximum(x, 0.0)),
    "where": lambda x: jnp.where(x > 0, x, 0),
    "where, not below": lambda x: jnp.where(x >= 0, x, jnp.zeros_like(x)),
    "where, 0 first": lambda x: jnp.where(jnp.less(0, x), x, 0.0),
    "where, below": lambda x: jnp.where(x < 0, 0, x),
    "where, not above": lambda x: jnp.where(x <= 0, 0.0, x),
    "where, 0 above": lambda x: jnp.where(jnp.greater_equal(0.0, x), 0.0, x),
    "where, not": lambda x: jnp.where(~(x > 0), 0.0, x),
    "where, compiled": jax.jit(lambda x: jnp.where(x > 0, x, 0)),
    "select": lambda x: jax.lax.select(x > 0, x, jnp.zeros_like(x)),
    "mask": lambda x: x * (x > 0).astype(x.dtype),
    "mask, first": lambda x: jnp.less_equal(0, x).astype(jnp.float32) * x,
    "mask, mixed": standard(lambda x: x * (x > 0)),
    "clip": lambda x: jnp.clip(x, 0),
    "clip to 6": lambda x: jnp.clip(x, 0, 6),
    "clip before": lambda x: jnp.maximum(jnp.minimum(x, 1e6), 0),
    "clamp": lambda x: jax.lax.clamp(0.0, x, 6.0),
    "twice": lambda x: jnp.clip(jax.nn.relu(jnp.where(x > 0, x, 0)), 0, 6),
    "times 1": lambda x: jax.nn.relu(x) * 1.0,
    "own derivative": own_relu,
    "checkpoint": jax.checkpoint(jax.nn.relu),
}


@pytest.mark.parametrize("relu", RELUS.values(), ids=RELUS)
def test_the_ways_to_write_a_relu(relu):
    x = images() - 128
    (found,) = inputs_found(lambda x: {"a": relu(x)}, x).values()
    np.testing.assert_array_equal(found, x)
    (found,) = inputs_found(lambda x: {"a": jax.jit(lambda x: relu(2 * x - 1))(x)}, x).values()
    np.testing.assert_allclose(found, 2 * x - 1, rtol=1e-6, atol=1e-4)


def running(x):
    """Eight ReLUs in a row, as a loop: JAX treats it as a whole."""
    return jax.lax.scan(lambda x, _: (jax.nn.relu(x - 1), None), x, length=8)[0]


NO_RELUS = {
    "gelu": jax.nn.gelu,
    "leaky": jax.nn.leaky_relu,
    "sigmoid": jax.nn.sigmoid,
    "swish": jax.nn.hard_swish,
    "maximum with 1": lambda x: jnp.maximum(x, 1.0),
    "absolute": lambda x: jnp.maximum(x, -x),
    "maximum with some": lambda x: jnp.maximum(x, jnp.zeros_like(x).at[0].set(1)),
    "shifted": lambda x: jax.nn.relu(x) + 1,
    "minimum": lambda x: jnp.minimum(x, 6.0),
    "half": lambda x: jnp.concatenate([jax.nn.relu(x), x], -1),
    "itself": lambda x: x,
    "nothing": lambda x: jnp.zeros_like(x),
    "gate": lambda x: jnp.where(x[::-1] > 0, x, 0),
    "mask of another": lambda x: x * (x[::-1] > 0).astype(x.dtype),
    "mask below": lambda x: x * (x < 0).astype(x.dtype),
    "where, negative part": lambda x: jnp.where(x > 0, 0, x),
    "where above 1": lambda x: jnp.where(x > 1, x, 0),
    "where, else 1": lambda x: jnp.where(x > 0, x, 1),
    "where, twice as much": lambda x: jnp.where(x > 0, 2 * x, 0),
    "where, whole numbers": lambda x: jnp.where(x.astype(jnp.int32) > 0, x, 0),
    "where, equal": lambda x: jnp.where(x != 0, x, 0),
    "times what varies": lambda x: jax.nn.relu(x) * jax.nn.sigmoid(x[::-1]),
    "times -1": lambda x: jax.nn.relu(x) * -1.0,
    "times 0": lambda x: jax.nn.relu(x) * 0.0,
    "over what varies": lambda x: jax.nn.relu(x) / (1 + jnp.abs(x)),
    "pooled": lambda x: jax.nn.relu(x).reshape(-1, 2, 3).mean(1),
    "loop": running,
    "checkpoint with more": jax.checkpoint(lambda x: jax.nn.relu(x - 1)),
}


@pytest.mark.parametrize("function", NO_RELUS.values(), ids=NO_RELUS)
def test_what_is_no_relu(function):
    assert inputs_found(lambda x: {"a": function(x - 128)}) == {}


def test_a_relu_times_a_constant_keeps_its_scale():
    """A unit's opened gradient is that of the constant times the input."""
    scale = jnp.array([0.5, 3.0, -2.0])
    x = images() - 128

    def read(scale, x):
        relu = jax.nn.relu(x)
        return {
            "times": relu * scale[None, None, None],
            "over": jnp.where(x > 0, x, 0) / 4.0,
            "both": 3.0 * (relu * scale[None, None, None]),
            "capped": jnp.clip(x, 0, 6) * 0.5,
        }

    @jax.jit  # the scale is not known while tracing
    def found(scale, x):
        return read_with_relu_inputs(functools.partial(read, scale), x, tuple(read(scale, x)))

    activations, inputs = found(scale, x)
    factors = np.array([0.5, 3.0, 0.0], np.float32)  # the third only sinks below 0
    np.testing.assert_allclose(inputs["times"], factors * np.asarray(x), rtol=1e-6)
    np.testing.assert_allclose(inputs["both"], 3 * factors * np.asarray(x), rtol=1e-6)
    np.testing.assert_allclose(inputs["over"], x / 4, rtol=1e-6)
    np.testing.assert_allclose(inputs["capped"], x / 2, rtol=1e-6)
    for name in ("times", "over"):
        again = np.maximum(np.asarray(inputs[name])[..., :2], 0)
        np.testing.assert_allclose(again, np.asarray(activations[name])[..., :2], rtol=1e-6)


def test_relus_that_are_moved_about():
    x = images() - 128
    moves = {
        "flat": lambda x: x.reshape(2, -1),
        "tokens": lambda x: x.reshape(2, -1, 3)[:, 1:],
        "turned": lambda x: jnp.swapaxes(x, 1, 2)[:, ::-1],
        "single": lambda x: jnp.expand_dims(x, 1)[:, 0],
    }
    found = inputs_found(lambda x: {name: move(jax.nn.relu(x)) for name, move in moves.items()}, x)
    for name, move in moves.items():
        np.testing.assert_array_equal(found[name], move(x))


class Odd(collections.abc.Mapping):
    """A mapping that JAX knows nothing of."""

    def __init__(self, items):
        self.items_ = items

    def __getitem__(self, name):
        return dict(self.items_)[name]

    def __iter__(self):
        return (name for name, _ in self.items_)

    def __len__(self):
        return len(self.items_)


@pytest.mark.parametrize("mapping", [dict, collections.OrderedDict, Odd])
def test_names_keep_their_values_in_any_mapping(mapping):
    def forward(x):
        return mapping([("zeta", jax.nn.relu(x)), ("alpha", jnp.maximum(3 * x, 0)), ("mid", x)])

    x = images() - 128
    activations, inputs = read_with_relu_inputs(forward, x, ("alpha", "zeta", "mid"))
    np.testing.assert_array_equal(inputs["alpha"], 3 * x)
    np.testing.assert_array_equal(inputs["zeta"], x)
    np.testing.assert_array_equal(activations["mid"], x)
    assert relu_is_known(forward, x, ("mid", "alpha")) == {"mid": False, "alpha": True}
    for name, node in nodes_of(forward, x).items():
        np.testing.assert_array_equal(node.value, forward(x)[name])


@pytest.mark.parametrize("mapping", [collections.OrderedDict, Odd])
def test_the_unit_that_was_asked_for_is_climbed(mapping):
    """Of a function that returns its layers in another order than that of their names."""

    def forward(params, x):
        ends = {"zeta": -x.mean((1, 2)), "alpha": x.mean((1, 2))}
        return mapping(
            [(name, jax.nn.relu(end - 100 * (name == "alpha"))) for name, end in ends.items()]
        )

    layers = {name: LayerInfo(name, (3,)) for name in ("zeta", "alpha")}
    eats = Preprocessing((SIZE, SIZE))
    network = Network("ordered", forward, {}, eats, layers, logits_layer="zeta")
    recipe = Recipe("climb", (Phase(num_steps=5, update=MeanAbsoluteStep(4.0)),))
    start = np.full((SIZE, SIZE, 3), 90, np.float32)
    result = visualize(network, "alpha:0", start, recipe=recipe, key=0)
    assert result.images[..., 0].mean() > 95


def test_only_the_shape_is_needed_to_know():
    read = functools.partial(NETWORK.read, NETWORK.params)
    shape = jax.ShapeDtypeStruct((2, SIZE, SIZE, 3), jnp.float32)
    assert relu_is_known(read, shape, ("fc", "conv1")) == {"fc": False, "conv1": True}


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
    terms = stack_objectives(objectives, NETWORK.layers)
    read = functools.partial(NETWORK.read, NETWORK.params)

    def value(x):
        activations, inputs = read_with_relu_inputs(read, x, opened_layers(terms))
        return read_objectives(activations, terms, relu_inputs=inputs if opened else None)

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
    recipe = Recipe("climb", (Phase(num_steps=12, update=MeanAbsoluteStep(6.0)),))
    starts = np.asarray(x)[rows]
    result = visualize(NETWORK, [units[row] for row in rows], starts, recipe=recipe, key=0)
    assert (result.stopped_at == -1).all()
    assert (result.activations[:, 0] == 0).all()
    assert (result.final_activations > 0.5 * values.max()).all()
