"""The published networks, through real files in both forms, against OpenCV's Caffe networks."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfvjax.models.caffenet import AlexNet, CaffeNet
from mfvjax.models.graph import GraphSpec
from tests.caffe_running import forward_of, graph_forward, nested, to_caffe_layout
from tests.caffe_writer import Node, random_layers, to_v1_text, write_caffemodel, write_nodes
from weights_convert import read_caffe
from weights_convert.plan import plan_network
from weights_convert.prototxt import read_prototxt

WRITTEN_OUT = {"bvlc_reference_caffenet": CaffeNet, "bvlc_alexnet": AlexNet}
PUBLISHED = [*WRITTEN_OUT, "bvlc_googlenet"]


def _write_both_forms(definition, folder, seed):
    graph = plan_network(read_prototxt(definition)).graph
    layers = random_layers(graph, np.random.default_rng(seed))
    old = folder / "v1.prototxt"
    old.write_text(to_v1_text(definition.read_text()))
    old_weights = write_caffemodel(folder / "v1.caffemodel", layers, form="V1", old_shape=True)
    return {
        "V1": (old, old_weights),
        "V2": (definition, write_caffemodel(folder / "v2.caffemodel", layers)),
    }


def _net_input(graph: GraphSpec) -> np.ndarray:
    shape = (1, *graph.input_shape)
    return np.random.default_rng(3).normal(0, 60, shape).astype(np.float32)


def _cv2_activations(graph, prototxt, caffemodel, net_input):
    """Every blob as its last layer leaves it; fusion would skip some of them."""
    last = {blob: layer.name for layer in graph.layers for blob in layer.outputs}
    network = cv2.dnn.readNetFromCaffe(str(prototxt), str(caffemodel))
    network.enableFusion(False)
    network.enableWinograd(False)
    network.setInput(to_caffe_layout(net_input))
    return dict(zip(last, network.forward(list(last.values())), strict=True))


def _check_blobs(graph, activations, expected):
    assert set(activations) == set(expected) == set(graph.blob_shapes())
    for blob, value in expected.items():
        largest = np.abs(value).max()
        assert largest > 0, blob
        error = np.abs(to_caffe_layout(activations[blob]) - value).max()
        # float32 sums of a few thousand terms in another order, through up to 60 layers
        assert error <= 1e-4 * largest, f"{blob}: {error} of {largest}"


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_blob_equals_opencv_in_both_forms(data_dir, tmp_path, name):
    """One test per network, as its weights have 244 MB: also the networks that are written out."""
    definition = data_dir / "models" / name / "deploy.prototxt"
    files = _write_both_forms(definition, tmp_path, seed=PUBLISHED.index(name))
    graph, arrays = read_caffe(*files["V1"])
    new_graph, new_arrays = read_caffe(*files["V2"])
    assert new_graph == graph
    assert new_arrays.keys() == arrays.keys()
    assert all(np.array_equal(arrays[key], new_arrays.pop(key)) for key in arrays)
    net_input, params = _net_input(graph), nested(arrays)
    activations = jax.jit(graph_forward(graph))(params, net_input)
    for form in files.values():
        _check_blobs(graph, activations, _cv2_activations(graph, *form, net_input))
        form[1].unlink()
    if name in WRITTEN_OUT:
        found = jax.jit(forward_of(WRITTEN_OUT[name]))(params, net_input)
        assert found.keys() == activations.keys()
        for blob, value in activations.items():
            np.testing.assert_allclose(found[blob], value, rtol=1e-5, atol=1e-6, err_msg=blob)


def test_real_squeezenet_equals_opencv_on_a_photograph(data_dir):
    folder = data_dir / "models" / "squeezenet_v1.0"
    files = folder / "deploy.prototxt", folder / "squeezenet_v1.0.caffemodel"
    graph, arrays = read_caffe(*files)
    photograph = cv2.imread(str(sorted((data_dir / "images" / "one_per_class").iterdir())[0]))
    crop = photograph[:227, :227].astype(np.float32) - np.float32([104, 117, 123])
    net_input = crop[None]
    activations = jax.jit(graph_forward(graph))(nested(arrays), jnp.asarray(net_input))
    _check_blobs(graph, activations, _cv2_activations(graph, *files, net_input))


def test_a_residual_network_equals_opencv(tmp_path):
    """The layers of ResNet and SENet that the published networks above do not have."""
    rng = np.random.default_rng(0)

    def conv(name, bottom, top, inputs, features, size, **options):
        options = {"num_output": features, "kernel_size": size, "bias_term": False, **options}
        kernel = rng.normal(0, 0.3, (features, inputs, size, size)).astype(np.float32)
        return Node(name, "Convolution", [bottom], [top], options, [kernel])

    def norm(name, top):
        factor = 999.982  # as in the published weights: the sums are kept, not the means
        sums = rng.normal(0, 1, 8) * factor, rng.uniform(0.5, 2, 8) * factor
        blobs = [np.float32(values) for values in (*sums, [factor])]
        scale = [np.float32(rng.normal(1, 0.3, 8)), np.float32(rng.normal(0, 0.3, 8))]
        return [
            Node(f"bn_{name}", "BatchNorm", [top], [top], {"use_global_stats": True}, blobs),
            Node(f"scale_{name}", "Scale", [top], [top], {"bias_term": True}, scale),
        ]

    nodes = [
        conv("stem", "data", "stem", 3, 8, 7, stride=2, pad=3),
        *norm("stem", "stem"),
        Node("stem_relu", "ReLU", ["stem"], ["stem"]),
        Node("pool", "Pooling", ["stem"], ["pool"], {"kernel_size": 3, "stride": 2}),
        conv("short", "pool", "short", 8, 8, 1),
        *norm("short", "short"),
        conv("deep", "pool", "deep", 8, 8, 3, pad=1),
        *norm("deep", "deep"),
        Node("prelu", "PReLU", ["deep"], ["deep"], {}, [np.float32(rng.uniform(0, 1, 8))]),
        Node("sum", "Eltwise", ["short", "deep"], ["sum"]),
        Node("elu", "ELU", ["sum"], ["elu"]),
        Node("mean", "Pooling", ["elu"], ["mean"], {"pool": "AVE", "global_pooling": True}),
        Node("flat", "Flatten", ["mean"], ["flat"]),
        Node(
            "score",
            "InnerProduct",
            ["flat"],
            ["score"],
            {"num_output": 5},
            [np.float32(rng.normal(0, 1, (5, 8))), np.float32(rng.normal(0, 1, 5))],
        ),
        Node("prob", "Softmax", ["score"], ["prob"]),
    ]
    files = write_nodes(tmp_path, nodes, dims=(1, 3, 33, 29))
    graph, arrays = read_caffe(*files)
    net_input = _net_input(graph)
    activations = jax.jit(graph_forward(graph))(nested(arrays), net_input)
    _check_blobs(graph, activations, _cv2_activations(graph, *files, net_input))
