"""Which positions of a map count when a unit is read where it is strongest."""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias, get_args

import jax
import numpy as np

from mfvjax.types import LayerInfo

Positions: TypeAlias = Literal["inside", "all"]
"""``"inside"``: those whose receptive field lies inside the image, see `counted_window`."""


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class MapWindow:
    """A part of a map, in its positions: half-open ranges of rows and of columns.

    Among arrays it is a constant of the compiled program.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]


def counted_window(
    info: LayerInfo, input_size: tuple[int, int], positions: Positions
) -> MapWindow | None:
    """The part of a map in which a unit's strongest response counts; ``None`` for all of it.

    At the border a unit sees zeros beyond the image, to which it may answer more than to any
    picture; its facets are then "lower edge" and "upper edge". So positions count whose receptive
    field lies inside the image. Rows and columns are judged apart, each by this rule:

    * where the field is longer than the image, all count, as none lies inside; what is shown of
      such a field is the whole image, without padding;
    * otherwise those count that see the most of the image: the whole field, wherever the map has
      such positions. Where the field is nearly as long as the image these are few, and the unit is
      read near the center: of MobileNet v1's ``block10``, 187 of 192 pixels, at one position.

    Dense layers, sequences of tokens, and maps whose positions all see the same count as a whole.

    Args:
      info: of the layer.
      input_size: ``(height, width)`` of the images, in pixels.
      positions: "inside", or "all" for the whole map.

    Raises:
      ValueError: `positions` is neither.
    """
    check_positions(positions)
    # A single position is decided on first: some fields have to be measured.
    if positions == "all" or len(info.shape) != 3 or info.shape[:2] == (1, 1):
        return None
    field = info.receptive_field
    if field is None:
        return None
    rows, columns = (
        _most_visible(count, *axis)
        for count, *axis in zip(
            info.shape[:2], field.size, field.stride, field.start, input_size, strict=True
        )
    )
    window = MapWindow(rows, columns)
    return None if window == MapWindow((0, info.shape[0]), (0, info.shape[1])) else window


def check_positions(positions: str) -> None:
    """Raises ``ValueError`` unless `positions` is "inside" or "all"."""
    if positions not in get_args(Positions):
        raise ValueError(f'positions must be "inside" or "all", got {positions!r}')


def _most_visible(count: int, size: int, stride: int, start: int, length: int) -> tuple[int, int]:
    if size > length:
        return 0, count
    first = start + stride * np.arange(count)
    visible = np.minimum(first + size, length) - np.maximum(first, 0)
    # One range: what is visible first grows with the position, then stays, then shrinks.
    where = np.flatnonzero(visible == visible.max())
    return int(where[0]), int(where[-1]) + 1
