"""From the blobs of a Caffe layer to the parameters of an operation, in Flax's layout.

Caffe keeps convolution kernels as (features, channels, rows, columns) and dense kernels as
(outputs, inputs), with a map's inputs in channel, row, column order. Ours are (rows, columns,
channels, features) and (inputs, outputs), with a map's inputs in row, column, channel order.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from mfvjax.models import ops
from mfvjax.models.ops import Shape
from weights_convert.axes import to_caffe

Arrays: TypeAlias = dict[str, np.ndarray]
_ROWS = 16
_Blobs: TypeAlias = Sequence[np.ndarray]


def convert_blobs(
    op: ops.Op, inputs: Sequence[Shape], blobs: _Blobs, *, is_transposed: bool = False
) -> Arrays:
    """The parameters of `op` by name, float32 and contiguous.

    Args:
      inputs: shapes that the layer reads.
      blobs: in Caffe's order and shapes.
      is_transposed: the file keeps a dense kernel as (inputs, outputs).

    Raises:
      ValueError: the number of blobs, or a shape, is not what `op` needs.
    """
    expected, convert = _LAYOUTS[type(op)](op, inputs, is_transposed)
    if len(blobs) != len(expected):
        raise ValueError(f"has {len(blobs)} blobs, needs {len(expected)}: {expected}")
    fitted = []
    for number, (blob, shape) in enumerate(zip(blobs, expected, strict=True)):
        if _bare(blob.shape) != _bare(shape):
            raise ValueError(f"blob {number} has shape {blob.shape}, needs {shape}")
        fitted.append(_to_float32(blob, number).reshape(shape))
    return {name: np.asarray(array, order="C") for name, array in convert(fitted).items()}


def _bare(shape: Shape) -> Shape:
    """`shape` without leading ones: the old form pads every shape to four sizes."""
    leading = next((i for i, size in enumerate(shape) if size != 1), len(shape))
    return shape[leading:]


def _to_float32(blob: np.ndarray, number: int) -> np.ndarray:
    if blob.dtype == np.float32:
        return blob
    with np.errstate(over="ignore"):
        narrow = blob.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise ValueError(f"blob {number} has values beyond float32")
    return narrow


_Layout: TypeAlias = tuple[list[Shape], Callable[[list[np.ndarray]], Arrays]]


def _convolution(op: ops.Convolution, inputs: Sequence[Shape], _: bool) -> _Layout:
    rows, columns, channels, features = op.parameter_shapes(inputs)["kernel"]
    shapes: list[Shape] = [(features, channels, rows, columns)]
    if not op.use_bias:
        return shapes, lambda blobs: {"kernel": blobs[0].transpose(2, 3, 1, 0)}
    return [*shapes, (features,)], lambda blobs: {
        "kernel": blobs[0].transpose(2, 3, 1, 0),
        "bias": blobs[1],
    }


def _inner_product(op: ops.InnerProduct, inputs: Sequence[Shape], is_transposed: bool) -> _Layout:
    flat, outputs = op.parameter_shapes(inputs)["kernel"]
    source = to_caffe(inputs[0])

    def convert(blobs: list[np.ndarray]) -> Arrays:
        weights = blobs[0].T if is_transposed else blobs[0]
        kernel = _dense_kernel(weights, source)
        return {"kernel": kernel} | ({"bias": blobs[1]} if op.use_bias else {})

    shapes: list[Shape] = [(flat, outputs) if is_transposed else (outputs, flat)]
    return ([*shapes, (outputs,)] if op.use_bias else shapes), convert


def _dense_kernel(weights: np.ndarray, source: Shape) -> np.ndarray:
    """(outputs, inputs in channel, row, column order) to (inputs in our order, outputs).

    A few rows at a time stay in the cache: a sixth of the time of one large transposition.
    """
    outputs, flat = weights.shape
    kernel = np.empty((flat, outputs), np.float32)
    for start in range(0, outputs, _ROWS):
        rows = weights[start : start + _ROWS].reshape(-1, *source)
        kernel[:, start : start + _ROWS] = np.moveaxis(rows, 1, -1).reshape(-1, flat).T
    return kernel


def _batch_norm(op: ops.BatchNorm, inputs: Sequence[Shape], _: bool) -> _Layout:
    """The third blob is the number that the sums of the other two are to be divided by."""
    channels = inputs[0][-1:]

    def convert(blobs: list[np.ndarray]) -> Arrays:
        weight = float(blobs[2][0])
        scale = 0.0 if weight == 0 else 1 / weight
        with np.errstate(over="ignore"):
            mean, variance = ((blob * np.float64(scale)).astype(np.float32) for blob in blobs[:2])
        if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
            raise ValueError(f"its statistics are not finite over the scale factor {weight}")
        if variance.min() + op.epsilon <= 0:
            raise ValueError(f"has the negative variance {variance.min()}")
        return {"mean": mean, "variance": variance}

    return [channels, channels, (1,)], convert


def _spanned(op: Any, inputs: Sequence[Shape], _: bool) -> _Layout:
    """`Scale` and `Bias`: one array per parameter over the same axes, channels first in Caffe."""
    parameters = op.parameter_shapes(inputs)
    shape = next(iter(parameters.values()))
    channels_first = len(op.axes) > 1 and op.axes[-1] == -1

    def convert(blobs: list[np.ndarray]) -> Arrays:
        ours = [np.moveaxis(blob, 0, -1) if channels_first else blob for blob in blobs]
        return dict(zip(parameters, ours, strict=True))

    return [to_caffe(shape) if channels_first else shape] * len(parameters), convert


def _prelu(op: ops.PReLU, inputs: Sequence[Shape], _: bool) -> _Layout:
    return [op.parameter_shapes(inputs)["slope"]], lambda blobs: {"slope": blobs[0]}


def _none(op: ops.Op, inputs: Sequence[Shape], _: bool) -> _Layout:
    return [], lambda blobs: {}


_LAYOUTS: dict[type[ops.Op], Callable[[Any, Sequence[Shape], bool], _Layout]] = {
    **dict.fromkeys(ops.OPS.values(), _none),
    ops.BatchNorm: _batch_norm,
    ops.Bias: _spanned,
    ops.Convolution: _convolution,
    ops.InnerProduct: _inner_product,
    ops.PReLU: _prelu,
    ops.Scale: _spanned,
}
