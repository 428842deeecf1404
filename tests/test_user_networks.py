"""Users' own Flax modules behind the one face: NNX and Linen, convolutions and transformers."""

import collections
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mfvjax.network import Network
from mfvjax.preprocess import Preprocessing
from mfvjax.types import PixelBox, ReceptiveField, Unit

SIZE = (24, 20)
EATS = Preprocessing(SIZE, "RGB", (127.5, 127.5, 127.5), 1 / 127.5)


def images(count, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (count, *SIZE, 3)).astype(np.float32)


class Block(nnx.Module):
    def __init__(self, channels_in, channels, *, rngs):
        self.conv = nnx.Conv(channels_in, channels, (3, 3), strides=2, rngs=rngs)
        self.norm = nnx.BatchNorm(channels, rngs=rngs)

    def __call__(self, x):
        return nnx.relu(self.norm(self.conv(x)))


class SmallCnn(nnx.Module):
    """Returns logits only; one value is sown."""

    def __init__(self, *, rngs):
        self.blocks = nnx.List([Block(3, 4, rngs=rngs), Block(4, 6, rngs=rngs)])
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(6, 5, rngs=rngs)

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        x = x.mean((1, 2))
        self.sow(nnx.Intermediate, "pooled", x)
        return self.head(self.dropout(x))


class NamingCnn(nnx.Module):
    """Names its activations, one of them inside another dictionary."""

    def __init__(self, *, with_logits, rngs):
        self.with_logits = with_logits
        self.stem = nnx.Conv(3, 4, (5, 5), padding="VALID", rngs=rngs)
        self.fc = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x, train=True):
        stem = nnx.leaky_relu(self.stem(x))
        pooled = stem.mean((1, 2))
        scores = self.fc(pooled) + (1000.0 if train else 0.0)
        named = {"stem": stem, "inner": {"pooled": pooled}, "count": jnp.array(3), "mask": None}
        if self.with_logits:
            return scores, named
        return named | {"logits": scores, "probabilities": jax.nn.softmax(scores)}


class Attention(nnx.Module):
    def __init__(self, width, *, rngs):
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.attend = nnx.MultiHeadAttention(2, width, decode=False, rngs=rngs)
        self.mlp = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, tokens):
        tokens = tokens + self.attend(self.norm(tokens))
        return tokens + nnx.gelu(self.mlp(tokens))


class SmallViT(nnx.Module):
    """Patches of 4x4, one block of global attention, a class from the mean token."""

    def __init__(self, *, rngs):
        self.patches = nnx.Conv(3, 8, (4, 4), strides=4, rngs=rngs)
        self.places = nnx.Param(0.02 * jax.random.normal(rngs.params(), (1, 30, 8)))
        self.block = Attention(8, rngs=rngs)
        self.head = nnx.Linear(8, 5, rngs=rngs)

    def __call__(self, x):
        out = {}
        out["patches"] = maps = self.patches(x)
        out["tokens"] = tokens = maps.reshape(maps.shape[0], -1, 8) + self.places[...]
        out["block"] = tokens = self.block(tokens)
        out["map"] = tokens.reshape(maps.shape)
        out["pre_logits"] = mean = tokens.mean(1)
        out["logits"] = self.head(mean)
        return out


class LinenBlock(nn.Module):
    channels: int

    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(self.channels, (3, 3), padding="VALID")(x)
        return nn.relu(nn.BatchNorm(use_running_average=not train)(x))


class LinenCnn(nn.Module):
    """Blocks named against the alphabet; a training argument without a default."""

    @nn.compact
    def __call__(self, x, train):
        x = LinenBlock(4, name="zebra")(x, train)
        x = nn.max_pool(LinenBlock(6, name="antelope")(x, train), (2, 2), (2, 2))
        self.sow("intermediates", "pooled", x)
        x = nn.Dropout(0.5, deterministic=not train)(x.mean((1, 2)))
        return nn.Dense(5)(x)


@pytest.fixture(scope="module")
def cnn():
    module = SmallCnn(rngs=nnx.Rngs(0))
    module.blocks[0].norm.mean[...] = jnp.array([0.1, -0.2, 0.3, 0.0])
    module.blocks[0].norm.var[...] = jnp.array([0.5, 2.0, 1.0, 3.0])
    return module


@pytest.fixture(scope="module")
def linen():
    module = LinenCnn()
    variables = module.init(jax.random.key(0), jnp.zeros((1, *SIZE, 3)), train=False)
    stats = jax.tree.map(lambda a: a + 0.25, variables["batch_stats"])
    return module, {**variables, "batch_stats": stats}


def test_an_nnx_network_names_its_submodules_in_order(cnn):
    network = Network.from_nnx(cnn, preprocessing=EATS)
    assert {name: info.shape for name, info in network.layers.items()} == {
        "blocks/0/conv": (12, 10, 4),
        "blocks/0/norm": (12, 10, 4),
        "blocks/0": (12, 10, 4),
        "blocks/1/conv": (6, 5, 6),
        "blocks/1/norm": (6, 5, 6),
        "blocks/1": (6, 5, 6),
        "dropout": (6,),
        "pooled": (6,),
        "head": (5,),
    }
    assert list(network.layers)[:6] == [
        f"blocks/{i}{part}" for i in (0, 1) for part in ("/conv", "/norm", "")
    ]
    assert network.logits_layer == list(network.layers)[-1] == "head"
    assert network.layers[network.code_layer("head")].shape == (6,)
    assert network.name == "SmallCnn"


def test_an_nnx_network_computes_what_the_module_does_in_evaluation(cnn):
    network = Network.from_nnx(cnn, preprocessing=EATS)
    graphdef, state = nnx.split(cnn)
    module = nnx.merge(graphdef, state)
    module.eval()
    x = jnp.asarray(images(3)) / 127.5 - 1
    block = jax.nn.relu(module.blocks[0].norm(module.blocks[0].conv(x)))
    out = network.activations(images(3))
    np.testing.assert_allclose(out["blocks/0"], block, atol=1e-5)
    np.testing.assert_allclose(out["head"], module.head(out["pooled"]), atol=1e-5)
    np.testing.assert_array_equal(out["dropout"], out["pooled"])
    alone = network.activations(images(3)[:1])["head"]  # no batch statistics
    np.testing.assert_allclose(alone, out["head"][:1], atol=1e-5)


def test_the_module_is_left_as_it_was(cnn):
    before = jax.tree.map(jnp.copy, nnx.split(cnn)[1])
    network = Network.from_nnx(cnn, preprocessing=EATS)
    network.activations(images(1))
    after = nnx.split(cnn)[1]
    assert jax.tree.structure(before) == jax.tree.structure(after)
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert (old == new).all()
    assert cnn.dropout.deterministic is False
    assert cnn.blocks[0].norm.use_running_average is False


def test_a_module_may_name_its_activations_itself():
    module = NamingCnn(with_logits=False, rngs=nnx.Rngs(1))
    network = Network.from_nnx(module, input_size=SIZE)
    assert list(network.layers) == ["stem", "inner/pooled", "logits", "probabilities"]
    assert network.logits_layer == "logits"
    assert network.code_layer("probabilities") == "inner/pooled"
    assert network.preprocessing == Preprocessing(SIZE)
    assert float(network.activations(images(1))["logits"].max()) < 900  # not in training mode
    training = Network.from_nnx(module, input_size=SIZE, call_arguments={"train": True})
    assert float(training.activations(images(1))["logits"].min()) > 900


@pytest.mark.parametrize("mapping", [collections.OrderedDict, types.MappingProxyType])
def test_a_module_may_return_any_mapping(mapping):
    """Names come in the order of execution with their own values, however they were returned."""

    class Ordered(nnx.Module):
        def __init__(self):
            self.conv = nnx.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0))

        def __call__(self, x):
            zeta = self.conv(x)
            inner = mapping({"mid": zeta * 3})
            return mapping({"zeta": zeta, "alpha": zeta.mean((1, 2)) + 7, "inner": inner})

    network = Network.from_nnx(Ordered(), preprocessing=EATS)
    assert list(network.layers) == ["zeta", "inner/mid", "alpha"]
    out = network.activations(images(1))
    expected = Ordered().conv(jnp.asarray(images(1)) / 127.5 - 1)
    np.testing.assert_allclose(out["zeta"], expected, atol=1e-5)
    np.testing.assert_allclose(out["inner/mid"], 3 * expected, atol=1e-5)
    np.testing.assert_allclose(out["alpha"], expected.mean((1, 2)) + 7, atol=1e-5)


def test_a_module_may_return_logits_beside_its_activations():
    module = NamingCnn(with_logits=True, rngs=nnx.Rngs(1))
    network = Network.from_nnx(module, input_size=SIZE, class_names=["a", "b", "c"])
    assert list(network.layers) == ["stem", "inner/pooled", "output"]
    assert network.logits_layer == "output"
    assert network.class_name(2) == "c"


def test_options_choose_layers_and_names():
    module = NamingCnn(with_logits=False, rngs=nnx.Rngs(1))
    network = Network.from_nnx(
        module,
        preprocessing=EATS,
        name="mine",
        layers=["logits", "stem"],
        logits_layer="logits",
        code_layer="stem",
    )
    assert (network.name, list(network.layers)) == ("mine", ["stem", "logits"])
    assert list(network.activations(images(1))) == ["stem", "logits"]
    assert network.code_layer("logits") == "stem"


def test_a_vision_transformer():
    network = Network.from_nnx(SmallViT(rngs=nnx.Rngs(2)), preprocessing=EATS)
    assert {name: info.shape for name, info in network.layers.items()} == {
        "patches": (6, 5, 8),
        "tokens": (30, 8),
        "block": (30, 8),
        "map": (6, 5, 8),
        "pre_logits": (8,),
        "logits": (5,),
    }
    patches = network.layers["patches"].receptive_field
    assert patches == ReceptiveField((4, 4), (4, 4), (0, 0))
    assert network.layers["map"].receptive_field is None  # after attention
    assert network.receptive_field("map:3@0,0") == PixelBox(0, 0, *SIZE)
    assert network.code_layer("logits") == "pre_logits"
    assert network.resolve("block:3") == Unit("block", 3, (15, 0))
    assert network.resolve("block:3@29,0") == Unit("block", 3, (29, 0))
    with pytest.raises(ValueError, match=r"has tokens @0 \(or @cls\) to @29"):
        network.resolve("block:3@30,0")
    slope = jax.grad(lambda x: network.read(network.params, x)["block"][:, 7, 2].sum())
    gradient = jax.jit(slope)(jnp.asarray(images(1)))
    assert (np.abs(gradient).max(axis=(0, 3)) > 0).mean() > 0.99


def test_a_linen_network(linen):
    module, variables = linen
    network = Network.from_linen(module, variables, preprocessing=EATS)
    assert {name: info.shape for name, info in network.layers.items()} == {
        "zebra/Conv_0": (22, 18, 4),
        "zebra/BatchNorm_0": (22, 18, 4),
        "zebra": (22, 18, 4),
        "antelope/Conv_0": (20, 16, 6),
        "antelope/BatchNorm_0": (20, 16, 6),
        "antelope": (20, 16, 6),
        "pooled": (10, 8, 6),
        "Dropout_0": (6,),
        "Dense_0": (5,),
    }
    assert next(iter(network.layers)) == "zebra/Conv_0"
    assert network.logits_layer == "Dense_0"
    assert network.code_layer("Dense_0") == "Dropout_0"
    x = jnp.asarray(images(2)) / 127.5 - 1
    np.testing.assert_allclose(
        network.activations(images(2))["Dense_0"],
        module.apply(variables, x, train=False),
        atol=1e-5,
    )
    fields = {name: info.receptive_field for name, info in network.layers.items()}
    assert fields["zebra"] == ReceptiveField((3, 3), (1, 1), (0, 0))
    assert fields["antelope/Conv_0"] == ReceptiveField((5, 5), (1, 1), (0, 0))
    assert fields["pooled"] == ReceptiveField((6, 6), (2, 2), (0, 0))
    assert fields["Dense_0"] is None


def test_linen_statistics_of_the_batch_are_refused(linen):
    with pytest.raises(Exception, match="batch_stats"):
        Network.from_linen(*linen, preprocessing=EATS, call_arguments={"train": True})


def test_the_two_interfaces_give_one_network():
    class Linen(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3)(nn.relu(nn.Conv(4, (3, 3))(x)).mean((1, 2)))

    class Nnx(nnx.Module):
        def __init__(self):
            self.conv = nnx.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0))
            self.dense = nnx.Linear(4, 3, rngs=nnx.Rngs(0))

        def __call__(self, x):
            return self.dense(nnx.relu(self.conv(x)).mean((1, 2)))

    module = Linen()
    variables = module.init(jax.random.key(3), jnp.zeros((1, *SIZE, 3)))
    twin = Nnx()
    weights = variables["params"]
    for layer, name in ((twin.conv, "Conv_0"), (twin.dense, "Dense_0")):
        layer.kernel[...], layer.bias[...] = weights[name]["kernel"], weights[name]["bias"] + 0.5
    shifted = jax.tree_util.tree_map_with_path(
        lambda path, a: a + 0.5 if path[-1].key == "bias" else a, variables
    )
    networks = (
        Network.from_linen(module, shifted, preprocessing=EATS),
        Network.from_nnx(twin, preprocessing=EATS),
    )
    outputs = [n.activations(images(2), n.logits_layer)[n.logits_layer] for n in networks]
    np.testing.assert_allclose(*outputs, atol=1e-5)
    assert networks[0].fingerprint != networks[1].fingerprint


def test_user_networks_in_bfloat16(cnn, linen):
    for network in (
        Network.from_nnx(cnn, preprocessing=EATS),
        Network.from_linen(*linen, preprocessing=EATS),
    ):
        narrow = network.with_precision("bfloat16")
        assert narrow.forward == network.with_precision("bfloat16").forward
        assert narrow.with_precision("float32").forward == network.forward
        name = network.logits_layer
        exact, rough = (n.activations(images(2), name)[name] for n in (network, narrow))
        assert rough.dtype == jnp.float32
        assert 0 < float(jnp.abs(exact - rough).max()) < 0.1 * float(jnp.abs(exact).max())


def test_a_module_in_bfloat16_returns_float32():
    class Narrow(nnx.Module):
        def __init__(self):
            kinds = {"dtype": jnp.bfloat16, "param_dtype": jnp.bfloat16, "rngs": nnx.Rngs(0)}
            self.conv = nnx.Conv(3, 4, (3, 3), **kinds)

        def __call__(self, x):
            return {"conv": self.conv(x)}

    network = Network.from_nnx(Narrow(), preprocessing=EATS)
    assert network.activations(images(1))["conv"].dtype == jnp.float32


def test_a_rectifier_written_by_hand_hides_no_dependence():
    class Hard(nnx.Module):
        def __init__(self):
            self.conv = nnx.Conv(3, 4, (3, 3), padding="VALID", rngs=nnx.Rngs(0))

        def __call__(self, x):
            x = self.conv(x)
            return {"hard": jnp.where(x > 0, x, 0.0)}  # a NaN would become 0

    network = Network.from_nnx(Hard(), preprocessing=EATS)
    assert network.layers["hard"].receptive_field == ReceptiveField((3, 3), (1, 1), (0, 0))


def test_printing_a_network_measures_nothing(cnn):
    network = Network.from_nnx(cnn, preprocessing=EATS)
    expected = "Network('SmallCnn', 9 layers, input 24x20, 5 classes in 'head', float32)"
    assert repr(network) == expected
    info = network.layers["blocks/1"]
    assert repr(info) == "MeasuredLayer(name='blocks/1', shape=(6, 5, 6))"
    assert "receptive_field" not in vars(info)
    assert info.receptive_field == ReceptiveField((7, 7), (4, 4), (0, 0))


def test_an_old_flax_is_named(cnn, monkeypatch):
    monkeypatch.delattr(nnx, "capture")
    with pytest.raises(ImportError, match=r"needs flax >= 0\.12\.6"):
        Network.from_nnx(cnn, preprocessing=EATS)


class Returns(nnx.Module):
    """Returns what it was given a function for."""

    def __init__(self, function):
        self.function = function
        self.conv = nnx.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.function(self.conv(x))


@pytest.mark.parametrize(
    ("function", "options", "match"),
    [
        (lambda x: {"a": x}, {}, "give preprocessing, or input_size"),
        (
            lambda x: {"a": x},
            {"preprocessing": EATS, "input_size": (5, 5)},
            r"input_size \(5, 5\) differs from that of preprocessing, \(24, 20\)",
        ),
        (lambda x: [x, x], {"input_size": SIZE}, "must return an array, a dictionary .* not list"),
        (lambda x: {"n": 1, "row": x[0]}, {"input_size": SIZE}, "names no activations"),
        (
            lambda x: {"a": x},
            {"input_size": SIZE, "layers": ["a", "b"]},
            r"no activations \['b'\]; it has: a",
        ),
        (lambda x: {"a": x}, {"input_size": SIZE, "logits_layer": "b"}, "no layer 'b'"),
        (lambda x: {"a": x}, {"input_size": SIZE, "code_layer": "b"}, "no layer 'b'"),
        (lambda x: {"a": x}, {"input_size": SIZE, "class_names": ["x"]}, "1 class names for the 4"),
        (
            lambda x: (x + 1, {"output": x}),
            {"input_size": SIZE},
            "'output' names an activation, but",
        ),
    ],
)
def test_modules_and_options_that_do_not_fit_are_refused(function, options, match):
    with pytest.raises(ValueError, match=match):
        Network.from_nnx(Returns(function), **options)
