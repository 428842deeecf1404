"""A small Caffe network with most kinds of layers, written to real files."""

import pathlib

import numpy as np

from mfvjax.network import Network
from tests.caffe_writer import random_layers, write_caffemodel
from weights_convert.plan import plan_network
from weights_convert.prototxt import read_prototxt

SIZE = (33, 28)
NUM_CLASSES = 6
DEFINITION = """
name: "small"
input: "data"
input_shape { dim: 1 dim: 3 dim: 33 dim: 28 }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 8 kernel_size: 5 stride: 2 pad: 1 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
        pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "norm1" type: "LRN" bottom: "pool1" top: "norm1"
        lrn_param { local_size: 5 alpha: 0.01 beta: 0.75 } }
layer { name: "side/narrow" type: "Convolution" bottom: "norm1" top: "side/narrow"
        convolution_param { num_output: 4 kernel_h: 1 kernel_w: 3 pad_w: 1 } }
layer { name: "side/wide" type: "Convolution" bottom: "norm1" top: "side/wide"
        convolution_param { num_output: 6 kernel_size: 3 pad: 1 group: 2 } }
layer { name: "side/concat" type: "Concat" bottom: "side/narrow" bottom: "side/wide"
        top: "side/concat" }
layer { name: "prelu" type: "PReLU" bottom: "side/concat" top: "side/concat" }
layer { name: "pool2" type: "Pooling" bottom: "side/concat" top: "pool2"
        pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool2" top: "fc"
        inner_product_param { num_output: 9 } }
layer { name: "sigmoid" type: "Sigmoid" bottom: "fc" top: "fc" }
layer { name: "drop" type: "Dropout" bottom: "fc" top: "fc" }
layer { name: "score" type: "InnerProduct" bottom: "fc" top: "score"
        inner_product_param { num_output: 6 } }
layer { name: "prob" type: "Softmax" bottom: "score" top: "prob" }
"""


def write_small_caffe(
    folder: pathlib.Path, *, seed: int = 0, channels: int = 3
) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes ``deploy.prototxt`` and ``small.caffemodel`` with random weights into `folder`."""
    prototxt = folder / "deploy.prototxt"
    prototxt.write_text(DEFINITION.replace("dim: 3 dim: 33", f"dim: {channels} dim: 33"))
    graph = plan_network(read_prototxt(prototxt)).graph
    layers = random_layers(graph, np.random.default_rng(seed))
    return prototxt, write_caffemodel(folder / "small.caffemodel", layers)


def small_network(folder: pathlib.Path, *, seed: int = 0) -> Network:
    """The network of these files."""
    return Network.from_caffe(*write_small_caffe(folder, seed=seed))


def random_images(count: int, *, seed: int = 0) -> np.ndarray:
    """Images of its size, float32 in [0, 255]."""
    return np.random.default_rng(seed).uniform(0, 255, (count, *SIZE, 3)).astype(np.float32)
