"""Between Caffe's axes (batch, channels, rows, columns) and ours, without batch, channels last."""

from collections.abc import Iterable

from mfvjax.models.ops import Shape


def to_caffe(shape: Shape) -> Shape:
    """``(height, width, channels)`` as ``(channels, height, width)``; any rank."""
    return (*shape[-1:], *shape[:-1])


def from_caffe(shape: Shape) -> Shape:
    """``(channels, height, width)`` as ``(height, width, channels)``; any rank."""
    return (*shape[1:], *shape[:1])


def caffe_axis(axis: int, shape: Shape) -> int:
    """A Caffe axis, from 0 for the batch, of an activation of our `shape`; may count from the end.

    Raises:
      ValueError: the activation has no such axis.
    """
    rank = len(shape) + 1
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} does not exist; its input has {rank} axes")
    return axis % rank


def our_axis(axis: int, shape: Shape) -> int:
    """A Caffe axis as ours, counted from the end.

    Raises:
      ValueError: it is the batch axis, or does not exist.
    """
    position = caffe_axis(axis, shape)
    if position == 0:
        raise ValueError("works along the batch axis; every image must stand alone")
    return -1 if position == 1 else position - 2 - len(shape)


def our_axes(axes: Iterable[int], shape: Shape) -> tuple[int, ...]:
    """Several Caffe axes as ours, ascending."""
    return tuple(sorted(our_axis(axis, shape) for axis in axes))
