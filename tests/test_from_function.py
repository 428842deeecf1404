"""Any pure function as a network: layouts, receptive fields, gradients, and what is refused."""

import collections
import functools
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfvjax.domain import Domain
from mfvjax.network import Network
from mfvjax.network.function import from_function, program_sha256
from mfvjax.preprocess import Preprocessing
from mfvjax.types import PixelBox, ReceptiveField
from tests.unchecked import without_type_checks

SIZE = (24, 20)
EATS = Preprocessing(SIZE, "RGB", (127.5, 127.5, 127.5), 1 / 127.5)
HOWS = {"NCHW": ("NCHW", "OIHW", "NCHW"), "NHWC": ("NHWC", "OIHW", "NHWC")}


def images(count, seed=0, size=SIZE):
    return np.random.default_rng(seed).uniform(0, 255, (count, *size, 3)).astype(np.float32)


def make_params(seed=0):
    draw = np.random.default_rng(seed).normal
    return {
        "stem": draw(0, 0.2, (6, 3, 5, 5)).astype(np.float32),
        "conv": draw(0, 0.2, (8, 6, 3, 3)).astype(np.float32),
        "head": draw(0, 0.5, (8, 5)).astype(np.float32),
    }


def convolve(x, kernel, strides, how, padding="VALID"):
    return jax.lax.conv_general_dilated(
        x, kernel, (strides, strides), padding, dimension_numbers=HOWS[how]
    )


def forward(params, net_input, how="NCHW"):
    """Maps in `how`, tokens before and behind their channels, global and partly global layers."""
    rows, columns, channels = (how.index(letter) for letter in "HWC")
    stem = convolve(net_input, params["stem"], 2, how)
    conv = convolve(jax.nn.relu(stem), params["conv"], 1, how, ((1, 1), (1, 1)))
    pooled = conv.mean((rows, columns), keepdims=True)
    tokens = conv.reshape(len(conv), 8, -1) if how == "NCHW" else conv.reshape(len(conv), -1, 8)
    gated = conv * jax.nn.sigmoid(pooled)
    half = jnp.concatenate([conv, jnp.broadcast_to(pooled, conv.shape)], channels)
    other_way = jnp.moveaxis(conv, channels, -1 if channels == 1 else 1) * 2
    code = pooled.reshape(len(conv), 8)
    return {
        "stem": stem,
        "block": {"conv": conv, "pool": pooled},
        "gated": gated,
        "half": half,
        "other way": other_way,
        "tokens": tokens,
        "code": code,
        "logits": code @ params["head"],
    }


NAMES = {
    "stem": (10, 8, 6),
    "block/conv": (10, 8, 8),
    "block/pool": (1, 1, 8),
    "gated": (10, 8, 8),
    "half": (10, 8, 16),
    "other way": (10, 8, 8),
    "tokens": (80, 8),
    "code": (8,),
    "logits": (5,),
}


@pytest.fixture(scope="module")
def networks():
    """The same network, computed channels first and channels last."""
    return {
        how: Network.from_function(
            functools.partial(forward, how=how), make_params(), preprocessing=EATS
        )
        for how in HOWS
    }


@pytest.mark.parametrize("how", HOWS)
def test_every_layer_is_found_channels_last_and_in_order(networks, how):
    network = networks[how]
    assert {name: info.shape for name, info in network.layers.items()} == NAMES
    assert set(list(network.layers)[:2]) == {"stem", "block/conv"}
    assert network.logits_layer == list(network.layers)[-1] == "logits"
    assert network.code_layer("logits") == "code"
    assert network.name == "forward"
    assert network.forward.forward.run.input_format == how


@pytest.mark.parametrize("how", HOWS)
def test_activations_are_those_of_slow_sums(networks, how):
    """Window by window in float64, for both layouts."""
    params = {name: value.astype(np.float64) for name, value in make_params().items()}
    out = networks[how].activations(images(2))
    for row, image in enumerate(images(2)):
        eaten = image.astype(np.float64) / 127.5 - 1
        stem = np.zeros((10, 8, 6))
        for i, j in np.ndindex(10, 8):
            window = eaten[2 * i : 2 * i + 5, 2 * j : 2 * j + 5]
            stem[i, j] = np.einsum("hwc,ochw->o", window, params["stem"])
        padded = np.pad(np.maximum(stem, 0), ((1, 1), (1, 1), (0, 0)))
        conv = np.zeros((10, 8, 8))
        for i, j in np.ndindex(10, 8):
            conv[i, j] = np.einsum("hwc,ochw->o", padded[i : i + 3, j : j + 3], params["conv"])
        pooled = conv.mean((0, 1))
        expected = {
            "stem": stem,
            "block/conv": conv,
            "block/pool": pooled[None, None],
            "gated": conv / (1 + np.exp(-pooled)),
            "half": np.concatenate([conv, np.broadcast_to(pooled, conv.shape)], -1),
            "other way": 2 * conv,
            "tokens": conv.reshape(80, 8),
            "code": pooled,
            "logits": pooled @ params["head"],
        }
        assert list(out) == list(networks[how].layers)
        for name, values in expected.items():
            np.testing.assert_allclose(out[name][row], values, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("how", HOWS)
def test_receptive_fields_are_those_of_arithmetic(networks, how):
    """Local layers have one, in either layout; where a part sees everything there is none."""
    fields = {name: info.receptive_field for name, info in networks[how].layers.items()}
    conv = ReceptiveField((9, 9), (2, 2), (-2, -2))
    assert fields == {
        **dict.fromkeys(NAMES),
        "stem": ReceptiveField((5, 5), (2, 2), (0, 0)),
        "block/pool": ReceptiveField((23, 19), SIZE, (0, 0)),  # no window ends in the last row
        "block/conv": conv,
        "other way": conv,
    }
    assert networks[how].receptive_field("gated:3") == PixelBox(0, 0, *SIZE)
    assert networks[how].receptive_field("stem:3@1,2") == PixelBox(2, 4, 7, 9)


def test_gradients_are_those_of_the_function(networks):
    def slope_of(network):
        def activation(batch):
            return network.read(network.params, batch)["block/conv"][0, 4, 2, 6]

        return jax.jit(jax.grad(activation))(images(1))

    def plain(batch):
        eaten = (jnp.asarray(batch) / 127.5 - 1).transpose(0, 3, 1, 2)
        return forward(networks["NCHW"].params, eaten)["block"]["conv"][0, 6, 4, 2]

    expected = jax.grad(plain)(images(1))
    assert np.abs(expected).max() > 0
    outside = np.ones(SIZE, bool)
    outside[6:15, 2:11] = False
    assert (expected[0][outside] == 0).all()
    for network in networks.values():
        np.testing.assert_allclose(slope_of(network), expected, atol=1e-7)


def test_other_sizes_and_precisions(networks):
    network = networks["NCHW"]
    larger = network.with_input_size((40, 28))
    assert larger.layers["block/conv"].shape == (18, 12, 8)
    assert larger.layers["tokens"].shape == (216, 8)
    assert larger.layers["block/conv"].receptive_field == ReceptiveField((9, 9), (2, 2), (-2, -2))
    picture = images(1, size=(40, 28))
    again = Network.from_function(
        forward, make_params(), preprocessing=larger.preprocessing, name="forward"
    )
    found, expected = (n.activations(picture, "tokens")["tokens"] for n in (larger, again))
    np.testing.assert_array_equal(found, expected)
    assert larger.fingerprint == again.fingerprint != network.fingerprint
    with pytest.raises(ValueError, match="cannot take images of 4x4"):
        network.with_input_size((4, 4))
    narrow = network.with_precision("bfloat16")
    exact, rough = (n.activations(images(2), "logits")["logits"] for n in (network, narrow))
    assert rough.dtype == jnp.float32
    assert 0 < float(jnp.abs(exact - rough).max()) < 0.1 * float(jnp.abs(exact).max())


@jax.jit
def compiled(params, net_input):
    """Names against the alphabet, inside a function that is compiled as a whole."""

    @jax.jit
    def block(x):
        zebra = jnp.sin(x * params)
        return {"zebra": zebra, "yak": jax.nn.relu(zebra)}

    first = block(net_input)
    second = jax.checkpoint(block)(first["yak"] + 1)
    return {"second": second, "first": first, "a": second["yak"].mean((1, 2))}


def test_the_order_is_that_of_execution_in_compiled_functions_too():
    network = Network.from_function(compiled, jnp.ones(()), input_size=SIZE)
    assert list(network.layers) == ["first/zebra", "first/yak", "second/zebra", "second/yak", "a"]
    assert (network.logits_layer, network.name) == ("a", "compiled")


def test_a_function_may_return_an_array_or_logits_beside_names():
    def pairs(params, net_input):
        return net_input.mean((1, 2)) @ params, {"zoom": net_input[:, ::2]}

    weights = np.ones((3, 4), np.float32)
    network = Network.from_function(pairs, weights, preprocessing=EATS, class_names="abcd")
    assert {name: info.shape for name, info in network.layers.items()} == {
        "output": (4,),
        "zoom": (12, 20, 3),
    }
    assert (network.logits_layer, network.class_name(3)) == ("output", "d")
    both = collections.namedtuple("Both", "logits named")
    named = Network.from_function(lambda p, x: both(*pairs(p, x)), weights, preprocessing=EATS)
    assert list(named.layers) == list(network.layers)
    alone = Network.from_function(lambda p, x: pairs(p, x)[0], weights, preprocessing=EATS)
    assert list(alone.layers) == ["output"]
    maps = Network.from_function(
        lambda p, x: {"zoom": x.transpose(0, 3, 1, 2)}, (), preprocessing=EATS, logits_layer=""
    )
    assert maps.num_classes == 0
    assert maps.layers["zoom"].shape == (24, 20, 3)


def transformer(params, net_input):
    """Patches of 4x4, a class token, and a block of global attention; tokens before channels."""
    patches = convolve(net_input, params["patches"], 4, "NCHW")
    tokens = patches.reshape(len(patches), 8, -1).transpose(0, 2, 1)
    first = jnp.broadcast_to(params["class"], (len(tokens), 1, 8))
    out = {"patches": patches, "tokens": jnp.concatenate([first, tokens], 1)}
    x = out["tokens"] + params["places"]
    for block in ("first", "second"):
        queries = x @ params[block]
        out[f"{block}/attention"] = weights = jax.nn.softmax(queries @ x.transpose(0, 2, 1))
        out[f"{block}/read"] = read = weights @ x
        x = out[block] = x + read
    out["channels first"] = x.transpose(0, 2, 1)
    return {**out, "cls": x[:, 0], "logits": x[:, 0] @ params["head"]}


def test_a_transformer_as_a_function():
    draw = np.random.default_rng(3).normal
    shapes = {"patches": (8, 3, 4, 4), "class": (1, 1, 8), "places": (1, 31, 8), "head": (8, 5)}
    shapes |= {"first": (1, 8, 8), "second": (1, 8, 8)}
    params = {name: draw(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    network = Network.from_function(transformer, params, preprocessing=EATS)
    assert {name: info.shape for name, info in network.layers.items()} == {
        "patches": (6, 5, 8),
        **dict.fromkeys(("tokens", "first/read", "first", "second/read", "second"), (31, 8)),
        **{f"{block}/attention": (31, 31) for block in ("first", "second")},
        "channels first": (31, 8),
        "cls": (8,),
        "logits": (5,),
    }
    assert network.layers["patches"].receptive_field == ReceptiveField((4, 4), (4, 4), (0, 0))
    assert network.code_layer("logits") == "cls"
    out = network.activations(images(2))
    np.testing.assert_array_equal(out["second"], out["channels first"])
    np.testing.assert_array_equal(out["second"][:, 0], out["cls"])
    np.testing.assert_allclose(out["first/attention"].sum(-1), 1, atol=1e-5)  # keys are last


def test_options_choose_layers_formats_and_names():
    def mixed(params, net_input):
        count = jnp.ones((len(net_input), 2), jnp.int32)
        return {**forward(params, net_input), "count": count, "all": [count], "mask": None}

    network = Network.from_function(
        mixed,
        make_params(),
        preprocessing=EATS,
        name="mine",
        layers=["logits", "stem", "tokens"],
        code_layer="stem",
        data_formats={"tokens": "NTC"},
        input_format="NCHW",
    )
    assert {n: i.shape for n, i in network.layers.items()} == {
        "stem": (10, 8, 6),
        "tokens": (8, 80),
        "logits": (5,),
    }
    assert (network.name, network.code_layer("logits")) == ("mine", "stem")
    assert list(network.activations(images(1))) == ["stem", "tokens", "logits"]


def test_an_input_that_may_lie_either_way_is_channels_last():
    def either(params, net_input):
        return {"sum": net_input.reshape(len(net_input), -1)[:, :7]}

    options = {"preprocessing": Preprocessing((6, 5), scale=0.5)}
    image = images(1, size=(6, 5))
    for chosen, expected in (
        ({}, image.ravel()[:7]),
        ({"input_format": "NHWC"}, image.ravel()[:7]),
        ({"input_format": "NCHW"}, image[0].transpose(2, 0, 1).ravel()[:7]),
    ):
        network = Network.from_function(either, {}, **options, **chosen)
        found = network.activations(image)["sum"][0]
        np.testing.assert_allclose(found, 0.5 * expected, rtol=1e-6)


def test_images_of_other_domains():
    domain = Domain(2, -80, 0, "spectrogram")
    eats = Preprocessing((16, 12), mean=-40.0, scale=0.1, domain=domain)

    def bands(params, net_input):
        assert net_input.shape[1:] == (2, 16, 12)
        return {"pooled": net_input.reshape(-1, 2, 8, 2, 12).mean(3) * params}

    network = Network.from_function(bands, np.float32(2), preprocessing=eats, input_format="NCHW")
    assert network.layers["pooled"].shape == (8, 12, 2)
    field = network.layers["pooled"].receptive_field
    assert field == ReceptiveField((2, 1), (2, 1), (0, 0))


def test_a_function_in_bfloat16_returns_float32():
    def narrow(params, net_input):
        return {"map": net_input.astype(jnp.bfloat16)[:, ::2, ::2]}

    network = Network.from_function(narrow, (), preprocessing=EATS)
    assert network.activations(images(1))["map"].dtype == jnp.float32


def leaky(slope):
    """Functions of one name and equal shapes, which differ in a number."""

    def activation(params, net_input):
        return {"map": jnp.where(net_input > 0, net_input, slope * net_input) * params}

    return activation


def test_the_fingerprint_tells_functions_apart():
    def fingerprint(slope, **options):
        made = Network.from_function(leaky(slope), np.float32(1), preprocessing=EATS, **options)
        return made.fingerprint

    same = fingerprint(0.1)
    assert fingerprint(0.1) == same
    assert fingerprint(0.2) != same
    with jax.default_matmul_precision("bfloat16"):
        inside = Network.from_function(forward, make_params(), preprocessing=EATS).fingerprint
    assert inside == Network.from_function(forward, make_params(), preprocessing=EATS).fingerprint
    table = np.linspace(0, 1, 3).astype(np.float32).reshape(1, 1, 1, 3)
    assert fingerprint(jnp.asarray(table)) != fingerprint(jnp.asarray(table[..., ::-1]))
    named = fingerprint(0.1, architecture="leaky, version 1")
    assert named == fingerprint(0.2, architecture="leaky, version 1")
    assert named != fingerprint(0.1, architecture="leaky, version 2")


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, jax.checkpoint, jax.vmap, "scan", "cond"])
def test_constants_count_wherever_they_are(wrap):
    """Weights that a function has closed over, in functions that it calls too."""

    def multiplying(table):
        def times(x):
            return x * table

        if wrap == "scan":
            return lambda x: jax.lax.scan(lambda c, _: (times(c), None), x, None, length=2)[0]
        if wrap == "cond":
            return lambda x: jax.lax.cond(x.sum() > 0, times, lambda v: v, x)
        return wrap(times)

    x = jnp.ones((3, 1500))
    table = np.linspace(0, 1, 1500, dtype=np.float32)
    other = table.copy()
    other[700] += 0.25  # in the middle, which texts of arrays leave out
    if wrap != jax.vmap:
        table, other = table[None], other[None]
    for kind in (np.array, jnp.array):
        tables = map(kind, (table, table, other))
        one, same, another = (program_sha256(multiplying(values), x) for values in tables)
        assert one == same != another
    key = jax.random.key(1)
    assert program_sha256(lambda x: x + jax.random.normal(key, x.shape), x)


def called_back(x):
    """A program with functions in it, one of them printed with its address in memory."""
    doubled = jax.pure_callback(lambda v: 2 * v, x, x)
    return jax.nn.relu(doubled) + jax.nn.gelu(x)


PROGRAM = """
from mfvjax.network.function import program_sha256
from tests.test_from_function import EATS, called_back, forward, make_params
from mfvjax.network import Network
print(Network.from_function(forward, make_params(), preprocessing=EATS).fingerprint)
print(program_sha256(called_back, 1.0))
"""


def test_the_fingerprint_is_the_same_in_another_process(networks):
    """Where texts hash otherwise, and functions lie elsewhere in memory."""
    out = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=pathlib.Path(__file__).parents[1],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    ours = Network.from_function(forward, make_params(), preprocessing=EATS).fingerprint
    assert ours == networks["NCHW"].fingerprint  # a partial is called after what it calls
    assert out == [ours, program_sha256(called_back, 1.0)]


class Callable:
    def __call__(self, params, net_input):
        return {"map": net_input}


def test_a_callable_object_is_called_after_its_class():
    network = Network.from_function(Callable(), (), preprocessing=EATS)
    assert network.name == "Callable"
    assert network.architecture.startswith("tests.test_from_function.Callable ")
    with pytest.raises(ValueError, match="'Callable' is a module of your own"):
        network.save("somewhere.safetensors")


def decides(params, net_input):
    if net_input.mean() > 0:
        return {"map": net_input}
    return {"map": -net_input}


def leaves_jax(params, net_input):
    return {"map": jnp.asarray(np.asarray(net_input))}


def counts(params, net_input):
    return {"map": net_input[: int(net_input.max())]}


@pytest.mark.parametrize(
    ("fn", "line"),
    [
        (decides, r"line \d+ of test_from_function.py: if net_input.mean"),
        (leaves_jax, r'"map": jnp.asarray\(np.asarray'),
        (counts, "net_input.max"),
    ],
)
def test_a_function_that_cannot_be_traced_is_named_with_its_line(fn, line):
    match = rf"function tests.test_from_function.{fn.__name__} cannot be traced by JAX.*{line}"
    with pytest.raises(ValueError, match=match):
        Network.from_function(fn, (), preprocessing=EATS)


def dense(params, net_input):
    return {"logits": net_input.reshape(len(net_input), -1) @ params}


@pytest.mark.parametrize(
    ("fn", "params", "options", "match"),
    [
        (dense, np.ones((3, 2), np.float32), {}, r"does not run on a batch of images of 24x20: "),
        (
            dense,
            np.ones((3, 2), np.float32),
            {},
            r"NHWC \(5, 24, 20, 3\) gives TypeError: .*test_from_function.py.*; NCHW \(5, 3, 24",
        ),
        (
            dense,
            np.ones((3, 2), np.float32),
            {"input_format": "NCHW"},
            r"24x20: NCHW \(5, 3, 24, 20\) gives TypeError: .* single images needs jax.vmap",
        ),
        (lambda p, x: (x, x), (), {}, "returns a tuple of 2: give its arrays names"),
        (lambda p, x: [x], (), {}, "returns a list of 1: give its arrays names"),
        (lambda p, x: None, (), {}, "returns a NoneType: give"),
        (lambda p, x: {}, (), {}, "returns an empty dictionary"),
        (lambda p, x: {"a": {}}, (), {}, "returns an empty dictionary"),
        (
            lambda p, x: {"a": {"b": [x, x]}},
            (),
            {},
            "activation 'a/b' of function .* is a list, not a JAX array",
        ),
        (lambda p, x: {"a": x, "b": None}, (), {}, "activation 'b' .* is a NoneType"),
        (lambda p, x: {"a": x.argmax(-1)}, (), {}, "activation 'a' .* is of type int32"),
        (lambda p, x: x.argmax(-1), (), {}, "what function .* returns is of type int32"),
        (
            lambda p, x: (x.argmax(-1), {"a": x}),
            (),
            {},
            "what function .* returns first is of type int32",
        ),
        (lambda p, x: {"a": x[0]}, (), {}, r"'a' .* has shape \(24, 20, 3\) for 5 images"),
        (lambda p, x: {"a": x.mean((1, 2, 3))}, (), {}, r"shape \(5,\) .* two to four axes"),
        (lambda p, x: {"a": x[..., None]}, (), {}, r"shape \(5, 24, 20, 3, 1\)"),
        (lambda p, x: {"a": x}, {"w": [1.5]}, {}, r"params\['w'\]\[0\] is a float; all leaves"),
        (lambda p, x: {"a": x}, {"f": jax.nn.relu}, {}, r"\['f'\] is a .*; .*equinox.partition"),
        (
            lambda p, x: {"a": x},
            jax.random.key(0),
            {},
            r"params is an array of key<fry>; all leaves",
        ),
        (lambda p, x: {"a": x}, (), {"input_format": "HWC"}, "must be NHWC or NCHW, not 'HWC'"),
        (lambda p, x: {"a": x}, (), {"layers": ["a", "b"]}, r"no activations \['b'\]; it has: a"),
        (lambda p, x: {"a": x}, (), {"layers": []}, "layers is empty"),
        (lambda p, x: {"a": x}, (), {"logits_layer": "b"}, "no layer 'b'"),
        (lambda p, x: {"a": x}, (), {"code_layer": "b"}, "no layer 'b'"),
        (lambda p, x: {"a": x}, (), {"class_names": ["x"]}, "1 class names for the 3 units"),
        (lambda p, x: {"a": x}, (), {"data_formats": {"b": "NHWC"}}, "data_formats names no layer"),
        (lambda p, x: (x + 1, {"output": x}), (), {}, "'output' names an activation, but"),
        (lambda p, x: {"a": x}, (), {"preprocessing": None}, "give preprocessing, or input_size"),
    ],
)
def test_functions_and_options_that_do_not_fit_are_refused(fn, params, options, match):
    with pytest.raises(ValueError, match=match):
        Network.from_function(fn, params, **{"preprocessing": EATS, **options})


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match=r"fn must be a function \(params, images\).*, not \{\}"):
        without_type_checks(from_function)({}, {}, preprocessing=EATS)


@pytest.mark.parametrize("name", ["compact", "compact-resnet"])
def test_a_trained_network_in_mixed_layouts_comes_out_as_it_was(name):
    """Every other map channels first; measured where positions see much of the image, too."""
    known = Network.load(name)
    maps = [layer for layer, info in known.layers.items() if len(info.shape) == 3]

    def mixed(params, net_input):
        out = dict(known.forward(params, net_input.transpose(0, 2, 3, 1)))
        turned = {layer: out[layer].transpose(0, 3, 1, 2) for layer in maps[::2]}
        return {layer: turned.get(layer, out[layer]) for layer in known.layers}

    network = Network.from_function(mixed, known.params, preprocessing=known.preprocessing)
    assert network.forward.forward.run.input_format == "NCHW"
    shapes = {layer: info.shape for layer, info in known.layers.items()}
    assert {layer: info.shape for layer, info in network.layers.items()} == shapes
    picture = images(1, size=known.input_size)
    expected = known.activations(picture, maps)
    for layer, values in network.activations(picture, maps).items():
        np.testing.assert_allclose(values, expected[layer], rtol=1e-4, atol=1e-4, err_msg=layer)
