"""Rules of the layers that join, cut, reshape or multiply whole activations."""

import math
from collections.abc import Sequence

from mfvjax.models import ops
from weights_convert.axes import caffe_axis, from_caffe, our_axis, to_caffe
from weights_convert.message import Message


def inner_product(options: Message, inputs: Sequence[ops.Shape], batch: int) -> ops.Op:
    """Rule of ``InnerProduct``; whether the file keeps its weights transposed is read elsewhere."""
    options.has("transpose")
    if caffe_axis(options.integer("axis", 1), inputs[0]) != 1:
        raise ValueError("axis must be 1: everything but the batch")
    return ops.InnerProduct(options.integer("num_output", 0), options.flag("bias_term", True))


def eltwise(options: Message, inputs: Sequence[ops.Shape], batch: int) -> ops.Op:
    """Rule of ``Eltwise``."""
    operation = options.choice("operation", ("PROD", "SUM", "MAX"), "SUM")
    method = {"PROD": "product", "SUM": "sum", "MAX": "max"}[operation]
    return ops.Eltwise(method, tuple(options.numbers("coeff")))


def concat(options: Message, inputs: Sequence[ops.Shape], batch: int) -> ops.Op:
    """Rule of ``Concat``."""
    return ops.Concat(our_axis(_join_axis(options, "concat_dim"), inputs[0]))


def slice_(options: Message, inputs: Sequence[ops.Shape], batch: int) -> ops.Op:
    """Rule of ``Slice``."""
    axis = our_axis(_join_axis(options, "slice_dim"), inputs[0])
    return ops.Slice(axis, tuple(options.integers("slice_point")))


def softmax(options: Message, inputs: Sequence[ops.Shape], batch: int) -> ops.Op:
    """Rule of ``Softmax``."""
    return ops.Softmax(our_axis(options.integer("axis", 1), inputs[0]))


def flatten(options: Message, inputs: Sequence[ops.Shape], batch: int) -> ops.Op:
    """Rule of ``Flatten``."""
    shape = (batch, *to_caffe(inputs[0]))
    first = caffe_axis(options.integer("axis", 1), inputs[0])
    last = caffe_axis(options.integer("end_axis", -1), inputs[0])
    if not 1 <= first <= last:
        raise ValueError(f"cannot flatten axes {first} to {last}; the batch axis must stay")
    merged = (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
    return ops.Reshape(from_caffe(merged[1:]))


def reshape(options: Message, inputs: Sequence[ops.Shape], batch: int) -> ops.Op:
    """Rule of ``Reshape``: size 0 copies, -1 is inferred; the batch must stay as it is."""
    shape = (batch, *to_caffe(inputs[0]))
    dims = options.message("shape").integers("dim")
    axis, count = options.integer("axis", 0), options.integer("num_axes", -1)
    first = axis if axis >= 0 else len(shape) + axis + 1
    last = len(shape) if count == -1 else first + count
    if not 0 <= first <= last <= len(shape) or len(dims) > 8:
        raise ValueError(f"axis {axis} and num_axes {count} leave its input of {len(shape)} axes")
    new = [*shape[:first], *_copied(dims, shape, first), *shape[last:]]
    if new.count(-1) == 1:
        known = -math.prod(new)
        new[new.index(-1)] = math.prod(shape) // known if known else 0
    if math.prod(new) != math.prod(shape) or min(new, default=0) < 1 or new[0] != batch:
        raise ValueError(f"cannot reshape {shape} to {tuple(new)}; sizes or the batch differ")
    return ops.Reshape(from_caffe(tuple(new[1:])))


def _copied(dims: Sequence[int], shape: ops.Shape, first: int) -> list[int]:
    if any(size == 0 and first + i >= len(shape) for i, size in enumerate(dims)):
        raise ValueError(f"copies an axis beyond the {len(shape)} axes of its input")
    return [shape[first + i] if size == 0 else size for i, size in enumerate(dims)]


def _join_axis(options: Message, old_name: str) -> int:
    if not options.has(old_name):
        return options.integer("axis", 1)
    if options.has("axis"):
        raise ValueError(f"has both axis and {old_name}")
    return options.integer(old_name, 1)
