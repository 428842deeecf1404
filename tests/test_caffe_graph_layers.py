"""Every layer type, through real files, against slow float64 layers in Caffe's own layout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.caffe_running import graph_forward, nested, to_caffe_layout
from tests.caffe_writer import Node, write_nodes
from tests.oracles.caffe_layers import run_network
from weights_convert import read_caffe

DIMS = (2, 4, 9, 11)


def _random(*shape: int) -> np.ndarray:
    seed = int(np.prod(shape)) + len(shape)
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


def _conv(
    name: str, features: int, shape: tuple[int, ...], bottom: str = "data", **options
) -> Node:
    blobs = [_random(features, *shape), _random(features)]
    if options.get("bias_term") is False:
        blobs.pop()
    return Node(name, "Convolution", [bottom], [name], {"num_output": features} | options, blobs)


def _pool(name: str, **options) -> Node:
    return Node(name, "Pooling", ["data"], [name], options)


def _on_data(name: str, kind: str, *blobs: np.ndarray, **options) -> Node:
    return Node(name, kind, ["data"], [name], options, blobs)


def _dense(name, bottom, outputs, inputs) -> Node:
    blobs = [_random(outputs, inputs), _random(outputs)]
    return Node(name, "InnerProduct", [bottom], [name], {"num_output": outputs}, blobs)


CONVOLUTIONS = [
    _conv("padded", 5, (4, 3, 3), kernel_size=3, pad=1, stride=2),
    _conv("grouped", 6, (2, 3, 5), group=2, kernel_h=3, kernel_w=5, pad_h=2, stride_w=2),
    _conv("dilated", 3, (4, 3, 2), kernel_size=[3, 2], dilation=[2, 3], bias_term=False),
    _conv("pointwise", 12, (4, 1, 1), kernel_size=1),
    _conv("depthwise", 12, (1, 3, 3), "pointwise", group=12, kernel_size=3, pad=[1, 0]),
    _conv("cut", 2, (4, 2, 2), kernel_size=2, stride=4),
]
POOLINGS = [
    _pool("max_overhang", kernel_size=3, stride=2),
    _pool("max_padded", kernel_size=2, stride=2, pad=1),
    _pool("max_wide", kernel_h=2, kernel_w=4, stride_h=1, stride_w=3, pad_w=1),
    _pool("max_floor", kernel_size=2, stride=2, round_mode="FLOOR"),
    _pool("max_global", global_pooling=True),
    _pool("max_larger", kernel_size=10, stride=2),
    _pool("mean_overhang", pool="AVE", kernel_size=4, stride=3),
    _pool("mean_padded", pool="AVE", kernel_size=3, stride=2, pad=1),
    _pool("mean_last_row", pool="AVE", kernel_size=2, stride=2, pad=1),
    _pool("mean_global", pool="AVE", global_pooling=True),
    _pool("mean_skipping", pool="AVE", kernel_size=1, stride=2),
]
POINTWISE = [
    _on_data("relu", "ReLU"),
    _on_data("leaky", "ReLU", negative_slope=0.1),
    _on_data("prelu", "PReLU", _random(4)),
    _on_data("prelu_shared", "PReLU", _random(1), channel_shared=True),
    _on_data("elu", "ELU", alpha=0.7),
    _on_data("sigmoid", "Sigmoid"),
    _on_data("tanh", "TanH"),
    _on_data("dropout", "Dropout", dropout_ratio=0.5),
    Node("split", "Split", ["data"], ["split_a", "split_b"]),
    _on_data("lrn", "LRN", local_size=3, alpha=0.5, beta=0.75),
    _on_data("lrn_power", "LRN", local_size=5, alpha=0.3, beta=0.6, k=2.0),
    _on_data("lrn_within", "LRN", local_size=3, alpha=0.4, norm_region="WITHIN_CHANNEL"),
    _on_data("norm", "BatchNorm", _random(4), 1 + _random(4) ** 2, np.float32([8]), eps=1e-3),
    _on_data("norm_untrained", "BatchNorm", _random(4), _random(4) ** 2, np.float32([0])),
    _on_data("scale", "Scale", _random(4), 3 + _random(4), bias_term=True),
    _on_data("scale_all", "Scale", _random(4, 9, 11), axis=1, num_axes=-1),
    _on_data("scale_rows", "Scale", _random(9, 11), axis=2, num_axes=2),
    _on_data("scale_one", "Scale", _random(1), axis=1, num_axes=0),
    _on_data("bias", "Bias", _random(4, 9), axis=1, num_axes=2),
    _on_data("softmax", "Softmax"),
    _on_data("softmax_rows", "Softmax", axis=2),
    Node("first", "TanH", ["data"], ["stack"]),
    Node("seen", "ReLU", ["stack"], ["seen"]),
    Node("second", "Scale", ["stack"], ["stack"], {}, [_random(4)]),
    Node("third", "ReLU", ["stack"], ["stack"]),
]
ONE_AXIS = {"num_axes": 1}
STRUCTURE = [
    Node("parts", "Slice", ["data"], ["a", "b"]),
    Node("bands", "Slice", ["data"], ["top", "middle", "low"], {"axis": 2, "slice_point": [2, 5]}),
    Node("old_cut", "Slice", ["data"], ["c", "d"], {"slice_dim": 1, "slice_point": [3]}),
    Node("joined", "Concat", ["b", "a", "data"], ["joined"]),
    Node("stacked", "Concat", ["low", "top"], ["stacked"], {"axis": -2}),
    Node("old_join", "Concat", ["a", "c"], ["old_join"], {"concat_dim": 1}),
    Node("sum", "Eltwise", ["a", "b"], ["sum"]),
    Node("weighted", "Eltwise", ["a", "b"], ["weighted"], {"coeff": [0.5, -2.0]}),
    Node("product", "Eltwise", ["a", "b", "a"], ["product"], {"operation": "PROD"}),
    Node("largest", "Eltwise", ["a", "b"], ["largest"], {"operation": "MAX"}),
    Node(
        "dense", "InnerProduct", ["a"], ["dense"], {"num_output": 6}, [_random(6, 198), _random(6)]
    ),
    Node(
        "more", "InnerProduct", ["dense"], ["more"], {"num_output": 4}, [_random(4, 6), _random(4)]
    ),
    Node("flat", "Flatten", ["a"], ["flat"]),
    _dense("flat_dense", "flat", 3, 198),
    Node(
        "transposed",
        "InnerProduct",
        ["a"],
        ["transposed"],
        {"num_output": 5, "transpose": True},
        [_random(198, 5), _random(5)],
    ),
    Node("lines", "Flatten", ["data"], ["lines"], {"axis": 2}),
    Node("turned", "Reshape", ["data"], ["turned"], {"shape": {"dim": [0, -1, 6, 3]}}),
    Node(
        "rows", "Reshape", ["data"], ["rows"], {"shape": {"dim": [3, 3]}, "axis": 2, "num_axes": 1}
    ),
    Node("column", "Reshape", ["dense"], ["column"], {"shape": {"dim": [0, 2, 3, 1]}}),
    Node("square", "Reshape", ["data"], ["square"], {"shape": {"dim": [2, 11, 9, 4]}}),
    _dense("turned_dense", "turned", 2, 396),
    Node("probabilities", "Softmax", ["dense"], ["probabilities"]),
    Node("gated", "Scale", ["data", "more"], ["gated"], {"axis": 0}),
    Node("shifted", "Bias", ["data", "more"], ["shifted"], {"axis": 0}),
]
NETWORKS = {
    "convolutions": CONVOLUTIONS,
    "poolings": POOLINGS,
    "pointwise": POINTWISE,
    "structure": STRUCTURE,
}


@pytest.mark.parametrize("network", NETWORKS)
def test_layers_equal_caffe_and_their_gradients_central_differences(tmp_path, network):
    """In float64, so that only the order of sums and the step of the differences are left."""
    nodes = NETWORKS[network]
    graph, arrays = read_caffe(*write_nodes(tmp_path, nodes, dims=DIMS))
    rng = np.random.default_rng(0)
    net_input = rng.normal(0, 1, DIMS)
    expected = run_network(
        [(n.kind, n.bottoms, n.tops, n.options, n.blobs) for n in nodes], net_input
    )
    with jax.enable_x64(True):
        forward = graph_forward(graph, jnp.float64)
        params = nested(arrays, jnp.float64)
        images = jnp.asarray(np.moveaxis(net_input, 1, -1))
        found = jax.jit(forward)(params, images)
        assert set(found) == set(expected)
        for blob, value in expected.items():
            np.testing.assert_allclose(
                to_caffe_layout(found[blob]), value, rtol=1e-10, atol=1e-12, err_msg=blob
            )
            assert found[blob].shape[1:] == graph.blob_shapes()[blob]
        mixture = {blob: jnp.asarray(rng.normal(size=v.shape)) for blob, v in found.items()}
        _check_gradient(lambda x: _mixed(forward(params, x), mixture), images, rng)


def _mixed(found, mixture):
    return sum(jnp.vdot(mixture[blob], found[blob]) for blob in mixture)


def _check_gradient(function, images, rng):
    value_and_gradient = jax.jit(jax.value_and_grad(function))
    gradient = value_and_gradient(images)[1]
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient) > 0).all()
    for _ in range(4):
        direction = jnp.asarray(rng.normal(size=images.shape))
        step = 1e-6
        high, low = (value_and_gradient(images + s * direction)[0] for s in (step, -step))
        slope = float(jnp.vdot(gradient, direction))
        # no kink lies within 1e-6 of these numbers; the difference quotient is good to 1e-9
        assert float(high - low) / (2 * step) == pytest.approx(slope, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("form", ["V1", "V2"])
@pytest.mark.parametrize("old_shape", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pieces", [1, 3])
def test_every_way_to_store_a_blob_gives_the_same_arrays(tmp_path, form, old_shape, dtype, pieces):
    nodes = [
        Node(n.name, n.kind, n.bottoms, n.tops, n.options, [b.astype(dtype) for b in n.blobs])
        for n in CONVOLUTIONS[:2] + STRUCTURE[:1] + STRUCTURE[10:11]
    ]
    files = write_nodes(tmp_path, nodes, dims=DIMS, form=form, old_shape=old_shape, pieces=pieces)
    _, arrays = read_caffe(*files)
    expected = {}
    for node in nodes:
        if node.blobs:
            expected |= dict(_flax_layout(node))
    assert set(arrays) == set(expected)
    for name, value in expected.items():
        assert arrays[name].dtype == np.float32
        assert arrays[name].flags.c_contiguous
        np.testing.assert_array_equal(arrays[name], value.astype(np.float32), err_msg=name)


def _flax_layout(node):
    """Index by index: kernel[y, x, c, o] is Caffe's [o, c, y, x]; dense rows are (y, x, c)."""
    weights = node.blobs[0]
    if node.kind == "Convolution":
        kernel = np.einsum("ocyx->yxco", weights)
    else:
        kernel = np.einsum("ocyx->yxco", weights.reshape(-1, 2, 9, 11)).reshape(198, -1)
    yield f"{node.name}/kernel", kernel
    yield f"{node.name}/bias", node.blobs[1]
