"""The bundled network: its shape, its weights file, and what it knows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from mfvjax import facetworld
from mfvjax.facetworld.designs import COMPACT
from mfvjax.facetworld.evaluate import score_classes
from mfvjax.facetworld.weights import load_weights, save_weights
from mfvjax.models.compact import Compact, compact_graph
from mfvjax.network import Network
from mfvjax.preprocess import Preprocessing

LAYERS = ["conv1", "pool1", "norm1", "conv2", "pool2", "norm2", "conv3", "conv4", "conv5"]
LAYERS += ["pool5", "fc6", "fc7", "fc8", "prob"]


@pytest.fixture(scope="module")
def bundled():
    return load_weights(COMPACT)


@pytest.fixture(scope="module")
def fresh():
    return facetworld.dataset(8, seed=77)


def test_layers_are_those_of_caffenet():
    orders = []

    def forward():
        blobs = Compact()(jnp.zeros((2, 96, 96, 3)))
        orders.append(list(blobs))
        return blobs

    shapes = {name: blob.shape[1:] for name, blob in nnx.eval_shape(forward).items()}
    graph = compact_graph()
    assert orders == [LAYERS]
    assert list(graph.blob_shapes()) == LAYERS
    assert shapes == graph.blob_shapes()


def test_it_is_small():
    params = nnx.split(nnx.eval_shape(Compact))[1]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) <= 1_500_000
    assert COMPACT.weights.stat().st_size <= 3_000_000


def test_dropping_zeroes_a_quarter_and_keeps_the_mean():
    module = Compact(rngs=nnx.Rngs(1))
    net_input = jax.random.normal(jax.random.key(0), (4, 96, 96, 3))
    plain, dropped = module(net_input), module(net_input, drop_key=jax.random.key(1))
    kept = np.asarray(dropped["fc6"] > 0)[np.asarray(plain["fc6"] > 0)]
    assert 0.67 < kept.mean() < 0.83  # about 760 values: 5 deviations are 0.08
    both = np.asarray(dropped["fc6"] > 0)
    np.testing.assert_allclose(dropped["fc6"][both], plain["fc6"][both] / 0.75, rtol=1e-6)
    np.testing.assert_array_equal(dropped["pool5"], plain["pool5"])


def test_the_bundled_weights_know_fresh_pictures(bundled, fresh):
    module, preprocessing, class_names = bundled
    assert class_names == facetworld.CLASSES
    scores = score_classes(COMPACT, module, preprocessing, fresh)
    assert np.mean([score.accuracy for score in scores]) >= 0.95
    # Facets are never told, and yet the codes of a class fall apart into them.
    agreements = {s.class_name: s.agreement for s in scores}
    assert min(agreements.values()) >= 0.8, agreements
    assert np.mean(list(agreements.values())) >= 0.95


def test_the_bundled_network_is_a_network(bundled, fresh):
    module, preprocessing, class_names = bundled
    network = Network.load(COMPACT.weights)
    assert network.class_names == class_names
    assert network.logits_layer == "fc8"
    assert network.code_layer("fc8") == "fc7"
    assert network.input_size == (96, 96)
    images = jnp.asarray(fresh.images[::40], jnp.float32)
    blobs = module(preprocessing.to_net_input(images))
    for name, found in network.activations(images, ["conv1", "norm2", "fc7", "prob"]).items():
        np.testing.assert_allclose(found, blobs[name], atol=1e-4 * float(blobs[name].max()))


@pytest.fixture
def params():
    return nnx.to_pure_dict(nnx.state(Compact(num_classes=3, rngs=nnx.Rngs(2))))


ABOUT = {
    "design": COMPACT,
    "class_names": ["a", "b", "c"],
    "preprocessing": Preprocessing((96, 96), "RGB"),
}


def test_weights_survive_in_half_precision(tmp_path, params):
    file = tmp_path / "net.safetensors"
    save_weights(file, params, **ABOUT)
    module, preprocessing, class_names = load_weights(COMPACT, file)
    assert (preprocessing, class_names) == (ABOUT["preprocessing"], ("a", "b", "c"))
    kernel = module.conv3.kernel[...]
    assert kernel.dtype == jnp.float32
    np.testing.assert_allclose(kernel, params["conv3"]["kernel"], rtol=1e-3, atol=1e-7)
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]


def test_writing_says_what_is_wrong(tmp_path, params):
    file = tmp_path / "net.safetensors"
    del params["fc7"]["bias"]
    with pytest.raises(ValueError, match="parameter 'fc7/bias' is missing"):
        save_weights(file, params, **ABOUT)
    params["fc7"]["bias"] = np.full(256, 1e6, np.float32)
    with pytest.raises(ValueError, match="'fc7/bias' has values that are not finite in float16"):
        save_weights(file, params, **ABOUT)
    assert not file.exists()


def test_reading_says_what_is_wrong(tmp_path, params):
    file = tmp_path / "net.safetensors"
    with pytest.raises(FileNotFoundError, match=r"no weights file .*net\.safetensors"):
        load_weights(COMPACT, file)
    file.write_bytes(b"not a weights file, but long enough to be one")
    with pytest.raises(ValueError, match=r"net\.safetensors is no network compact"):
        load_weights(COMPACT, file)
    save_weights(file, params, **ABOUT)
    with safetensors.safe_open(file, framework="numpy") as handle:
        about = handle.metadata()
    tensors = safetensors.numpy.load_file(file)
    for change, metadata, message in (
        ({}, {"name": "alexnet"}, "is no network compact: it holds the network 'alexnet'"),
        ({"fc9/bias": np.zeros(3, np.float16)}, {}, "parameter 'fc9/bias' is unknown"),
        ({"fc8/bias": np.zeros(4, np.float16)}, {}, r"'fc8/bias' has shape \(4,\), must have"),
        ({"fc8/bias": np.full(3, np.nan, np.float16)}, {}, "'fc8/bias' has values that are not"),
    ):
        safetensors.numpy.save_file(tensors | change, file, about | metadata)
        with pytest.raises(ValueError, match=message):
            load_weights(COMPACT, file)
