"""Networks on images of another size: the same parameters and names, or a clear refusal."""

import dataclasses
import itertools

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from mfvjax.models import ops
from mfvjax.models.graph import GraphSpec, LayerSpec
from mfvjax.models.resize import resize_graph
from mfvjax.network import Network
from mfvjax.preprocess import Preprocessing
from mfvjax.types import ReceptiveField
from tests.small_graph import LAYERS, SIZE, small_network
from tests.tiny_network import tiny_network
from weights_convert.plan import plan_prototxt

PUBLISHED = ["bvlc_reference_caffenet", "bvlc_alexnet", "bvlc_googlenet", "squeezenet_v1.0"]


def noise(network, count=2, seed=0):
    shape = (count, *network.input_shape)
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


@pytest.fixture(scope="module")
def squeezenet(data_dir) -> Network:
    folder = data_dir / "models" / "squeezenet_v1.0"
    return Network.from_caffe(folder / "deploy.prototxt", folder / "squeezenet_v1.0.caffemodel")


@pytest.fixture(scope="module")
def photo(data_dir):
    file = sorted((data_dir / "images" / "one_per_class").iterdir())[498]
    return np.asarray(Image.open(file).convert("RGB"), np.float32)


@pytest.mark.parametrize("size", [(107, 107), (120, 163)])
def test_squeezenet_at_another_size_is_opencvs(squeezenet, photo, data_dir, size):
    network = squeezenet.with_input_size(size)
    assert network.input_size == size
    assert list(network.layers) == list(squeezenet.layers)
    assert network.layers["pool_final"].shape == (1, 1, 1000)
    image = photo[: size[0], : size[1]]
    folder = data_dir / "models" / "squeezenet_v1.0"
    files = (folder / "deploy.prototxt", folder / "squeezenet_v1.0.caffemodel")
    net = cv2.dnn.readNetFromCaffe(*map(str, files))
    net.setInput(cv2.dnn.blobFromImage(image[..., ::-1], mean=(104, 117, 123)))
    found = network.activations(image[None])
    for layer in ("fire5/concat", "fire9/concat", "pool_final"):
        theirs = net.forward(layer)
        ours = np.moveaxis(np.asarray(found[layer]), -1, 1)
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
    for name, info in network.layers.items():
        assert found[name].shape[1:] == info.shape


def test_a_larger_image_shows_each_position_what_its_part_shows(squeezenet, photo):
    """Away from padding, a map is moved with the image, a stride at a time."""
    layer, size = "fire3/concat", (227, 243)
    part = (slice(64, 171), slice(80, 187))
    large = squeezenet.with_input_size(size)
    small = squeezenet.with_input_size((107, 107))
    image = np.resize(photo, (*size, 3))
    whole, cut = (
        np.asarray(network.activations(picture[None], layer)[layer])[0]
        for network, picture in ((large, image), (small, image[part]))
    )
    field = small.layers[layer].receptive_field
    assert field == squeezenet.layers[layer].receptive_field
    steps = [piece.start // stride for piece, stride in zip(part, field.stride, strict=True)]
    assert [n * s for n, s in zip(steps, field.stride, strict=True)] == [64, 80]
    inner = 0
    for row, column in itertools.product(range(cut.shape[0]), range(cut.shape[1])):
        box = field.box((row, column))
        if box.clip((107, 107)) == box:
            inner += 1
            shown = whole[row + steps[0], column + steps[1]]
            np.testing.assert_allclose(cut[row, column], shown, rtol=1e-3, atol=1e-3)
    assert inner > 100


def test_back_at_the_first_size_it_is_the_first_network(squeezenet, photo):
    for size in ((107, 107), (75, 300)):
        back = squeezenet.with_input_size(size).with_input_size((227, 227))
        assert back.forward == squeezenet.forward
        assert back.fingerprint == squeezenet.fingerprint
        assert dict(back.layers) == dict(squeezenet.layers)
    assert squeezenet.with_input_size((227, 227)) is squeezenet
    other = squeezenet.with_input_size((107, 107))
    assert len({squeezenet.fingerprint, other.fingerprint}) == 2
    half = squeezenet.with_precision("bfloat16").with_input_size((107, 107))
    assert half.forward == other.with_precision("bfloat16").forward
    assert half.fingerprint == other.with_precision("bfloat16").fingerprint


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("size", [(227, 227), (224, 224), (256, 300), (107, 107), (60, 400)])
def test_published_graphs_keep_what_fits(data_dir, name, size):
    spec = plan_prototxt(data_dir / "models" / name / "deploy.prototxt").graph
    shapes, needs = spec.blob_shapes(), spec.parameter_shapes()
    cut = resize_graph(spec, size, truncate=True)
    assert cut.input_shape == (*size, 3)
    assert {layer: needs[layer] for layer in cut.parameter_shapes()} == cut.parameter_shapes()
    fields = spec.receptive_fields()
    pooled = [layer.outputs[0] for layer in spec.layers if layer.kind == "Pooling"]
    for blob, field in cut.receptive_fields().items():
        assert field == fields[blob] or (blob in pooled and shapes[blob][:2] == (1, 1))
    if name in ("bvlc_googlenet", "squeezenet_v1.0"):
        assert list(cut.blob_shapes()) == list(shapes)
        assert resize_graph(cut, spec.input_shape[:2]) == spec
    elif cut.blob_shapes()["pool5"] == shapes["pool5"]:
        assert list(cut.blob_shapes()) == list(shapes)
    else:
        assert list(cut.blob_shapes()) == list(shapes)[: list(shapes).index("fc6")]
        with pytest.raises(ValueError, match=r"'fc6' \(InnerProduct\): has weights for 9216 inp"):
            resize_graph(spec, size)


def graph(*layers, size=(12, 12)):
    made = (LayerSpec(name, op, tuple(inputs), (out,)) for name, op, inputs, out in layers)
    return GraphSpec("made", "data", (*size, 3), tuple(made))


def test_a_pooling_that_spans_a_map_by_chance_does_not_elsewhere():
    pool = ops.Pooling("max", (3, 3))
    fixed = graph(("pool", pool, ["data"], "pool"))
    by_chance = resize_graph(fixed, (3, 3))
    assert by_chance.layers[0].op == dataclasses.replace(pool, spans_map=False)
    assert resize_graph(by_chance, (5, 4)).blob_shapes() == {"pool": (3, 2, 3)}
    assert resize_graph(by_chance, (12, 12)) == fixed
    assert GraphSpec.from_json(by_chance.to_json()) == by_chance
    assert "spans_map" not in fixed.to_json()
    spanning = graph(("pool", pool, ["data"], "pool"), size=(3, 3))
    assert resize_graph(spanning, (7, 5)).blob_shapes() == {"pool": (1, 1, 3)}
    strided = graph(("pool", ops.Pooling("max", (3, 3), (2, 2)), ["data"], "pool"), size=(3, 3))
    assert resize_graph(strided, (7, 5)).blob_shapes() == {"pool": (3, 2, 3)}


@pytest.mark.parametrize(
    ("layers", "kept"),
    [
        # A branch that fits stays beside one that does not, the join of both goes.
        (
            [
                ("conv", ops.Convolution(4, (3, 3)), ["data"], "conv"),
                ("flat", ops.InnerProduct(5), ["conv"], "flat"),
                ("side", ops.Pooling("max", (10, 10)), ["conv"], "side"),
                ("dense", ops.InnerProduct(5), ["side"], "dense"),
                ("both", ops.Eltwise(), ["flat", "dense"], "both"),
            ],
            ["conv", "side", "dense"],
        ),
        # What is rewritten in place by a layer that goes, goes.
        (
            [
                ("first", ops.Convolution(2, (1, 1)), ["data"], "first"),
                ("conv", ops.Convolution(4, (3, 3)), ["first"], "conv"),
                ("scale", ops.Scale((-3, -2, -1)), ["conv"], "conv"),
                ("pool", ops.Pooling("max", (2, 2)), ["conv"], "pool"),
            ],
            ["first"],
        ),
        (
            [
                ("conv", ops.Convolution(4, (3, 3)), ["data"], "conv"),
                ("wide", ops.Reshape((400,)), ["conv"], "wide"),
                ("soft", ops.Softmax(), ["wide"], "soft"),
            ],
            ["conv"],
        ),
    ],
)
def test_truncation_takes_no_more_than_what_does_not_fit(layers, kept):
    assert list(resize_graph(graph(*layers), (14, 13), truncate=True).blob_shapes()) == kept


@pytest.mark.parametrize(
    ("layer", "size", "match"),
    [
        (ops.InnerProduct(4), (14, 12), r"'last' \(InnerProduct\): has weights for 1200 .*ts 1440"),
        (ops.Scale((-3, -1)), (14, 12), r"parameter 'scale' has shape \(10, 12\), it would need"),
        (ops.Reshape((12, 100)), (14, 12), r"'last' \(Reshape\): cannot lay out \(12, 10, 12\)"),
        (ops.Convolution(4, (5, 5)), (6, 12), "kernel spans 5 cells but the padded map has 4"),
        (ops.Pooling("max", (3, 3)), (2, 12), "'conv' .* kernel spans 3 cells but the padded"),
        (ops.Slice(-3, (4,)), (5, 12), r"'last' \(Slice\)"),
    ],
)
def test_the_first_layer_that_does_not_fit_is_named(layer, size, match):
    outputs = ("a", "b") if isinstance(layer, ops.Slice) else ("a",)
    conv = LayerSpec("conv", ops.Convolution(12, (3, 3)), ("data",), ("conv",))
    spec = GraphSpec(
        "made", "data", (12, 12, 3), (conv, LayerSpec("last", layer, ("conv",), outputs))
    )
    with pytest.raises(ValueError, match=match):
        resize_graph(spec, size)


def test_no_layer_fits():
    spec = graph(("conv", ops.Convolution(12, (3, 3)), ["data"], "conv"))
    with pytest.raises(ValueError, match=r"'conv' .* kernel spans 3 cells"):
        resize_graph(spec, (2, 2), truncate=True)


@pytest.fixture(scope="module")
def dense():
    return small_network(logits_layer="fc4")


def test_a_network_behind_maps_says_what_does_not_fit(dense):
    with pytest.raises(
        ValueError,
        match=r"network 'small' cannot take images of 37x40: layer 'fc3' \(InnerProduct\): has "
        r"weights for 256 inputs, gets \d+; use a size such as 30x30, or leave out .*truncate=True",
    ):
        dense.with_input_size((37, 40))
    with pytest.raises(
        ValueError, match=r"'conv1' .*kernel spans 5 cells but the padded map has 3"
    ):
        dense.with_input_size((3, 40))
    with pytest.raises(ValueError, match="input_size must be"):
        dense.with_input_size((0, 5))


def test_a_truncated_network_keeps_its_maps_and_has_no_classes(dense, tmp_path):
    named = dataclasses.replace(dense, class_names=tuple("abcdefghijkl"), class_code_layer="fc3")
    cut = named.with_input_size((37, 40), truncate=True)
    names = [name for name in dense.layers if name not in ("fc3", "fc4", "prob")]
    assert list(cut.layers) == names
    assert set(cut.params) == {"conv1", "conv2"}
    assert (cut.logits_layer, cut.class_names, cut.num_classes) == ("", None, 0)
    assert not any(map(cut.is_class_layer, names))
    assert [cut.code_layer(name) for name in names] == names
    assert repr(cut).endswith("input 37x40, no classes, float32)")
    with pytest.raises(ValueError, match="class 0: network 'small' has no layer of classes"):
        cut.class_name(0)
    with pytest.raises(ValueError, match="1 class names for the 0 units"):
        dataclasses.replace(cut, class_names=("a",))
    cut.save(tmp_path / "cut.safetensors")
    loaded = Network.load(tmp_path / "cut.safetensors")
    assert loaded.fingerprint == cut.fingerprint
    images = noise(cut)
    again = loaded.activations(images)
    first = cut.with_input_size((SIZE, SIZE))
    for name, expected in dense.activations(images[:, :SIZE, :SIZE], names).items():
        found = first.activations(images[:, :SIZE, :SIZE], name)[name]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        assert again[name].shape[1:] == cut.layers[name].shape
    inner = np.asarray(again["conv1"])[:, :13, :13]
    np.testing.assert_allclose(
        inner, dense.activations(images[:, :SIZE, :SIZE], "conv1")["conv1"], rtol=1e-4, atol=1e-4
    )


def test_the_bundled_network_at_other_sizes():
    compact = Network.load("compact")
    same = compact.with_input_size((98, 97))  # the last map stays 3x3
    assert same.forward.architecture == "compact"
    images = noise(same)
    out = same.activations(images, ["conv1", "fc8"])
    first = compact.activations(images[:, :96, :96], "conv1")["conv1"]
    np.testing.assert_allclose(out["conv1"][:, :30, :30], first, rtol=1e-4, atol=1e-4)
    assert same.class_names == compact.class_names
    larger = compact.with_input_size((160, 130), truncate=True)
    assert list(larger.layers)[-1] == "pool5"
    maps = larger.activations(noise(larger), "conv5")["conv5"]
    assert maps.shape[1:] == larger.layers["conv5"].shape
    assert larger.receptive_field("conv3:1").size == compact.receptive_field("conv3:1").size


class Pooled(nnx.Module):
    """Convolutions of any size before a mean over all places."""

    def __init__(self, *, rngs):
        self.conv = nnx.Conv(3, 4, (5, 5), strides=2, padding="VALID", rngs=rngs)
        self.next = nnx.Conv(4, 6, (3, 3), padding="VALID", rngs=rngs)
        self.head = nnx.Linear(6, 5, rngs=rngs)

    def __call__(self, x):
        return self.head(nnx.relu(self.next(nnx.relu(self.conv(x)))).mean((1, 2)))


class LinenDense(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (5, 5), name="conv")(x))
        return nn.Dense(3, name="head")(x.reshape(x.shape[0], -1))


def pooled_network():
    return Network.from_nnx(
        Pooled(rngs=nnx.Rngs(0)), preprocessing=Preprocessing((24, 20), mean=120.0, scale=1 / 64)
    )


def linen_network():
    module = LinenDense()
    variables = module.init(jax.random.key(0), jnp.zeros((1, 12, 10, 3)))
    return Network.from_linen(module, variables, input_size=(12, 10))


def test_a_users_network_at_another_size():
    network = pooled_network()
    other = network.with_input_size((40, 33))
    assert other.layers["conv"].shape == (18, 15, 4)
    assert other.layers["next"].receptive_field == ReceptiveField((9, 9), (2, 2), (0, 0))
    assert other.forward == network.forward
    module, images = Pooled(rngs=nnx.Rngs(0)), noise(other)
    expected = module((images - 120) / 64)
    np.testing.assert_allclose(other.activations(images, "head")["head"], expected, atol=1e-4)
    inner = network.activations(images[:, :24, :20], "conv")["conv"]
    np.testing.assert_allclose(
        other.activations(images, "conv")["conv"][:, :10, :8], inner, atol=1e-4
    )
    back = other.with_input_size((24, 20))
    assert back.fingerprint == network.fingerprint != other.fingerprint
    fresh = Network.from_nnx(
        module, preprocessing=dataclasses.replace(network.preprocessing, input_size=(40, 33))
    )
    assert fresh.fingerprint == other.fingerprint
    half = network.with_precision("bfloat16").with_input_size((40, 33))
    assert half.forward == other.with_precision("bfloat16").forward
    assert half.fingerprint == other.with_precision("bfloat16").fingerprint
    assert half.layers["next"].receptive_field == other.layers["next"].receptive_field


@pytest.mark.parametrize(
    ("make", "size", "match"),
    [
        (tiny_network, (30, 24), "network 'TinyNet' .* 30x24: layer 'fc': .*; use a .* as 24x24"),
        (
            linen_network,
            (12, 14),
            "cannot take images of 12x14: layer 'head': .*; .* such as 12x10",
        ),
        (pooled_network, (8, 20), r"8x20: layer 'next' comes out as \(7, 0, 6, 6\) for 7 images"),
    ],
)
def test_a_users_network_that_does_not_fit_says_where(make, size, match):
    for truncate in (False, True):
        with pytest.raises(ValueError, match=match):
            make().with_input_size(size, truncate=truncate)


def test_a_function_that_mixes_images_is_refused():
    network = tiny_network()

    def forward(params, net_input):
        return {name: net_input.reshape(-1, 24 * 24 * 3) for name in network.layers}

    mixing = dataclasses.replace(network, forward=forward)
    with pytest.raises(ValueError, match=r"layer 'conv1' comes out as \(14, 1728\) for 7 images"):
        mixing.with_input_size((48, 24))


def test_code_layers_of_graphs_are_as_before(dense):
    assert [name for name in dense.layers if dense.is_class_layer(name)] == ["fc3", "fc4", "prob"]
    assert [dense.code_layer(name) for name in ("fc3", "prob", "conv2")] == ["norm2"] * 2 + [
        "conv2"
    ]
    assert len(LAYERS) > len(dense.layers)
    with pytest.raises(ValueError, match="no layer 'fc9'"):
        dense.is_class_layer("fc9")
