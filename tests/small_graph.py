"""A small network made from a graph: every kind of layer that the torch peers know."""

from __future__ import annotations

from benchmarks.networks import random_arrays
from mfvjax.models import ops
from mfvjax.models.graph import GraphSpec, LayerSpec
from mfvjax.network import Network
from mfvjax.network.caffe import from_graph
from mfvjax.preprocess import Preprocessing

SIZE = 30
LAYERS = [
    ("conv1", ops.Convolution(8, (5, 5), (2, 2)), ["data"], "conv1"),
    ("relu1", ops.ReLU(), ["conv1"], "conv1"),
    ("pool1", ops.Pooling("max", (3, 3), (2, 2)), ["conv1"], "pool1"),
    ("norm1", ops.LRN(5, 1e-2, 0.75), ["pool1"], "norm1"),
    ("conv2", ops.Convolution(8, (3, 3), pad=(1, 1), groups=2), ["norm1"], "conv2"),
    ("slope2", ops.ReLU(0.1), ["conv2"], "conv2"),
    ("both", ops.Concat(), ["norm1", "conv2"], "both"),
    ("pool2", ops.Pooling("average", (3, 3), (2, 2), (1, 1)), ["both"], "pool2"),
    ("norm2", ops.LRN(3, 1e-2, 0.5), ["pool2"], "norm2"),
    ("fc3", ops.InnerProduct(12), ["norm2"], "fc3"),
    ("drop3", ops.Identity(), ["fc3"], "fc3"),
    ("fc4", ops.InnerProduct(12), ["fc3"], "fc4"),
    ("prob", ops.Softmax(), ["fc4"], "prob"),
]


def graph(layers=LAYERS) -> GraphSpec:
    """The graph of `layers`: name, operation, inputs, output."""
    made = (LayerSpec(name, op, tuple(inputs), (out,)) for name, op, inputs, out in layers)
    return GraphSpec("small", "data", (SIZE, SIZE, 3), tuple(made))


def small_network(layers=LAYERS, *, logits_layer: str = "fc4") -> Network:
    """The graph with random weights."""
    spec = graph(layers)
    return from_graph(
        spec,
        random_arrays(spec),
        architecture="caffe_graph",
        name="small",
        preprocessing=Preprocessing((SIZE, SIZE), "BGR", (104.0, 117.0, 123.0), 0.02),
        logits_layer=logits_layer,
    )
