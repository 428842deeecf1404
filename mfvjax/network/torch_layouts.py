"""What PyTorch's own layers tell of the layout of their results, so that it need not be measured.

A layer is known by its ``forward``, so that a subclass which permutes its input, as LayerNorm2d of
torchvision and timm do, is not taken for what it is not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

_CHANNELS_FIRST = (
    "Conv2d",
    "ConvTranspose2d",
    "BatchNorm2d",
    "InstanceNorm2d",
    "GroupNorm",
    "MaxPool2d",
    "AvgPool2d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "LPPool2d",
    "Upsample",
    "ZeroPad2d",
)
_CHANNELS_LAST = ("Linear", "LayerNorm", "RMSNorm")
_ELEMENTWISE = (
    "ReLU",
    "ReLU6",
    "GELU",
    "SiLU",
    "Mish",
    "ELU",
    "LeakyReLU",
    "Hardswish",
    "Hardsigmoid",
    "Hardtanh",
    "Sigmoid",
    "Tanh",
    "Softplus",
    "Dropout",
    "Dropout2d",
    "Identity",
)


def layout_of(module: Any, num_axes: int, given: str | None) -> str | None:
    """The layout of what a layer returned: "NCHW", "NHWC" or "NTC"; ``None`` if it does not tell.

    Args:
      module: the layer.
      num_axes: of its result, with the batch.
      given: the layout of its first argument, if that is known.
    """
    kind = _kinds().get(type(module).forward)
    if kind == "first":
        return "NCHW" if num_axes == 4 else None
    if kind == "last":
        return {4: "NHWC", 3: "NTC"}.get(num_axes)
    return given if kind == "elementwise" else None


@functools.cache
def _kinds() -> dict[Callable[..., Any], str]:
    from torch import nn

    groups = {"first": _CHANNELS_FIRST, "last": _CHANNELS_LAST, "elementwise": _ELEMENTWISE}
    return {getattr(nn, name).forward: kind for kind, names in groups.items() for name in names}
