"""Weights files: what is written is loaded, and what is damaged is refused."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfvjax.fetch.definitions import write_definition
from mfvjax.models.compact import compact_graph
from mfvjax.network import Network, files
from mfvjax.network.architectures import parameter_shapes
from mfvjax.network.caffe import from_graph
from mfvjax.preprocess import Preprocessing
from tests.small_caffe import SIZE, random_images, write_small_caffe
from weights_convert import convert
from weights_convert.plan import plan_network
from weights_convert.prototxt import read_prototxt

NAMES = ("ant", "bee", "cat <b>", "dog & fox", "emu", "fly")


@pytest.fixture(scope="module")
def caffe_files(tmp_path_factory):
    return write_small_caffe(tmp_path_factory.mktemp("caffe"))


@pytest.fixture(scope="module")
def weights(caffe_files, tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "small.safetensors"
    convert(*caffe_files, file, class_names=NAMES)
    return file


def rewrite(source, target, *, metadata=None, tensors=None):
    """`source` with other metadata entries or tensors; an entry of ``None`` is left out."""
    with safetensors.safe_open(source, framework="numpy") as handle:
        about = handle.metadata() | (metadata or {})
        arrays = {name: handle.get_tensor(name) for name in handle.offset_keys()} | (tensors or {})
    about = {key: value for key, value in about.items() if value is not None}
    arrays = {key: value for key, value in arrays.items() if value is not None}
    safetensors.numpy.save_file(arrays, target, about)
    return target


def test_a_converted_network_is_the_one_made_from_the_sources(caffe_files, weights):
    loaded, direct = Network.load(weights), Network.from_caffe(*caffe_files, class_names=NAMES)
    assert loaded.fingerprint == direct.fingerprint
    assert loaded.forward == direct.forward
    assert dict(loaded.layers) == dict(direct.layers)
    assert loaded.preprocessing == direct.preprocessing
    assert (loaded.name, loaded.class_name(2)) == ("small", "cat <b>")
    images = random_images(2)
    ours, theirs = loaded.activations(images), direct.activations(images)
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_options_of_reading_caffe_files_show(caffe_files):
    other = Preprocessing(SIZE, "RGB", (1.0, 2.0, 3.0), 0.5)
    network = Network.from_caffe(
        *caffe_files, name="mine", preprocessing=other, logits_layer="fc", code_layer="pool2"
    )
    assert (network.name, network.preprocessing, network.logits_layer) == ("mine", other, "fc")
    assert network.code_layer("fc") == "pool2"
    with pytest.raises(ValueError, match=r"makes images of \(5, 5\), network 'small' takes"):
        Network.from_caffe(*caffe_files, preprocessing=Preprocessing((5, 5)))


def test_weights_that_the_definition_does_not_use_can_be_left_out(caffe_files, tmp_path):
    prototxt = tmp_path / "short.prototxt"
    text = caffe_files[0].read_text()
    prototxt.write_text(text[: text.index('layer { name: "score"')])
    with pytest.raises(ValueError, match="score"):
        Network.from_caffe(prototxt, caffe_files[1])
    network = Network.from_caffe(prototxt, caffe_files[1], ignore_layers=["sco*"])
    assert network.logits_layer == "fc"


def test_half_precision_weights_are_widened(weights, tmp_path):
    kernel = safetensors.numpy.load_file(weights)["fc/kernel"]
    half = rewrite(
        weights, tmp_path / "half.safetensors", tensors={"fc/kernel": kernel.astype(np.float16)}
    )
    loaded = Network.load(half).params["fc"]["kernel"]
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, kernel.astype(np.float16).astype(np.float32))


def test_a_saved_network_comes_back(caffe_files, tmp_path):
    eats = Preprocessing(SIZE, "RGB", (1.0, 2.0, 3.0), 0.5)
    network = Network.from_caffe(
        *caffe_files, name="mine", preprocessing=eats, class_names=NAMES, logits_layer="score"
    )
    network.save(tmp_path / "mine.safetensors")
    loaded = Network.load(tmp_path / "mine.safetensors")
    assert loaded.fingerprint == network.fingerprint
    assert (loaded.name, loaded.class_names) == ("mine", NAMES)
    network.save(tmp_path / "mine.safetensors", dtype="float16")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.safetensors"]
    half = Network.load(tmp_path / "mine.safetensors").params["fc"]["kernel"]
    np.testing.assert_array_equal(half, network.params["fc"]["kernel"].astype(np.float16))


def test_only_models_of_the_library_are_saved(caffe_files, tmp_path):
    network = Network.from_caffe(*caffe_files)
    with pytest.raises(ValueError, match=r"stored in one of .*float16.*, not 'int8'"):
        network.save(tmp_path / "net.safetensors", dtype="int8")
    own = dataclasses.replace(network, forward=lambda params, net_input: {"fc": net_input})
    with pytest.raises(ValueError, match="network 'small' is a module of your own"):
        own.save(tmp_path / "net.safetensors")


def test_a_network_is_found_by_name_in_the_cache(weights, tmp_path, monkeypatch):
    monkeypatch.setenv("MFVJAX_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        FileNotFoundError, match=r"no network 'tiny_v1.1' in .*cache: fetch it with"
    ):
        Network.load("tiny_v1.1")
    (tmp_path / "cache").mkdir()
    shutil.copy(weights, tmp_path / "cache" / "tiny_v1.1.safetensors")
    assert Network.load("tiny_v1.1").fingerprint == Network.load(weights).fingerprint


def test_the_cache_is_where_the_user_wants_it(weights, tmp_path, monkeypatch):
    monkeypatch.delenv("MFVJAX_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "mfvjax").mkdir()
    shutil.copy(weights, tmp_path / "mfvjax" / "mine.safetensors")
    assert Network.load("mine").name == "small"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"\.cache/mfvjax"):
        Network.load("mine")


def test_bundled_networks_are_found_first(weights, tmp_path, monkeypatch):
    monkeypatch.setenv("MFVJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "bundled_dir", lambda: tmp_path)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "toy.safetensors").write_bytes(b"not this one")
    shutil.copy(weights, tmp_path / "toy.safetensors")
    assert Network.load("toy").name == "small"


def test_the_compact_network_comes_with_the_library(tmp_path, monkeypatch):
    monkeypatch.setenv("MFVJAX_CACHE", str(tmp_path))
    network = Network.load("compact")
    assert (network.name, network.input_size) == ("compact", (96, 96))
    assert network.code_layer("prob") == "fc7"


@pytest.mark.parametrize("path", ["nowhere/net.safetensors", "net.safetensors", "nowhere/net"])
def test_a_missing_file_is_named(path):
    with pytest.raises(FileNotFoundError, match=f"no weights file {path}"):
        Network.load(path)


@pytest.mark.parametrize(
    ("metadata", "match"),
    [
        ({"format": None}, "is not a network of this library"),
        ({"format": "pt"}, "is not a network of this library"),
        ({"version": "2"}, "has format version '2'; this reads '1'"),
        ({"graph": None, "name": None}, "its metadata lack name, graph"),
        ({"graph": "{"}, "Expecting property name"),
        ({"graph": "[" * 100_000}, "nested too deeply"),
        ({"graph": "{}"}, "malformed"),
        ({"graph": '{"name": 1, "input_name": 2, "input_shape": 3, "layers": 4}'}, "malformed"),
        ({"preprocessing": "{}"}, "preprocessing cannot be read"),
        (
            {"architecture": "resnet"},
            "'resnet' is unknown; known: caffe_graph, caffenet, alexnet, ",
        ),
        ({"architecture": "caffenet"}, "has no layer fc8"),
        ({"logits_layer": "fc8"}, "no layer 'fc8'"),
        ({"class_names": '["one"]'}, "1 class names for the 6 units"),
        ({"class_names": '{"a": 1}'}, "class names are not a list"),
        ({"class_names": "[1, 2, 3, 4, 5, 6]"}, "class names are not a list"),
        ({"class_names": "["}, "Expecting value"),
        ({"class_names": "[" * 100_000}, "recursion"),
        ({"preprocessing": "[" * 100_000}, "recursion"),
    ],
)
def test_wrong_metadata_are_refused(weights, tmp_path, metadata, match):
    file = rewrite(weights, tmp_path / "wrong.safetensors", metadata=metadata)
    with pytest.raises(ValueError, match=match) as caught:
        Network.load(file)
    assert str(caught.value).startswith(str(file))


@pytest.mark.parametrize(
    ("tensors", "match"),
    [
        ({"fc/kernel": None}, r"missing \['fc/kernel'\], unknown none"),
        ({"fc9/bias": np.zeros(3, np.float32)}, r"missing none, unknown \['fc9/bias'\]"),
        ({"fc/bias": np.zeros(8, np.float32)}, r"'fc/bias' has shape \(8,\), the model needs \(9,"),
        ({"fc/bias": np.zeros(9, np.int32)}, "'fc/bias' is int32; must be one of"),
        ({"fc/bias": np.full(9, np.nan, np.float32)}, "'fc/bias' has values that are not finite"),
    ],
)
def test_wrong_tensors_are_refused(weights, tmp_path, tensors, match):
    file = rewrite(weights, tmp_path / "wrong.safetensors", tensors=tensors)
    with pytest.raises(ValueError, match=match):
        Network.load(file)


def test_a_graph_of_other_channels_than_the_preprocessing_is_refused(weights, tmp_path):
    with safetensors.safe_open(weights, framework="numpy") as handle:
        graph = json.loads(handle.metadata()["graph"])
        kernel = handle.get_tensor("conv1/kernel")
    graph["input_shape"][-1] = 2
    file = rewrite(
        weights,
        tmp_path / "two.safetensors",
        metadata={"graph": json.dumps(graph)},
        tensors={"conv1/kernel": kernel[:, :, :2]},
    )
    with pytest.raises(ValueError, match=r"makes images of 3 channels, network .* takes 2"):
        Network.load(file)


def test_a_file_of_another_kind_is_refused(tmp_path, caffe_files):
    for file in caffe_files:
        copy = tmp_path / "renamed.safetensors"
        shutil.copy(file, copy)
        with pytest.raises(ValueError, match=r"renamed.safetensors: "):
            Network.load(copy)


def load_bytes(file, content):
    """The network of a file with this content, or the message of our own error."""
    file.write_bytes(content)
    try:
        return Network.load(file)
    except ValueError as error:
        return str(error)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_truncated_and_flipped_files_never_crash(weights, tmp_path, data):
    content, file = weights.read_bytes(), tmp_path / "damaged.safetensors"
    cut = data.draw(st.integers(0, len(content) - 1), label="cut")
    assert str(load_bytes(file, content[:cut])).startswith(f"{file}: ")
    header = 8 + int.from_bytes(content[:8], "little")
    flipped = bytearray(content)
    place = data.draw(st.integers(0, header - 1), label="place")  # the header says all there is
    flipped[place] ^= 1 << data.draw(st.integers(0, 7), label="bit")
    network = load_bytes(file, bytes(flipped))
    if isinstance(network, str):  # otherwise the flip is harmless: every number fits the graph
        assert network.startswith(f"{file}: ")
    else:
        shapes = parameter_shapes("caffe_graph", network.forward.spec)
        assert jax.tree.map(np.shape, network.params) == shapes


@pytest.mark.parametrize("name", ["caffenet", "alexnet"])
def test_hand_written_models_take_the_parameters_of_their_graphs(name, tmp_path):
    prototxt = tmp_path / "deploy.prototxt"
    prototxt.write_text(write_definition(name))
    graph = plan_network(read_prototxt(prototxt)).graph
    written = parameter_shapes(name, graph)
    assert written == parameter_shapes("caffe_graph", graph)
    assert sum(np.prod(s) for layer in written.values() for s in layer.values()) == 60_965_224


def test_the_compact_model_is_the_network_of_its_graph():
    graph, rng = compact_graph(num_classes=5), np.random.default_rng(0)
    arrays = {
        f"{layer}/{name}": rng.normal(0, 0.1, shape).astype(np.float32)
        for layer, shapes in parameter_shapes("compact", graph).items()
        for name, shape in shapes.items()
    }
    common = {"name": "toy", "preprocessing": Preprocessing((96, 96)), "logits_layer": "fc8"}
    networks = [
        from_graph(graph, arrays, architecture=architecture, **common)
        for architecture in ("compact", "caffe_graph")
    ]
    image = rng.uniform(0, 255, (1, 96, 96, 3)).astype(np.float32)
    written, generic = (network.activations(image) for network in networks)
    assert list(written) == list(generic)
    for name in written:
        np.testing.assert_allclose(written[name], generic[name], rtol=1e-4, atol=1e-4)
