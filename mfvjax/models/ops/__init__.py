"""The operations that a network's layers may perform, by name."""

from mfvjax.models.ops.base import Op
from mfvjax.models.ops.checks import MAX_SIZE, Pair, Shape
from mfvjax.models.ops.pointwise import (
    ELU,
    BatchNorm,
    Bias,
    Broadcast,
    Identity,
    PReLU,
    ReLU,
    Scale,
    Sigmoid,
    Softmax,
    TanH,
)
from mfvjax.models.ops.structure import Concat, Eltwise, InnerProduct, Reshape, Slice
from mfvjax.models.ops.window import LRN, Convolution, Pooling

OPS: dict[str, type[Op]] = {
    op.__name__: op
    for op in (
        BatchNorm,
        Bias,
        Broadcast,
        Concat,
        Convolution,
        ELU,
        Eltwise,
        Identity,
        InnerProduct,
        LRN,
        Pooling,
        PReLU,
        ReLU,
        Reshape,
        Scale,
        Sigmoid,
        Slice,
        Softmax,
        TanH,
    )
}
"""Every operation by the name that a stored graph uses."""

__all__ = [*OPS, "MAX_SIZE", "OPS", "Op", "Pair", "Shape"]
