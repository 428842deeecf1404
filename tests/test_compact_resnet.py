"""The second bundled network: unlike the first, written to a file and read back, what it knows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mfvjax import facetworld
from mfvjax.cli.info import describe
from mfvjax.facetworld.designs import COMPACT, COMPACT_RESNET
from mfvjax.facetworld.evaluate import score_classes
from mfvjax.facetworld.weights import load_weights, save_weights
from mfvjax.models.compact_resnet import compact_resnet_graph
from mfvjax.network import Network
from mfvjax.preprocess import Preprocessing


@pytest.fixture(scope="module")
def params():
    return nnx.to_pure_dict(nnx.state(COMPACT_RESNET.module(3, nnx.Rngs(2))))


def convolve(maps, layer, *, stride=1):
    """Windows gathered, then multiplied; the kernel's size tells the padding."""
    kernel, bias = (np.asarray(layer[name], np.float64) for name in ("kernel", "bias"))
    side = kernel.shape[0]
    padded = np.pad(maps, ((0, 0), (side // 2,) * 2, (side // 2,) * 2, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    return np.einsum("nijcab,abcf->nijf", windows[:, ::stride, ::stride], kernel) + bias


def test_the_graph_is_a_residual_network(params):
    """Against the network written out in float64 NumPy."""
    graph, drawn = compact_resnet_graph(3), np.random.default_rng(0).normal(size=(2, 96, 96, 3))
    maps = np.maximum(convolve(drawn, params["conv1"], stride=2), 0)
    for stage in "234":
        maps = np.maximum(convolve(maps, params[f"conv{stage}"], stride=2), 0)
        inner = np.maximum(convolve(maps, params[f"inner{stage}"]), 0)
        maps = np.maximum(maps + convolve(inner, params[f"outer{stage}"]), 0)
    pooled = np.maximum(convolve(maps, params["conv5"]), 0).mean((1, 2))
    logits = pooled @ np.asarray(params["fc6"]["kernel"], np.float64)  # biases start at 0
    blobs = COMPACT_RESNET.module(3, nnx.Rngs(2))(jnp.asarray(drawn, jnp.float32))
    np.testing.assert_allclose(blobs["res4"], maps, atol=1e-4 * maps.max())
    np.testing.assert_allclose(blobs["pool5"][:, 0, 0], pooled, atol=1e-4 * pooled.max())
    np.testing.assert_allclose(blobs["fc6"], logits, atol=1e-4 * np.abs(logits).max())
    assert {name: blob.shape[1:] for name, blob in blobs.items()} == graph.blob_shapes()


def test_it_is_small_and_cheaper_than_the_first():
    arrays = jax.tree.leaves(nnx.state(COMPACT_RESNET.module(14, nnx.Rngs(0))))
    assert sum(array.size for array in arrays) <= 600_000
    assert COMPACT_RESNET.weights.stat().st_size <= 1_300_000
    costs = []
    for design in (COMPACT, COMPACT_RESNET):
        graph, params = nnx.split(design.module(14, nnx.Rngs(0)))

        def answer(params, net_input, graph=graph, layer=design.logits_layer):
            return nnx.merge(graph, params)(net_input)[layer]

        compiled = jax.jit(answer).lower(params, jnp.zeros((1, 96, 96, 3))).compile()
        costs.append(compiled.cost_analysis()["flops"])
    assert costs[1] < costs[0]


def test_it_shares_no_shape_with_the_first():
    """Another network, not the first in other clothes: no layer's weights have the same shape."""
    shapes = [
        {leaf.shape for leaf in jax.tree.leaves(nnx.state(design.module(14, nnx.Rngs(0))))}
        for design in (COMPACT, COMPACT_RESNET)
    ]
    kernels = [{shape for shape in found if len(shape) > 1} for found in shapes]
    assert not kernels[0] & kernels[1]


def test_weights_survive_in_half_precision(tmp_path, params):
    file, preprocessing = tmp_path / "net.safetensors", Preprocessing((96, 96), "RGB")
    names = ["a", "b", "c"]
    save_weights(
        file, params, design=COMPACT_RESNET, class_names=names, preprocessing=preprocessing
    )
    module, found, class_names = load_weights(COMPACT_RESNET, file)
    assert (found, class_names) == (preprocessing, ("a", "b", "c"))
    np.testing.assert_allclose(
        module.outer3.kernel[...], params["outer3"]["kernel"], rtol=1e-3, atol=1e-7
    )
    network = Network.load(file)
    assert (network.name, network.logits_layer) == ("compact-resnet", "fc6")
    with pytest.raises(
        ValueError, match="is no network compact: it holds the network 'compact-resnet'"
    ):
        load_weights(COMPACT, file)


def test_the_bundled_weights_know_fresh_pictures():
    module, preprocessing, class_names = load_weights(COMPACT_RESNET)
    assert class_names == facetworld.CLASSES
    world = facetworld.dataset(6, seed=78)
    scores = score_classes(COMPACT_RESNET, module, preprocessing, world)
    assert np.mean([score.accuracy for score in scores]) >= 0.98
    # Facets are never told, and yet a judge can tell most of them apart by its codes.
    assert np.mean([score.agreement for score in scores]) >= 0.8


def test_it_is_found_by_name():
    network = Network.load("compact-resnet")
    assert network.class_names == facetworld.CLASSES
    assert network.code_layer("fc6") == network.code_layer("prob") == "pool5"
    facts = describe(network)
    assert facts["num_classes"] == 14
    assert facts["input_size"] == [96, 96]
    field = next(layer for layer in facts["layers"] if layer["name"] == "conv4")
    assert field["stride"] == [16, 16]
    assert network.fingerprint != Network.load("compact").fingerprint
