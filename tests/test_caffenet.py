"""The written-out networks, and gradients of whole published networks in float64."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mfvjax.models.caffenet import AlexNet, CaffeNet
from mfvjax.models.graph import GraphSpec
from tests.caffe_running import graph_forward, nested
from tests.caffe_writer import random_layers
from weights_convert import read_caffe
from weights_convert.parameters import convert_blobs
from weights_convert.plan import plan_prototxt

NETWORKS = {"bvlc_reference_caffenet": CaffeNet, "bvlc_alexnet": AlexNet}


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_activations_have_the_published_names_and_shapes(data_dir, name):
    graph = plan_prototxt(data_dir / "models" / name / "deploy.prototxt").graph
    graphdef, state = nnx.split(nnx.eval_shape(NETWORKS[name]))
    shapes = jax.tree.map(lambda leaf: leaf.shape, nnx.to_pure_dict(state))
    assert shapes == graph.parameter_shapes()
    names = []

    def run(state, net_input):
        found = nnx.merge(graphdef, state)(net_input)
        names.extend(found)
        return found

    found = jax.eval_shape(run, state, jnp.ones((2, 227, 227, 3)))
    assert names == list(graph.blob_shapes())
    assert {key: value.shape[1:] for key, value in found.items()} == graph.blob_shapes()


def test_the_number_of_classes_and_the_dtypes_are_options():
    module = nnx.eval_shape(
        lambda: CaffeNet(num_classes=7, dtype=jnp.bfloat16, param_dtype=jnp.float16)
    )
    graphdef, state = nnx.split(module)
    found = jax.eval_shape(
        lambda s, x: nnx.merge(graphdef, s)(x), state, jnp.ones((1, 227, 227, 3))
    )
    assert found["prob"].shape == (1, 7)
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype("float16")}
    assert {value.dtype for value in found.values()} == {jnp.dtype("bfloat16")}


def test_the_seed_makes_the_starting_parameters():
    make = jax.jit(lambda key: CaffeNet(rngs=nnx.Rngs(key), num_classes=2).fc8.kernel[...])
    first, second = jax.random.split(jax.random.key(0))
    assert jnp.array_equal(make(first), make(first))
    assert not jnp.array_equal(make(first), make(second))


def test_gradients_of_the_real_squeezenet_are_central_differences(data_dir):
    folder = data_dir / "models" / "squeezenet_v1.0"
    graph, arrays = read_caffe(folder / "deploy.prototxt", folder / "squeezenet_v1.0.caffemodel")
    photograph = cv2.imread(str(sorted((data_dir / "images/one_per_class").iterdir())[7]))
    net_input = photograph[None, :227, :227].astype(np.float64) - [104.0, 117.0, 123.0]
    units = ["conv1", "fire3/concat", "fire9/conv3x3_2", "conv_final", "pool_final"]
    _check_gradients(graph, arrays, net_input, units)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NETWORKS, "bvlc_googlenet"])
def test_gradients_of_published_networks_are_central_differences(data_dir, name):
    graph = plan_prototxt(data_dir / "models" / name / "deploy.prototxt").graph
    arrays = {}
    for layer in random_layers(graph, np.random.default_rng(0)):
        op = next(entry.op for entry in graph.layers if entry.name == layer.name)
        blobs = convert_blobs(op, graph.input_shapes()[layer.name], layer.blobs)
        arrays |= {f"{layer.name}/{key}": value for key, value in blobs.items()}
    shape = (1, *graph.input_shape)
    net_input = np.random.default_rng(1).normal(0, 60, shape)
    known = list(graph.blob_shapes())
    _check_gradients(graph, arrays, net_input, [*known[:4], known[len(known) // 2], *known[-4:-1]])


def _check_gradients(graph: GraphSpec, arrays, net_input, blobs):
    """For the strongest unit of each activation, along random directions and for single pixels."""
    rng = np.random.default_rng(5)
    with jax.enable_x64(True):
        params = nested(arrays, jnp.float64)
        forward = jax.jit(graph_forward(graph, jnp.float64))
        image = jnp.asarray(net_input)
        pull = jax.jit(lambda x, cotangent: jax.vjp(lambda y: forward(params, y), x)[1](cotangent))
        activations = forward(params, image)
        for blob in blobs:
            index = np.unravel_index(np.argmax(activations[blob]), activations[blob].shape)
            unit = jax.tree.map(jnp.zeros_like, activations)
            gradient = pull(image, unit | {blob: unit[blob].at[index].set(1.0)})[0]
            pixel = np.unravel_index(np.argmax(np.abs(gradient)), gradient.shape)
            single = np.zeros(gradient.shape)
            single[pixel] = 1
            for direction in (rng.normal(size=gradient.shape), single):
                step = 1e-5
                ends = (image + sign * step * direction for sign in (1, -1))
                high, low = (forward(params, end)[blob][index] for end in ends)
                difference = float(high - low) / (2 * step)
                # 1e-16 of the activation over the step; no rectifier switches within the step
                assert difference == pytest.approx(
                    float(jnp.vdot(gradient, direction)), rel=1e-5
                ), blob
