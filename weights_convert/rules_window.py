"""Rules of the layers that look through a window: convolution, pooling, LRN."""

from collections.abc import Sequence

from mfvjax.models import ops
from weights_convert.axes import caffe_axis
from weights_convert.message import Message


def convolution(options: Message, inputs: Sequence[ops.Shape], batch: int) -> ops.Op:
    """Rule of ``Convolution``; sizes may be one for both axes, one each, or ``_h`` and ``_w``."""
    if caffe_axis(options.integer("axis", 1), inputs[0]) != 1:
        raise ValueError("axis must be 1: the channels")
    return ops.Convolution(
        num_output=options.integer("num_output", 0),
        kernel=_pair(options, "kernel_size", "kernel", None),
        stride=_pair(options, "stride", "stride", 1),
        pad=_pair(options, "pad", "pad", 0),
        dilation=_pair(options, "dilation", None, 1),
        groups=options.integer("group", 1),
        use_bias=options.flag("bias_term", True),
    )


def pooling(options: Message, inputs: Sequence[ops.Shape], batch: int) -> ops.Op:
    """Rule of ``Pooling``; a global window has the size of its map."""
    method = options.choice("pool", ("MAX", "AVE", "STOCHASTIC"), "MAX")
    if method == "STOCHASTIC":
        raise ValueError("stochastic pooling is not supported")
    rounds_up = options.choice("round_mode", ("CEIL", "FLOOR"), "CEIL") == "CEIL"
    rounds_up = options.flag("ceil_mode", rounds_up)  # the same option in forks of Caffe
    stride, pad = _pair(options, "stride", "stride", 1), _pair(options, "pad", "pad", 0)
    if not options.flag("global_pooling", False):
        kernel = _pair(options, "kernel_size", "kernel", None)
    elif any(map(options.has, ("kernel_size", "kernel_h", "kernel_w"))):
        raise ValueError("has both global_pooling and a kernel size")
    elif stride != (1, 1) or pad != (0, 0) or len(inputs[0]) != 3:
        raise ValueError("global pooling needs a map, stride 1 and no pad")
    else:
        kernel = (inputs[0][0], inputs[0][1])
    return ops.Pooling("max" if method == "MAX" else "average", kernel, stride, pad, rounds_up)


def lrn(options: Message, inputs: Sequence[ops.Shape], batch: int) -> ops.Op:
    """Rule of ``LRN``; within a channel Caffe takes ``k`` as 1, whatever the file says."""
    region = options.choice("norm_region", ("ACROSS_CHANNELS", "WITHIN_CHANNEL"), "ACROSS_CHANNELS")
    within = region == "WITHIN_CHANNEL"
    k = options.number("k", 1.0)
    return ops.LRN(
        local_size=options.integer("local_size", 5),
        alpha=options.number("alpha", 1.0),
        beta=options.number("beta", 0.75),
        k=1.0 if within else k,
        within_channel=within,
    )


def _pair(options: Message, name: str, stem: str | None, default: int | None) -> ops.Pair:
    """``(rows, columns)`` of an option that is written as one or two values, or per axis."""
    values = options.integers(name)
    axes = [f"{stem}_{axis}" for axis in "hw"] if stem else []
    if any(map(options.has, axes)):
        if values:
            raise ValueError(f"has {name} and also {axes[0]} or {axes[1]}")
        missing = -1 if default is None else default
        values = [options.integer(axis, missing) for axis in axes]
    if not values and default is not None:
        values = [default]
    if len(values) not in (1, 2):
        raise ValueError(f"needs one or two values of {name}, has {len(values)}")
    return values[0], values[-1]
