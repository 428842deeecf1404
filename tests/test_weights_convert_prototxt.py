"""Network definitions: forms, inputs, phases, options; and what is refused, by name and line."""

import warnings

import pytest

from mfvjax.models import ops
from tests.caffe_writer import to_v1_text
from weights_convert import CaffeFormatError, CaffeWarning
from weights_convert.plan import plan_prototxt

INPUT = 'input: "data" input_dim: 1 input_dim: 4 input_dim: 9 input_dim: 11\n'
RELU = 'layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }\n'


def layer(kind, options="", *, name="it", bottoms=("data",), tops=("it",), extra=""):
    ends = "".join(f'bottom: "{b}" ' for b in bottoms) + "".join(f'top: "{t}" ' for t in tops)
    return f'layer {{ name: "{name}" type: "{kind}" {ends} {options} {extra} }}\n'


@pytest.fixture
def plan(tmp_path):
    def plan_text(text):
        path = tmp_path / "net.prototxt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return plan_prototxt(path).graph

    return plan_text


@pytest.mark.parametrize(
    "declaration",
    [
        INPUT,
        'input: "data" input_shape { dim: [1, 4, 9, 11] }',
        'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 dim: 9 '
        "dim: 11 } } }",
        'input: "label" input_dim: [1, 1, 1, 1] ' + INPUT,
        'layer { name: "in" type: "Input" top: "data" top: "other" input_param { shape { dim: [1, '
        "4, 9, 11] } } }",
    ],
)
def test_every_way_to_declare_an_input(plan, declaration):
    graph = plan(declaration + RELU)
    assert graph.input_name == "data"
    assert graph.input_shape == (9, 11, 4)


def test_a_training_file_gives_the_network_of_the_test_phase(plan):
    graph = plan(
        'name: "train"\n'
        'layer { name: "t" type: "Data" top: "data" top: "label" include { phase: TRAIN } '
        "transform_param { crop_size: 7 } }\n"
        'layer { name: "v" type: "Data" top: "data" top: "label" include { phase: TEST } '
        "transform_param { crop_size: 9 mean_value: 104 } }\n"
        + layer("ReLU", extra="include { phase: TRAIN }", name="augment")
        + layer("TanH", extra="exclude { phase: TRAIN }", tops=("tanh",))
        + layer("ReLU", extra="exclude { phase: TEST }", name="never")
        + layer("ReLU", extra='include { stage: "deploy" }', name="staged")
        + layer("ReLU", extra="include { min_level: 1 }", name="leveled")
        + layer("ReLU", name="any", tops=("any",), extra='include { not_stage: "deploy" }')
        + layer("SoftmaxWithLoss", bottoms=("tanh", "label"), name="loss")
        + layer("Accuracy", bottoms=("tanh", "label"), name="accuracy")
        + layer("EuclideanLoss", bottoms=("tanh", "label"), name="distance")
        + layer("Silence", bottoms=("label",), tops=(), name="silence")
    )
    assert graph.input_shape == (9, 9, 3)
    assert [entry.name for entry in graph.layers] == ["it", "any"]


def test_the_old_form_gives_the_same_graph(plan, data_dir):
    for name in ("bvlc_reference_caffenet", "bvlc_alexnet", "bvlc_googlenet"):
        text = (data_dir / "models" / name / "deploy.prototxt").read_text()
        assert plan(to_v1_text(text)) == plan(text)
    numbered = RELU.replace("layer {", "layers {").replace('"ReLU"', "18")
    assert plan(INPUT + numbered) == plan(INPUT + RELU)


def test_unknown_fields_are_left_out_and_options_among_them_reported(plan):
    fork = "quantize_param { bits: 8 } [caffe.fork] { a: 1 }"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = plan(INPUT + layer("ReLU", "relu_param { engine: CUDNN }", extra=fork))
    assert expected.layers[0].op == ops.ReLU()
    with pytest.warns(CaffeWarning, match=r"layer 'it' \(ReLU, line 2\): unknown options .*: cap"):
        assert plan(INPUT + layer("ReLU", "relu_param { cap: 6 }")) == expected


def test_text_that_is_not_utf8_is_read(plan):
    latin1 = plan(b"\xef\xbb\xbf# caf\xe9\n" + (INPUT + RELU).encode() + b"# \xd0\xc2\n")
    assert latin1 == plan("\ufeff" + INPUT + RELU) == plan(INPUT + RELU)


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("Convolution", "convolution_param { num_output: 2 kernel_size: 3 pad: 1 pad: 0 }",
         ops.Convolution(2, (3, 3), pad=(1, 0))),
        ("Pooling", "pooling_param { kernel_size: 2 stride_h: 2 pool: 1 }",
         ops.Pooling("average", (2, 2), (2, 1))),
        ("Pooling", "pooling_param { kernel_size: 2 stride: 2 ceil_mode: false }",
         ops.Pooling("max", (2, 2), (2, 2), round_up=False)),
        ("Pooling", "pooling_param { global_pooling: true }", ops.Pooling("max", (9, 11))),
        ("LRN", "lrn_param { norm_region: WITHIN_CHANNEL k: 2 }", ops.LRN(within_channel=True)),
        ("LRN", "", ops.LRN(5, 1.0, 0.75, 1.0)),
        ("BatchNorm", "batch_norm_param { use_global_stats: true }", ops.BatchNorm(1e-5)),
        ("Softmax", "softmax_param { axis: -1 }", ops.Softmax(-2)),
        ("Concat", "concat_param { axis: -3 }", ops.Concat(-1)),
        ("Flatten", "flatten_param { end_axis: 2 }", ops.Reshape((11, 36))),
    ],
)  # fmt: skip
def test_options_and_defaults(plan, kind, options, expected):
    assert plan(INPUT + layer(kind, options)).layers[0].op == expected


CONVOLUTION = "convolution_param {{ num_output: 2 {} }}"
REFUSED_OPTIONS = [
    ("Deconvolution", "", "type 'Deconvolution' is not supported; known are BatchNorm"),
    ("Convolution", CONVOLUTION.format(""), "needs one or two values of kernel_size, has 0"),
    ("Convolution", CONVOLUTION.format("kernel_size: [1, 1, 1]"), "kernel_size, has 3"),
    ("Convolution", CONVOLUTION.format("kernel_size: 1 kernel_h: 1"), "and also kernel_h"),
    ("Convolution", CONVOLUTION.format("kernel_h: 1"), "kernel must be an integer from 1"),
    ("Convolution", CONVOLUTION.format("kernel_size: 1 stride: 0"), "stride must be an integer"),
    ("Convolution", CONVOLUTION.format("kernel_size: 1 pad: -1"), "pad must be an integer from 0"),
    ("Convolution", CONVOLUTION.format("kernel_size: 1 axis: 2"), "axis must be 1"),
    ("Convolution", CONVOLUTION.format("kernel_size: 12"), "kernel spans 12 cells"),
    ("Convolution", CONVOLUTION.format("kernel_size: 1 group: 4"), "2 is no multiple of 4 groups"),
    ("Convolution", "convolution_param { kernel_size: 1 }", "num_output must be an integer"),
    ("Convolution", "convolution_param { num_output: 3 kernel_size: 1 group: 3 }",
     "4 input channels do not divide by 3 groups"),
    ("Convolution", "convolution_param { num_output: 99999999999999 kernel_size: 1 }",
     "num_output must be an integer from 1 to 2147483647, got 99999999999999"),
    ("Convolution", "convolution_param { num_output: 2147483647 kernel_size: 1 }", "impossible"),
    ("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 }", "stochastic"),
    ("Pooling", "pooling_param { global_pooling: true kernel_h: 2 }", "both global_pooling and a"),
    ("Pooling", "pooling_param { global_pooling: true stride: 2 }", "stride 1 and no pad"),
    ("Pooling", "pooling_param { kernel_size: 2 pad: 2 }", "pad .* must be smaller than the kern"),
    ("Pooling", "pooling_param { kernel_size: 1 stride: 20 }", "leave a window outside"),
    ("LRN", "lrn_param { local_size: 4 }", "local_size must be odd, got 4"),
    ("LRN", "lrn_param { alpha: nan }", "alpha must be a finite number"),
    ("InnerProduct", "inner_product_param { num_output: 2 axis: 2 }", "axis must be 1"),
    ("BatchNorm", "batch_norm_param { use_global_stats: false }", "use_global_stats is false"),
    ("BatchNorm", "batch_norm_param { eps: 0 }", "epsilon must be positive"),
    ("Scale", "scale_param { axis: 0 }", "works along the batch axis"),
    ("Scale", "scale_param { axis: 2 num_axes: 3 }", "num_axes 3 from axis 2 leaves its input"),
    ("Eltwise", "", "has 1 inputs, needs 2 to"),
    ("Slice", "slice_param { slice_point: 4 }", "cannot cut 4 at"),
    ("Slice", "slice_param { axis: 1 slice_dim: 1 }", "has both axis and slice_dim"),
    ("Softmax", "softmax_param { axis: 0 }", "works along the batch axis"),
    ("Softmax", "softmax_param { axis: 4 }", "axis 4 does not exist; its input has 4 axes"),
    ("Flatten", "flatten_param { axis: 0 }", "cannot flatten axes 0 to 3"),
    ("Flatten", "flatten_param { axis: 3 end_axis: 2 }", "cannot flatten axes 3 to 2"),
    ("Reshape", "reshape_param { shape { dim: [-1, 3] } }", r"cannot reshape \(1, 4, 9, 11\)"),
    ("Reshape", "reshape_param { shape { dim: [0, -1, -1] } }", "cannot reshape"),
    ("Reshape", "reshape_param { shape { dim: [396, 1, 1] } }", "sizes or the batch differ"),
    ("Reshape", "reshape_param { shape { dim: [0, 0, 0, 0, 0] } }", "copies an axis beyond"),
    ("Reshape", "reshape_param { axis: 9 shape { dim: 1 } }", "axis 9 and num_axes -1 leave"),
    ("ReLU", "relu_param { negative_slope: inf }", "negative_slope must be a finite number"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options", "error"), REFUSED_OPTIONS)
def test_refuses_an_option_by_layer(plan, kind, options, error):
    tops = ("it", "other") if kind == "Slice" else ("it",)
    with pytest.raises(CaffeFormatError, match=rf"net\.prototxt: .*'it'.*{error}"):
        plan(INPUT + layer(kind, options, tops=tops))


TWO = 'input: "a" input: "b" input_dim: [1, 1, 2, 2, 1, 1, 2, 2]'
EXTRA = [("Bias", "bias_param { axis: 1 }"), ("Scale", "scale_param { axis: 0 bias_term: true }")]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "has no layers; is it a network definition"),
        ('layers { layer { name: "a" } }', r"layer 1 \(line 1\): is in Caffe's oldest form"),
        (INPUT + RELU + RELU.replace("layer", "layers"), "has both 'layer' and 'layers'"),
        (INPUT + 'layer { type: "ReLU" }', r"layer 1 \(line 2\): needs a name and a type"),
        (INPUT + 'layer { name: "a" }', "needs a name and a type, has name 'a' and type None"),
        (INPUT + 'layer { name: "a" type { } }', "needs a name and a type"),
        (INPUT + RELU + RELU, "writes 'relu', which already exists|two layers have the name"),
        (INPUT + layer("ReLU", name="a") + layer("ReLU", name="a", tops=("b",)), "two layers have"),
        (INPUT + layer("ReLU", name="a") + layer("ReLU", name="b"), "writes 'it', which already"),
        (INPUT + layer("Pooling", "pooling_param { kernel_size: 1 }", tops=("data",)),
         "writes 'data', which already exists, and cannot work in place"),
        (INPUT + layer("Split", tops=("a", "a")), "writes one name twice: a, a"),
        (INPUT + layer("ReLU", bottoms=()), "exactly one input that layers read, found none"),
        (INPUT + RELU + layer("ReLU", bottoms=()), r"layer 'it' \(ReLU, line 3\): reads nothing"),
        (INPUT + RELU + layer("ReLU", tops=()), "has 0 outputs, needs 1"),
        (INPUT + RELU + layer("ReLU", bottoms=("x",)), "reads 'x', which no layer"),
        (INPUT + RELU + layer("ReLU", bottoms=("b",), tops=("a",))
         + layer("ReLU", bottoms=("a",), tops=("b",), name="c"), "reads 'b', which no layer"),
        (INPUT + RELU + layer("EuclideanLoss", name="loss", tops=("loss",))
         + layer("ReLU", bottoms=("loss",)), "'loss', which only layer 'loss' .* left out"),
        (RELU, "exactly one input that layers read, found none"),
        (TWO + layer("Eltwise", bottoms=("a", "b")), "found 'a', 'b'; declare it"),
        (INPUT.replace("9", "0") + RELU, r"four positive sizes .* got \(1, 4, 0, 11\)"),
        (INPUT.replace("9", "-9") + RELU, "four positive sizes"),
        (INPUT.replace("9", "99999999999") + RELU, "four positive sizes"),
        (INPUT.replace("9", "2147483647") + RELU, "input 'data' has the impossible shape"),
        ('input: "data" input_shape { dim: 1 }' + RELU, r"four positive sizes .* got \(1,\)"),
        ('input: "data"' + RELU, "has 1 inputs but the shapes of 0"),
        (INPUT + "input_shape { dim: 1 }" + RELU, "has both input_shape and input_dim"),
        ('layer { name: "d" type: "Input" top: "a" top: "b" top: "c" input_param { shape {} shape '
         "{} } }" + RELU, "layer 'd' .* has 3 tops but 2 shapes"),
        (INPUT + layer("ReLU", extra="include {} exclude {}"), "both include and exclude"),
        (INPUT + layer("ReLU", extra="include { phase: DEPLOY }"), "phase must be one of TRAIN"),
        (INPUT + layer("Eltwise", bottoms=("data", "data"), tops=("a",), name="e",
                       options="eltwise_param { coeff: 1 }"), "1 coefficients for 2 inputs"),
        (INPUT + layer("Eltwise", bottoms=("data", "data"), name="e",
                       options="eltwise_param { operation: PROD coeff: [1, 2] }"), "go with 'sum'"),
        (INPUT + layer("Flatten") + layer("Concat", bottoms=("data", "it"), tops=("c",), name="c"),
         "its inputs differ beside axis -1"),
        (INPUT + layer("Flatten") + layer("Pooling", "pooling_param { kernel_size: 1 }",
                                          bottoms=("it",), tops=("c",), name="c"), "needs a map"),
        *[(INPUT + layer("Pooling", "pooling_param { global_pooling: true }", tops=("g",), name="g")
           + layer(kind, options, bottoms=("data", "g")), "second input|not supported")
          for kind, options in EXTRA],
    ],
)  # fmt: skip
def test_refuses_a_network(plan, text, error):
    with pytest.raises(CaffeFormatError, match=error):
        plan(text)


def test_refuses_a_file_beyond_any_definition(plan):
    with pytest.raises(CaffeFormatError, match=r"net.prototxt: 8388609 bytes, .* at most 8388608"):
        plan(b"#" * (8 * 2**20 + 1))


def test_a_chain_beyond_any_image_has_no_receptive_field(plan):
    text = "".join(
        layer("Convolution", CONVOLUTION.format("kernel_size: 1 stride: 2147483647"),
              name=f"c{i}", bottoms=(f"c{i - 1}" if i else "data",), tops=(f"c{i}",))
        for i in range(40)
    )  # fmt: skip
    assert plan(INPUT + text).receptive_fields()["c39"] is None
