"""One rule per layer type: from the options a ``.prototxt`` writes to an operation.

Defaults are those of Caffe's ``caffe.proto``. An option that would make a layer something else than
we compute is refused; one that nobody knows is reported as a `CaffeWarning`.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import TypeAlias

from mfvjax.models import ops
from weights_convert.axes import caffe_axis, our_axes
from weights_convert.errors import CaffeWarning
from weights_convert.message import Message
from weights_convert.prototxt import SourceLayer
from weights_convert.rules_structure import (
    concat,
    eltwise,
    flatten,
    inner_product,
    reshape,
    slice_,
    softmax,
)
from weights_convert.rules_window import convolution, lrn, pooling

Rule: TypeAlias = Callable[[Message, Sequence[ops.Shape], int], ops.Op]

_FOR_TRAINING = frozenset(
    ("bias_filler", "engine", "filler", "force_nd_im2col", "moving_average_fraction")
) | {"stable_prod_grad", "weight_filler", "dropout_ratio"}


def plan_operation(layer: SourceLayer, inputs: Sequence[ops.Shape], batch: int) -> ops.Op:
    """The operation of a layer whose inputs have the shapes `inputs`.

    Args:
      batch: the batch size that the file declares; a reshape may spell it out.

    Raises:
      ValueError: the type is not supported, or an option has no meaning here.
    """
    if layer.kind not in RULES:
        raise ValueError(f"type {layer.kind!r} is not supported; known are {', '.join(RULES)}")
    if not inputs:
        raise ValueError("reads nothing")
    field, rule = RULES[layer.kind]
    options = layer.message.message(field)
    op = rule(options, inputs, batch)
    if unknown := sorted(set(options.unasked()) - _FOR_TRAINING):
        warnings.warn(f"{layer}: unknown options left out: {', '.join(unknown)}", CaffeWarning, 2)
    return op


def _relu(options: Message, inputs: Sequence[ops.Shape], batch: int) -> ops.Op:
    return ops.ReLU(options.number("negative_slope", 0.0))


def _prelu(options: Message, inputs: Sequence[ops.Shape], batch: int) -> ops.Op:
    return ops.PReLU(options.flag("channel_shared", False))


def _elu(options: Message, inputs: Sequence[ops.Shape], batch: int) -> ops.Op:
    return ops.ELU(options.number("alpha", 1.0))


def _batch_norm(options: Message, inputs: Sequence[ops.Shape], batch: int) -> ops.Op:
    if not options.flag("use_global_stats", True):
        raise ValueError("use_global_stats is false: images of a batch would change each other")
    return ops.BatchNorm(options.number("eps", 1e-5))


def _scale(options: Message, inputs: Sequence[ops.Shape], batch: int) -> ops.Op:
    use_bias = options.flag("bias_term", False)
    axes = _spanned_axes(options, inputs)
    if len(inputs) == 1:
        return ops.Scale(axes, use_bias)
    if use_bias:
        raise ValueError("has a second input and a bias of its own, which is not supported")
    return ops.Broadcast("multiply", axes)


def _bias(options: Message, inputs: Sequence[ops.Shape], batch: int) -> ops.Op:
    axes = _spanned_axes(options, inputs)
    return ops.Bias(axes) if len(inputs) == 1 else ops.Broadcast("add", axes)


def _spanned_axes(options: Message, inputs: Sequence[ops.Shape]) -> tuple[int, ...]:
    """Our axes that a parameter, or the second input, spans of the first input."""
    first, count = caffe_axis(options.integer("axis", 1), inputs[0]), options.integer("num_axes", 1)
    rank = len(inputs[0]) + 1
    if len(inputs) > 1:
        if first != 0 or len(inputs[1]) >= rank:
            raise ValueError("a second input must span the batch: axis must be 0")
        return our_axes(range(1, len(inputs[1]) + 1), inputs[0])
    last = rank if count == -1 else first + count
    if not first <= last <= rank:
        raise ValueError(f"num_axes {count} from axis {first} leaves its input of {rank} axes")
    return our_axes(range(first, last), inputs[0])


RULES: dict[str, tuple[str, Rule]] = {
    "BatchNorm": ("batch_norm_param", _batch_norm),
    "Bias": ("bias_param", _bias),
    "Concat": ("concat_param", concat),
    "Convolution": ("convolution_param", convolution),
    "Dropout": ("dropout_param", lambda options, inputs, batch: ops.Identity()),
    "ELU": ("elu_param", _elu),
    "Eltwise": ("eltwise_param", eltwise),
    "Flatten": ("flatten_param", flatten),
    "InnerProduct": ("inner_product_param", inner_product),
    "LRN": ("lrn_param", lrn),
    "PReLU": ("prelu_param", _prelu),
    "Pooling": ("pooling_param", pooling),
    "ReLU": ("relu_param", _relu),
    "Reshape": ("reshape_param", reshape),
    "Scale": ("scale_param", _scale),
    "Sigmoid": ("sigmoid_param", lambda options, inputs, batch: ops.Sigmoid()),
    "Slice": ("slice_param", slice_),
    "Softmax": ("softmax_param", softmax),
    "Split": ("split_param", lambda options, inputs, batch: ops.Identity()),
    "TanH": ("tanh_param", lambda options, inputs, batch: ops.TanH()),
}
"""The message that holds a type's options, and its rule, by the type's name."""
