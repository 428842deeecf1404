"""Operations that look through a window: convolution, pooling, normalization over neighbors."""

import dataclasses
from collections.abc import Sequence

from mfvjax.models.ops.base import Field, Op
from mfvjax.models.ops.checks import (
    MAX_SIZE,
    Pair,
    Shape,
    check_flag,
    check_pair,
    check_real,
    check_size,
    map_shape,
)
from mfvjax.types import ReceptiveField


def _slide(field: Field, extent: Pair, stride: Pair, pad: Pair) -> Field:
    """The field of a window of `extent` cells that slides over a map with the given `field`."""
    if field is None:
        return None
    size, step, start = zip(
        *(
            (s + (e - 1) * t, t * w, b - p * t)
            for s, t, b, e, w, p in zip(
                field.size, field.stride, field.start, extent, stride, pad, strict=True
            )
        ),
        strict=True,
    )
    if max(*size, *step) > MAX_SIZE:
        return None  # beyond any image
    return ReceptiveField(size, step, start)


@dataclasses.dataclass(frozen=True)
class Convolution(Op):
    """Convolution of a map; sizes are ``(rows, columns)``, output sizes round down.

    Attributes:
      groups: the channels are cut into this many groups that do not see each other.
    """

    num_output: int
    kernel: Pair
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    use_bias: bool = True

    def __post_init__(self) -> None:
        for name in ("num_output", "groups"):
            check_size(name, getattr(self, name))
        for name in ("kernel", "stride", "dilation"):
            check_pair(name, getattr(self, name))
        check_pair("pad", self.pad, minimum=0)
        check_flag("use_bias", self.use_bias)
        if self.num_output % self.groups:
            raise ValueError(f"num_output {self.num_output} is no multiple of {self.groups} groups")

    @property
    def extent(self) -> Pair:
        """Rows and columns that the dilated kernel spans."""
        rows, columns = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        return rows, columns

    def _shapes(self, inputs: Sequence[Shape], num_outputs: int) -> tuple[Shape, ...]:
        height, width, _ = map_shape(inputs[0])
        sizes = []
        for size, extent, stride, pad in zip(
            (height, width), self.extent, self.stride, self.pad, strict=True
        ):
            if size + 2 * pad < extent:
                raise ValueError(
                    f"its kernel spans {extent} cells but the padded map has {size + 2 * pad}"
                )
            sizes.append((size + 2 * pad - extent) // stride + 1)
        return ((*sizes, self.num_output),)

    def _parameters(self, inputs: Sequence[Shape]) -> dict[str, Shape]:
        channels = map_shape(inputs[0])[2]
        if channels % self.groups:
            raise ValueError(f"its {channels} input channels do not divide by {self.groups} groups")
        shapes: dict[str, Shape] = {
            "kernel": (*self.kernel, channels // self.groups, self.num_output)
        }
        return shapes | ({"bias": (self.num_output,)} if self.use_bias else {})

    def _fields(
        self, fields: Sequence[Field], inputs: Sequence[Shape], num_outputs: int
    ) -> tuple[Field, ...]:
        return (_slide(fields[0], self.extent, self.stride, self.pad),)


@dataclasses.dataclass(frozen=True)
class Pooling(Op):
    """Pooling with Caffe's rules; sizes are ``(rows, columns)``.

    Output sizes round up (down if `round_up` is false); with padding, the last window starts inside
    the image or its top-left padding. The average divides by the cells of the window inside the
    padded frame. Source: Caffe's ``pooling_layer.cpp``.

    Attributes:
      spans_map: whether the kernel is to cover the map whatever its size (global pooling); if
        ``None`` it is where a kernel without stride or padding covers the map it is given.
    """

    method: str
    kernel: Pair
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    round_up: bool = True
    spans_map: bool | None = None

    def __post_init__(self) -> None:
        if self.method not in ("max", "average"):
            raise ValueError(f"method must be 'max' or 'average', got {self.method!r}")
        check_pair("kernel", self.kernel)
        check_pair("stride", self.stride)
        check_pair("pad", self.pad, minimum=0)
        check_flag("round_up", self.round_up)
        if self.spans_map is not None:
            check_flag("spans_map", self.spans_map)
        if any(pad >= kernel for pad, kernel in zip(self.pad, self.kernel, strict=True)):
            raise ValueError(f"pad {self.pad} must be smaller than the kernel {self.kernel}")

    def for_map(self, before: Shape, after: Shape) -> "Pooling":
        """The same pooling of a map with the shape `after`, for one that was made for `before`."""
        if self._spans(before):
            return dataclasses.replace(self, kernel=map_shape(after)[:2], spans_map=None)
        fixed = dataclasses.replace(self, spans_map=None)
        return dataclasses.replace(fixed, spans_map=False) if fixed._spans(after) else fixed

    def _spans(self, shape: Shape) -> bool:
        is_free = self.stride == (1, 1) and self.pad == (0, 0)
        covers = is_free and self.kernel == shape[:2]
        return covers if self.spans_map is None else self.spans_map

    def _shapes(self, inputs: Sequence[Shape], num_outputs: int) -> tuple[Shape, ...]:
        height, width, channels = map_shape(inputs[0])
        sizes = [self._output_size(axis, size) for axis, size in enumerate((height, width))]
        return ((*sizes, channels),)

    def _output_size(self, axis: int, size: int) -> int:
        kernel, stride, pad = self.kernel[axis], self.stride[axis], self.pad[axis]
        free = size + 2 * pad - kernel
        windows = (-(-free // stride) if self.round_up else free // stride) + 1
        if any(self.pad) and (windows - 1) * stride >= size + pad:
            windows -= 1
        if windows < 1 or (windows - 1) * stride >= size + pad:
            raise ValueError(
                f"its kernel {self.kernel}, stride {self.stride} and pad {self.pad} leave a window "
                f"outside a map of {size} cells"
            )
        return windows

    def _fields(
        self, fields: Sequence[Field], inputs: Sequence[Shape], num_outputs: int
    ) -> tuple[Field, ...]:
        return (_slide(fields[0], self.kernel, self.stride, self.pad),)


@dataclasses.dataclass(frozen=True)
class LRN(Op):
    """Local response normalization: ``x / (k + alpha / n * sum of n neighbors squared) ** beta``.

    The neighbors are `local_size` channels, or with `within_channel` a square of `local_size` cells
    (then ``n = local_size ** 2`` and ``k`` is 1). Source: Caffe's ``lrn_layer.cpp``.
    """

    local_size: int = 5
    alpha: float = 1.0
    beta: float = 0.75
    k: float = 1.0
    within_channel: bool = False

    def __post_init__(self) -> None:
        check_size("local_size", self.local_size)
        for name in ("alpha", "beta", "k"):
            check_real(name, getattr(self, name))
        check_flag("within_channel", self.within_channel)
        if self.local_size % 2 == 0:
            raise ValueError(f"local_size must be odd, got {self.local_size}")
        if self.within_channel and self.k != 1:
            raise ValueError(f"k must be 1 within a channel, got {self.k}")

    def _shapes(self, inputs: Sequence[Shape], num_outputs: int) -> tuple[Shape, ...]:
        return (map_shape(inputs[0]),)

    def _fields(
        self, fields: Sequence[Field], inputs: Sequence[Shape], num_outputs: int
    ) -> tuple[Field, ...]:
        if not self.within_channel:
            return (fields[0],)
        size, pad = self.local_size, self.local_size // 2
        return (_slide(fields[0], (size, size), (1, 1), (pad, pad)),)
