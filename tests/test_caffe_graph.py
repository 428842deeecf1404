"""Graphs as data: what follows from them, what they refuse, and the module that runs them."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mfvjax.models import ops
from mfvjax.models.caffe_graph import CaffeGraph
from mfvjax.models.graph import GraphSpec, LayerSpec
from mfvjax.types import PixelBox, ReceptiveField
from tests.caffe_running import graph_forward, nested
from tests.small_caffe import write_small_caffe
from weights_convert import read_caffe
from weights_convert.plan import plan_prototxt

ROOT = pathlib.Path(__file__).parents[1]
CONV = LayerSpec("conv", ops.Convolution(4, (3, 3), (2, 2), (1, 1)), ("data",), ("conv",))
RELU = LayerSpec("relu", ops.ReLU(), ("conv",), ("conv",))
POOL = LayerSpec("pool", ops.Pooling("max", (2, 2), (2, 2)), ("conv",), ("pool",))
FC = LayerSpec("fc", ops.InnerProduct(5), ("pool",), ("fc",))
SMALL = GraphSpec("small", "data", (9, 10, 3), (CONV, RELU, POOL, FC))


def test_shapes_parameters_and_fields_follow_from_the_layers():
    assert SMALL.blob_shapes() == {"conv": (5, 5, 4), "pool": (3, 3, 4), "fc": (5,)}
    assert SMALL.parameter_shapes() == {
        "conv": {"kernel": (3, 3, 3, 4), "bias": (4,)},
        "fc": {"kernel": (36, 5), "bias": (5,)},
    }
    assert SMALL.input_shapes()["pool"] == ((5, 5, 4),)
    assert SMALL.receptive_fields() == {
        "conv": ReceptiveField((3, 3), (2, 2), (-1, -1)),
        "pool": ReceptiveField((5, 5), (4, 4), (-1, -1)),
        "fc": None,
    }


def test_published_receptive_fields(data_dir):
    """Sizes and strides that many papers give for these networks."""
    fields = plan_prototxt(data_dir / "models/bvlc_reference_caffenet/deploy.prototxt")
    known = fields.graph.receptive_fields()
    sizes = {name: known[name].size[0] for name in ("conv1", "conv2", "conv3", "conv4", "conv5")}
    assert sizes == {"conv1": 11, "conv2": 51, "conv3": 99, "conv4": 131, "conv5": 163}
    assert known["pool5"] == ReceptiveField((195, 195), (32, 32), (-64, -64))
    assert known["fc6"] is None


def _narrow_and_smooth(graph: GraphSpec) -> GraphSpec:
    """The same windows with few channels, and without the layers that hide what they see."""

    def change(op):
        match op:
            case ops.Convolution():
                return dataclasses.replace(op, num_output=2 * op.groups)
            case ops.Pooling():
                return dataclasses.replace(op, method="average")
            case ops.ReLU():
                return ops.Identity()
        return op

    layers = tuple(
        dataclasses.replace(layer, op=change(layer.op))
        for layer in graph.layers
        if layer.kind not in ("InnerProduct", "Softmax")
        and not set(layer.inputs) & {"fc6", "fc7", "fc8"}
    )
    return GraphSpec(graph.name, graph.input_name, graph.input_shape, layers)


@pytest.mark.parametrize("name", ["bvlc_reference_caffenet", "squeezenet_v1.0"])
def test_receptive_fields_are_the_support_of_the_gradient(data_dir, name):
    path = data_dir / "models" / name / "deploy.prototxt"
    graph = _narrow_and_smooth(plan_prototxt(path).graph)
    # positive weights: no cancellation, so every pixel in the field has its share
    rng = np.random.default_rng(0)
    positive = {
        layer: {key: jnp.float32(rng.uniform(0.1, 1, shape)) for key, shape in shapes.items()}
        for layer, shapes in graph.parameter_shapes().items()
    }
    image = jnp.full((1, *graph.input_shape), 1e-3)
    forward = graph_forward(graph)
    pull = jax.jit(lambda unit: jax.vjp(lambda x: forward(positive, x), image)[1](unit)[0])
    shapes = graph.blob_shapes()
    zeros = {blob: np.zeros((1, *shape), np.float32) for blob, shape in shapes.items()}
    fields = graph.receptive_fields()
    assert len(fields) > 8
    for blob, field in fields.items():
        rows, columns, _ = shapes[blob]
        # conv_final of SqueezeNet pads a 1x1 kernel: its outermost positions see nothing at all
        edge = int(blob == "conv_final")
        ends = (edge, edge), (rows - 1 - edge, max(0, columns - 2))
        for position in {*ends, (rows // 2, columns // 2)}:
            unit = zeros[blob].copy()
            unit[0, position[0], position[1]] = 1
            found = _support(np.asarray(pull(zeros | {blob: unit}))[0])
            assert found == field.box(position).clip(graph.input_shape[:2]), (blob, position)


def _support(gradient):
    rows, columns = np.nonzero(np.abs(gradient).max(-1))
    ends = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    return PixelBox(*map(int, ends))


@pytest.mark.parametrize(
    ("op", "inputs", "outputs", "expected"),
    [
        (ops.Slice(-3, (2,)), 1, 2, [((3, 3), (2, 2), (0, 0)), ((3, 3), (2, 2), (4, 0))]),
        (ops.Slice(-1), 1, 2, [((3, 3), (2, 2), (0, 0))] * 2),
        (ops.Eltwise("sum"), 2, 1, [((5, 5), (2, 2), (-1, -1))]),
        (ops.Concat(-2), 2, 1, [None]),
        (ops.LRN(3, within_channel=True), 1, 1, [((7, 7), (2, 2), (-2, -2))]),
        (ops.Softmax(-2), 1, 1, [None]),
        (ops.Reshape((6, 4, 4)), 1, 1, [None]),
        (ops.Reshape((4, 6, 4)), 1, 1, [((3, 3), (2, 2), (0, 0))]),
        (ops.InnerProduct(3), 1, 1, [None]),
    ],
)
def test_fields_of_operations_between_activations(op, inputs, outputs, expected):
    fields = [ReceptiveField((3, 3), (2, 2), (0, 0)), ReceptiveField((5, 5), (2, 2), (-1, -1))]
    found = op.receptive_fields(fields[:inputs], [(4, 6, 4)] * inputs, outputs)
    assert list(found) == [None if e is None else ReceptiveField(*e) for e in expected]


def test_branches_of_different_strides_have_no_common_field():
    fields = [ReceptiveField((3, 3), (2, 2), (0, 0)), ReceptiveField((5, 5), (4, 4), (0, 0))]
    assert ops.Concat(-1).receptive_fields(fields, [(4, 4, 1)] * 2) == (None,)
    gate = ops.Broadcast("multiply", (-1,)).receptive_fields([fields[0], None], [(4, 4, 2), (2,)])
    assert gate == (None,)


def test_json_holds_the_graph(data_dir):
    definitions = sorted((data_dir / "models").glob("*/deploy.prototxt"))
    assert len(definitions) >= 4
    for file in definitions:
        graph = plan_prototxt(file).graph
        again = GraphSpec.from_json(graph.to_json())
        assert again == graph
        assert hash(again) == hash(graph)
    assert dataclasses.replace(SMALL, name="other") != SMALL


def _edited(**changes):
    data = json.loads(SMALL.to_json())
    return json.dumps(data | changes)


def _with_layer(**changes):
    data = json.loads(SMALL.to_json())
    data["layers"][0] |= changes
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "Expecting value"),
        ("[]", "the stored graph is malformed"),
        ("{}", "the stored graph is malformed: KeyError"),
        ("[" * 100_000, "nested too deeply"),
        (_edited(name=1), "has 1 where a name belongs"),
        (_edited(input_shape=[9, -1, 3]), "input 'data' has the impossible shape"),
        (_edited(input_shape=[2**16, 2**16, 3]), "impossible shape"),
        (_edited(layers=[]), "network 'small' has no layers"),
        (_edited(layers={"a": 1}), "malformed"),
        (_with_layer(op="Rotate"), "unknown operation 'Rotate'; known are BatchNorm, Bias"),
        (_with_layer(op=["Convolution"]), "malformed"),
        (_with_layer(options={"angle": 3}), "malformed: TypeError"),
        (_with_layer(options=3), "malformed: AttributeError"),
        (_with_layer(options={"num_output": True, "kernel": [3, 3]}), "num_output must be an int"),
        (
            _with_layer(inputs=["nothing"]),
            r"'conv' \(Convolution\): reads 'nothing', which no layer",
        ),
        (_with_layer(inputs=[["data"]]), r"has \['data'\] where a name belongs"),
        (_with_layer(outputs=[]), "has 0 outputs, needs 1"),
        (_with_layer(name="fc"), "two layers have the name 'fc'"),
        (_with_layer(op="ReLU", options={"negative_slope": float("nan")}), "finite number"),
        (_with_layer(op="LRN", options={"k": 2.0, "within_channel": True}), "k must be 1 within"),
        (_with_layer(op="Pooling", options={"method": "min", "kernel": [1, 1]}), "'max' or 'avera"),
        (_with_layer(op="Eltwise", options={"method": "min"}), "must be 'product', 'sum' or 'max'"),
        (_with_layer(op="Broadcast", options={"method": "divide"}), "must be 'multiply' or 'add'"),
        (_with_layer(op="Concat", options={"axis": 0}), "axis must be ascending negative axes"),
        (_with_layer(op="Scale", options={"axes": [-1, -3]}), "axes must be ascending negative"),
        (_with_layer(op="Scale", options={"axes": [-4]}), "has no axis -4: its input has shape"),
        (_with_layer(op="Slice", options={"points": [2, 1]}), r"points must ascend, got \(2, 1\)"),
        (_with_layer(op="Reshape", options={"shape": []}), "shape must be one to seven sizes"),
        (
            _with_layer(op="Reshape", options={"shape": [3]}),
            r"cannot lay out \(9, 10, 3\) as \(3,\)",
        ),
        (_with_layer(op="Reshape", options={"shape": [0]}), "shape must be an integer from 1"),
    ],
)
def test_refuses_a_stored_graph(text, error):
    with pytest.raises(ValueError, match=error):
        GraphSpec.from_json(text)


OF_ANOTHER_TYPE = {
    _edited(input_shape=[9, 10]): "input shape (9, 10) is not (height, width, channels)",
    _edited(input_shape=[9, 1.5, 3]): "input 'data' has the impossible shape",
    _edited(input_shape=9): "input 'data' has the impossible shape 9",
    _with_layer(options={"num_output": 4, "kernel": 3}): "kernel must be two integers",
    _with_layer(options={"num_output": 4, "kernel": [3, "3"]}): "kernel must be an integer",
    _with_layer(options={"num_output": 4, "kernel": [3, 3], "use_bias": 1}): "true or false",
    _with_layer(op="Eltwise", options={"coefficients": 3}): "coefficients must be numbers",
    _with_layer(op="Slice", options={"points": 3}): "points must be integers",
}
REFUSE = """
import json, sys
from mfvjax.models.graph import GraphSpec
errors = []
for text in json.loads(sys.argv[1]):
    try:
        GraphSpec.from_json(text)
    except ValueError as error:
        errors.append(str(error))
print(json.dumps(errors))
"""


def test_refuses_values_of_another_type():
    """In a process of its own: here the tests' type checks would answer before the library."""
    command = [sys.executable, "-c", REFUSE, json.dumps(list(OF_ANOTHER_TYPE))]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for found, expected in zip(json.loads(result.stdout), OF_ANOTHER_TYPE.values(), strict=True):
        assert expected in found


def test_the_second_input_of_a_broadcast_must_fit():
    with pytest.raises(ValueError, match=r"second input must have shape \(4,\), it has \(3,\)"):
        ops.Broadcast("add", (-1,)).output_shapes([(5, 5, 4), (3,)])


def test_activations_come_in_execution_order_without_the_input():
    names = []

    def run(net_input):
        found = CaffeGraph(SMALL, rngs=nnx.Rngs(3))(net_input)
        names.extend(found)
        return found

    found = jax.jit(run)(jnp.ones((2, 9, 10, 3)))
    assert names == ["conv", "pool", "fc"]
    assert {name: value.shape[1:] for name, value in found.items()} == SMALL.blob_shapes()
    assert float(found["conv"].min()) == 0.0  # in place: the name stands for the rectified map


def test_the_seed_makes_the_starting_parameters():
    kernels = [CaffeGraph(SMALL, rngs=nnx.Rngs(seed)).conv.kernel[...] for seed in (3, 3, 4)]
    assert jnp.array_equal(kernels[0], kernels[1])
    assert not jnp.array_equal(kernels[0], kernels[2])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("param_dtype", [jnp.bfloat16, jnp.float32])
def test_dtypes_of_computation_and_of_parameters_are_apart(dtype, param_dtype):
    module = nnx.eval_shape(lambda: CaffeGraph(SMALL, dtype=dtype, param_dtype=param_dtype))
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(module))} == {jnp.dtype(param_dtype)}
    graphdef, state = nnx.split(module)
    found = jax.eval_shape(lambda s, x: nnx.merge(graphdef, s)(x), state, jnp.ones((1, 9, 10, 3)))
    assert {value.dtype for value in found.values()} == {jnp.dtype(dtype)}


def test_bfloat16_is_close_to_float32(tmp_path):
    """A sanity bound: eight bits of mantissa, through every kind of layer of CaffeNet."""
    graph, arrays = read_caffe(*write_small_caffe(tmp_path))
    image = np.random.default_rng(0).normal(0, 60, (1, *graph.input_shape)).astype(np.float32)
    exact = jax.jit(graph_forward(graph))(nested(arrays), image)
    rough = jax.jit(graph_forward(graph, jnp.bfloat16))(nested(arrays), image)
    for blob, value in exact.items():
        error = jnp.abs(rough[blob].astype(jnp.float32) - value).max() / jnp.abs(value).max()
        assert 0 < float(error) < 0.05, blob


def test_another_image_size_is_refused():
    with pytest.raises(ValueError, match=r"takes \(batch, \*\(9, 10, 3\)\), got \(1, 9, 9, 3\)"):
        CaffeGraph(SMALL)(jnp.ones((1, 9, 9, 3)))


@pytest.mark.parametrize("name", ["eval", "spec", "__class__", "train"])
def test_a_layer_named_like_an_attribute_of_modules_is_refused(name):
    layers = (dataclasses.replace(CONV, name=name),)
    with pytest.raises(ValueError, match=f"layer '{name}': modules have an attribute of this name"):
        CaffeGraph(GraphSpec("n", "data", (9, 10, 3), layers))
    # without parameters the name is only a name
    quiet = GraphSpec(
        "n", "data", (9, 10, 3), (dataclasses.replace(POOL, inputs=("data",), name=name),)
    )
    assert CaffeGraph(quiet)(jnp.ones((1, 9, 10, 3)))["pool"].shape == (1, 5, 5, 3)
