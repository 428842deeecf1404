"""The one face of every model: activations, units, code layers, precision, fingerprint."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfvjax.network import Network
from mfvjax.network.architectures import graph_layers
from mfvjax.network.code_layers import class_layers, penultimate_layer
from mfvjax.preprocess import CAFFE_IMAGENET, Preprocessing
from mfvjax.types import LayerInfo, PixelBox, Unit
from tests.small_caffe import NUM_CLASSES, SIZE, random_images, small_network
from weights_convert.plan import plan_network
from weights_convert.prototxt import read_prototxt

LAYERS = ["conv1", "pool1", "norm1", "side/narrow", "side/wide", "side/concat", "pool2"]
LAYERS += ["fc", "score", "prob"]


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Network:
    return small_network(tmp_path_factory.mktemp("small"))


def test_layers_come_in_order_with_their_shapes(network):
    out = network.activations(random_images(2))
    assert list(network.layers) == list(out) == LAYERS
    assert {name: a.shape[1:] for name, a in out.items()} == {
        name: info.shape for name, info in network.layers.items()
    }
    assert {a.dtype for a in out.values()} == {jnp.dtype("float32")}
    assert network.input_size == SIZE
    assert (network.name, network.logits_layer, network.num_classes) == ("small", "score", 6)


def test_activations_are_those_of_the_preprocessed_forward_pass(network):
    images = random_images(2)
    bgr = images[..., ::-1] - np.array([104, 117, 123], np.float32)
    plain = jax.jit(network.forward)(network.params, jnp.asarray(bgr))
    for name, activation in network.activations(images).items():
        np.testing.assert_allclose(activation, plain[name], rtol=1e-4, atol=1e-4)


def test_integers_give_the_same_as_floats(network):
    images = random_images(1).astype(np.uint8)
    as_floats = network.activations(images.astype(np.float32), "score")
    np.testing.assert_array_equal(network.activations(images, "score")["score"], as_floats["score"])


def test_chosen_layers_come_in_execution_order_and_others_are_not_computed(network):
    some = network.activations(random_images(1), ["score", "conv1"])
    assert list(some) == ["conv1", "score"]
    first = jax.jit(lambda p, x: network.read(p, x)["conv1"])
    all_of_it = jax.jit(network.read)
    args = network.params, jnp.asarray(random_images(1))
    flops = [f.lower(*args).compile().cost_analysis()["flops"] for f in (first, all_of_it)]
    assert flops[0] < flops[1]


def test_one_compilation_serves_all_images(network):
    traces = []

    @dataclasses.dataclass(frozen=True)
    class Counting:
        forward: object

        def __call__(self, params, net_input):
            traces.append(net_input.shape)
            return self.forward(params, net_input)

    counted = dataclasses.replace(network, forward=Counting(network.forward))
    for seed in range(3):
        counted.activations(random_images(2, seed=seed), "fc")
    assert len(traces) == 1


def test_networks_of_one_architecture_share_their_programs(network, tmp_path):
    read = jax.jit(lambda forward, params, x: forward(params, x)["fc"], static_argnums=0)
    net_input = jnp.zeros((1, *SIZE, 3))
    outputs = [
        read(one.forward, one.params, net_input)
        for one in (network, small_network(tmp_path, seed=1))
    ]
    assert read._cache_size() == 1
    assert not np.allclose(*outputs)


def test_read_can_be_mapped_and_differentiated(network):
    images = jnp.asarray(random_images(3))
    whole = network.activations(images, "prob")["prob"]
    one_by_one = jax.vmap(lambda x: network.read(network.params, x[None])["prob"][0])
    np.testing.assert_allclose(jax.jit(one_by_one)(images), whole, atol=1e-5)
    slope = jax.grad(lambda x: network.read(network.params, x)["score"][:, 2].sum())
    gradient = jax.jit(slope)(images)
    assert gradient.shape == images.shape
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max(axis=(1, 2, 3)) > 0).all()


@pytest.mark.parametrize("shape", [(1, 33, 28), (1, 28, 33, 3), (33, 28, 3), (1, 33, 28, 1)])
def test_images_of_another_shape_are_refused(network, shape):
    with pytest.raises(ValueError, match=r"takes images of shape \(batch, 33, 28, 3\), not"):
        network.activations(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("score:5", Unit("score", 5)),
        ("conv1:7", Unit("conv1", 7, (8, 6))),  # the center of a 16 x 13 map
        ("conv1:7@15,12", Unit("conv1", 7, (15, 12))),
        ("side/concat:0@0,0", Unit("side/concat", 0, (0, 0))),
    ],
)
def test_units_are_resolved(network, text, unit):
    assert network.resolve(text) == unit
    assert network.resolve(Unit.parse(text)) == unit
    assert network.resolve(unit) == unit


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("fc9:1", r"no layer 'fc9'; the layers are: conv1, pool1, .*, prob"),
        ("data:1", "no layer 'data'"),
        ("score:6", "layer 'score' has units score:0 to score:5"),
        ("conv1:8", "layer 'conv1' has units conv1:0 to conv1:7"),
        ("score:1@0,0", "is dense and has no positions; write score:1"),
        ("conv1:1@99,0", "the map of layer 'conv1' has rows 0 to 15 and columns 0 to 12"),
        ("conv1", "not of the form"),
    ],
)
def test_units_that_do_not_exist_say_what_does(network, text, match):
    with pytest.raises(ValueError, match=match):
        network.resolve(text)


def test_a_negative_index_does_not_exist(network):
    with pytest.raises(ValueError, match="has units score:0 to score:5"):
        network.resolve(Unit("score", -1))
    with pytest.raises(ValueError, match="has rows 0 to 15"):
        network.resolve(Unit("conv1", 0, (-1, 0)))


def test_receptive_fields_of_units(network):
    assert network.receptive_field("conv1:0@0,0") == PixelBox(-1, -1, 4, 4)
    assert network.receptive_field("conv1:0@1,2") == PixelBox(1, 3, 6, 8)
    assert network.receptive_field("score:0") == PixelBox(0, 0, *SIZE)


def test_class_names(network):
    assert network.class_name(3) == "class 3"
    named = dataclasses.replace(network, class_names=tuple("abcdef"))
    assert named.class_name(3) == "d"
    for index in (-1, NUM_CLASSES):
        with pytest.raises(ValueError, match=f"class {index}: the classes are 0 to 5"):
            named.class_name(index)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"class_names": ("a", "b")}, "2 class names for the 6 units of layer 'score'"),
        ({"logits_layer": "fc8"}, "no layer 'fc8'"),
        ({"class_code_layer": "fc7"}, "no layer 'fc7'"),
    ],
)
def test_networks_that_do_not_fit_are_refused(network, change, match):
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(network, **change)


def test_code_layers_of_the_small_network(network):
    assert network.code_layer("score") == network.code_layer("prob") == "fc"
    assert network.code_layer("conv1") == "conv1"
    own = dataclasses.replace(network, class_code_layer="pool2")
    assert own.code_layer("prob") == "pool2"
    assert own.code_layer("fc") == "fc"
    with pytest.raises(ValueError, match="no layer 'fc7'"):
        network.code_layer("fc7")


@pytest.mark.parametrize(
    ("folder", "logits", "classes", "code"),
    [
        ("bvlc_reference_caffenet", "fc8", ("fc8", "prob"), "fc7"),
        ("bvlc_alexnet", "fc8", ("fc8", "prob"), "fc7"),
        ("bvlc_googlenet", "loss3/classifier", ("loss3/classifier", "prob"), "pool5/7x7_s1"),
        ("squeezenet_v1.0", "pool_final", ("conv_final", "pool_final"), "fire9/concat"),
    ],
)
def test_code_layers_of_published_networks(data_dir, folder, logits, classes, code):
    graph = plan_network(read_prototxt(data_dir / "models" / folder / "deploy.prototxt")).graph
    layers = graph_layers(graph)
    assert class_layers(layers, logits) == classes
    assert penultimate_layer(layers, logits) == code


def test_a_network_of_class_layers_only_codes_with_its_logits():
    layers = {name: LayerInfo(name, (5,)) for name in ("logits", "prob")}
    assert class_layers(layers, "logits") == ("logits", "prob")
    assert penultimate_layer(layers, "logits") == "logits"


def test_bfloat16_is_close_to_float32_and_returns_float32(network):
    images = random_images(4)
    narrow = network.with_precision("bfloat16")
    assert narrow.params is network.params
    rough_ones = narrow.activations(images)
    for name, exact in network.activations(images).items():
        rough = rough_ones[name]
        assert rough.dtype == jnp.float32
        error = float(jnp.abs(rough - exact).max() / jnp.abs(exact).max())
        assert 0 < error < 0.05, name  # bfloat16 has 8 bits: 0.4 % a rounding, some in a row


def test_precision_goes_back_and_makes_equal_functions(network):
    narrow = network.with_precision("bfloat16")
    assert narrow.forward == network.with_precision("bfloat16").forward
    assert hash(narrow.forward) == hash(network.with_precision("bfloat16").forward)
    assert narrow.with_precision("float32").forward == network.forward
    assert network.with_precision("float32") is network
    with pytest.raises(ValueError, match=r"precision must be one of .*, not 'float16'"):
        network.with_precision("float16")


def test_float64_parameters_give_float64(network):
    with jax.enable_x64(True):
        params = jax.tree.map(lambda a: a.astype(jnp.float64), network.params)
        out = jax.jit(network.read)(params, jnp.asarray(random_images(1), jnp.float64))
        assert {a.dtype for a in out.values()} == {jnp.dtype("float64")}
        exact = np.asarray(out["score"])
    np.testing.assert_allclose(network.activations(random_images(1))["score"], exact, rtol=1e-3)


def test_the_fingerprint_changes_with_anything_that_is_computed(network, tmp_path):
    prints = {network.fingerprint}
    assert small_network(tmp_path).fingerprint == network.fingerprint
    assert dataclasses.replace(network, name="other").fingerprint == network.fingerprint
    for path, leaf in jax.tree_util.tree_leaves_with_path(network.params)[:3]:
        changed = jax.tree_util.tree_map_with_path(
            lambda p, a, path=path: a.at[(0,) * a.ndim].add(1e-3) if p == path else a,
            network.params,
        )
        assert leaf.size
        prints.add(dataclasses.replace(network, params=changed).fingerprint)
    other = Preprocessing(SIZE, "RGB", CAFFE_IMAGENET.mean)
    prints.add(dataclasses.replace(network, preprocessing=other).fingerprint)
    prints.add(dataclasses.replace(network, architecture="other").fingerprint)
    prints.add(network.with_precision("bfloat16").fingerprint)
    assert len(prints) == 7
    assert all(len(text) == 64 for text in prints)
