"""Weights files: every blob used once, and what is refused, by layer and blob."""

import numpy as np
import pytest

from tests.caffe_writer import (
    Layer,
    Node,
    field,
    layer_bytes,
    number,
    varint,
    write_caffemodel,
    write_nodes,
)
from weights_convert import CaffeFormatError, read_caffe

DIMS = (1, 3, 6, 5)
KERNEL, BIAS = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2), np.float32([1, -1])
DENSE = np.arange(120, dtype=np.float32).reshape(3, 40)
CONVOLUTION = {"num_output": 2, "kernel_size": 2}
NODES = [
    Node("conv", "Convolution", ["data"], ["conv"], CONVOLUTION, [KERNEL, BIAS]),
    Node("relu", "ReLU", ["conv"], ["conv"]),
    Node("fc", "InnerProduct", ["conv"], ["fc"], {"num_output": 3, "bias_term": False}, [DENSE]),
    Node("prob", "Softmax", ["fc"], ["prob"]),
]


@pytest.fixture
def files(tmp_path):
    return write_nodes(tmp_path, NODES, dims=DIMS)


def rewrite(files, layers, **form):
    return files[0], write_caffemodel(files[1], layers, **form)


CONV, FC = Layer("conv", "Convolution", [KERNEL, BIAS]), Layer("fc", "InnerProduct", [DENSE])
HOLED = np.where(DENSE == 7, np.float32(np.nan), DENSE)
INFINITE = np.where(DENSE == 7, np.float32(-np.inf), DENSE)
BATCH_NORM = [np.float32([1, 2, 3]), np.float32([1, 2, 3]), np.float32([1])]


@pytest.mark.parametrize(
    ("layers", "error"),
    [
        ([], "has no weights for conv/bias, conv/kernel, fc/kernel of .*made.prototxt"),
        ([CONV], "made.caffemodel: has no weights for fc/kernel"),
        ([CONV, CONV, FC], "made.caffemodel: layer 'conv': has weights twice"),
        ([CONV, FC, Layer("aux", "ReLU", [BIAS])], r"does not have: aux; .* \(--ignore-layer\)"),
        ([CONV, FC, *(Layer(f"a{i}", "Bias", [BIAS]) for i in range(9))], "a7 and 1 more; name"),
        ([CONV, FC, Layer("relu", "ReLU", [BIAS])], r"layer 'relu': has 1 blobs, needs 0: \[\]"),
        ([Layer("conv", "InnerProduct", [KERNEL, BIAS]), FC],
         "layer 'conv': is of type InnerProduct here and Convolution in the definition"),
        ([Layer("conv", "Convolution", [KERNEL]), FC], "has 1 blobs, needs 2"),
        ([Layer("conv", "Convolution", [BIAS, KERNEL]), FC],
         r"layer 'conv': blob 0 has shape \(2,\), needs \(2, 3, 2, 2\)"),
        ([CONV, Layer("fc", "InnerProduct", [DENSE.T])], r"has shape \(40, 3\), needs \(3, 40\)"),
        ([CONV, Layer("fc", "InnerProduct", [INFINITE])], "'fc': blob 0: has values that are not"),
        ([CONV, Layer("fc", "InnerProduct", [HOLED])], "not finite"),
        ([CONV, Layer("fc", "InnerProduct", [DENSE.astype(float) * 1e38])], "beyond float32"),
    ],
)  # fmt: skip
def test_every_blob_is_used_once_and_every_parameter_filled(files, layers, error):
    with pytest.raises(CaffeFormatError, match=error):
        read_caffe(*rewrite(files, layers))


@pytest.mark.parametrize(
    ("blobs", "error"),
    [
        ([*BATCH_NORM[:2], np.float32([1e-45])], "not finite over the scale factor"),
        ([BATCH_NORM[0], np.float32([1, -1, 1]), BATCH_NORM[2]], "has the negative variance -1"),
    ],
)
def test_refuses_impossible_statistics(tmp_path, blobs, error):
    nodes = [Node("norm", "BatchNorm", ["data"], ["norm"], {}, blobs)]
    with pytest.raises(CaffeFormatError, match=f"layer 'norm': .*{error}"):
        read_caffe(*write_nodes(tmp_path, nodes, dims=DIMS))


def test_weights_of_layers_that_are_not_used_can_be_left_out(files):
    expected = read_caffe(*files)[1]
    aux = [Layer("loss1/fc", "InnerProduct", [DENSE]), Layer("loss1/conv", "Convolution", [KERNEL])]
    found = read_caffe(*rewrite(files, [aux[0], CONV, FC, aux[1]]), ignore_layers=["loss1/*"])[1]
    assert set(found) == set(expected)
    with pytest.raises(CaffeFormatError, match="does not have: loss1/conv"):
        read_caffe(*files, ignore_layers=["loss1/f*"])
    # a pattern never hides weights that the definition needs
    assert set(read_caffe(*rewrite(files, [CONV, FC]), ignore_layers=["*"])[1]) == set(expected)


def _blob(*payloads: bytes) -> bytes:
    """A whole file: one layer ``conv`` with one blob of these fields."""
    return field(100, field(1, b"conv") + field(7, b"".join(payloads)))


DATA = field(5, np.float32([1, 2]).tobytes())
SHAPE = field(7, field(1, varint(2)))


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"PK\x03\x04 a zip file", "is damaged"),
        (field(100, field(1, b"conv"))[:-1], "is damaged or cut off: the field at byte 0"),
        (b"\xff" * 30, "the number at byte 0 never ends"),
        (b"\x80", "the number at byte 0 never ends"),
        (b"\x03", "is damaged at byte 0: wire type 3"),
        (b"\x00\x00", "the field at byte 0 does not fit"),
        (field(2, field(1, b"")), "at byte 2: is in Caffe's oldest form"),
        (_blob(SHAPE, number(5, 1)), "has a blob whose numbers are not packed"),
        (_blob(SHAPE, varint(5 << 3 | 5) + b"\0\0\0\0"), "has a blob whose numbers are not packed"),
        (_blob(field(7, field(1, b"\1" * 300)), DATA), "has a blob with an endless shape"),
        (_blob(field(7, b"\x08\xff"), DATA), "is damaged: "),
        (_blob(field(7, field(1, varint(3))), DATA), r"blob 0: has shape \(3,\) but 2 values"),
        (_blob(field(7, field(1, varint(2**62) * 3)), DATA), "but 2 values"),
        (_blob(field(7, field(1, varint(-1) + varint(-2))), DATA), r"has shape \(-1, -2\) but 2"),
        (_blob(number(1, 2), SHAPE, DATA), r"has shape \(2, 0, 0, 0\) but 2 values"),
        (_blob(SHAPE), r"layer 'conv': blob 0: has shape \(2,\) but 0 values"),
        (_blob(SHAPE, DATA, field(8, bytes(16))), "has both float and double values"),
        (_blob(SHAPE, field(5, bytes(7))), "has 7 bytes of data, no whole number of values"),
    ],
)
def test_refuses_a_damaged_weights_file(files, raw, error):
    files[1].write_bytes(raw)
    with pytest.raises(CaffeFormatError, match=rf"made\.caffemodel: .*{error}"):
        read_caffe(*files)


def test_refuses_more_fields_than_any_network_has(files, monkeypatch):
    monkeypatch.setattr("weights_convert.frames.MAX_FRAMES", 100)
    read_caffe(*files)
    files[1].write_bytes(files[1].read_bytes() + number(9, 1) * 100)
    with pytest.raises(CaffeFormatError, match="has more than 100 fields"):
        read_caffe(*files)


def test_refuses_a_layer_beyond_protobuf(files, monkeypatch):
    monkeypatch.setattr("weights_convert.caffemodel._MAX_LAYER_BYTES", 64)
    with pytest.raises(CaffeFormatError, match="more than protobuf reads"):
        read_caffe(*files)


def test_the_old_sizes_count_where_both_are_written(files):
    """Caffe's rule. Sizes of one are put before a short shape."""
    both = b"".join(number(i + 1, n) for i, n in enumerate((1, 1, 1, 2))) + field(
        7, field(1, b"\5")
    )
    conv = layer_bytes(Layer("conv", "Convolution", [KERNEL]), form="V2", old_shape=False)
    body = conv[2 + (2 if len(conv) > 130 else 1) :] + field(7, both + field(5, BIAS.tobytes()))
    fc = layer_bytes(FC, form="V2", old_shape=False)
    files[1].write_bytes(field(100, body) + fc)
    np.testing.assert_array_equal(read_caffe(*files)[1]["conv/bias"], BIAS)


def test_a_missing_file_is_an_os_error(files):
    with pytest.raises(FileNotFoundError):
        read_caffe(files[0], files[1].with_name("none"))
