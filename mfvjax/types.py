"""Names that every room shares: array aliases, units, and the facts of a layer.

Conventions, fixed here once: an *image* is ``(height, width, channels)``, float32, in the range of
its `mfvjax.domain.Domain`: RGB in [0, 255] unless told otherwise; *images* adds a leading axis.
Only ``preprocess`` knows what a network eats. Positions are ``(row, column)``, boxes are half open,
and sizes are ``(height, width)``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jaxtyping
from jaxtyping import Array, Float, PRNGKeyArray

from mfvjax.unit_names import AT, find_named, parse_position, position_text

Image: TypeAlias = Float[Array, "height width channels"]
Images: TypeAlias = Float[Array, "batch height width channels"]
NetInput: TypeAlias = Float[Array, "batch height width channels"]
Activations: TypeAlias = dict[str, Array]
Params: TypeAlias = Any
Key: TypeAlias = PRNGKeyArray
Keys: TypeAlias = jaxtyping.Key[Array, " facets"]
ForwardFn: TypeAlias = Callable[[Params, Array], Mapping[str, Array]]

_UNIT = re.compile(rf"(?P<layer>.+):(?P<index>\d+)(?:@(?P<at>{AT}))?")


@dataclasses.dataclass(frozen=True, order=True)
class Unit:
    """One unit of a network: a neuron of a dense layer, or a channel of a map at one position.

    Attributes:
      layer: the activation's name, as the network lists it.
      index: from 0; the neuron of a dense layer, the channel of a map.
      position: ``(row, column)`` in the map, from 0; ``None`` for a dense layer, and for a map it
        stands for the centre until ``Network.resolve`` fills it in. ``(token, 0)`` in a layer of
        tokens.
    """

    layer: str
    index: int
    position: tuple[int, int] | None = None

    @classmethod
    def parse(cls, text: str, layers: Mapping[str, LayerInfo] | None = None) -> Unit:
        """Reads ``"fc8:945"``, ``"conv4:12"`` (the map's centre) or ``"conv4:12@6,6"``.

        In a layer of tokens a position is one number, ``"blocks.5:12@17"``; ``@cls`` is token 0.

        Args:
          text: as above, or with a name for the index: ``"probes:stripes"``.
          layers: those whose units may be asked for by name, where they have names.

        Raises:
          ValueError: `text` has another form, or its name is not that of one unit.
        """
        match = _UNIT.fullmatch(text.strip())
        if layers is not None and (match is None or match["layer"] not in layers):
            names = {name: info.unit_names for name, info in layers.items()}
            named = find_named(text.strip(), names)
            if named is not None:
                return cls(*named)
        if match is None:
            raise ValueError(
                f"unit {text!r} is not of the form LAYER:INDEX or LAYER:INDEX@ROW,COLUMN, "
                "such as fc8:945, conv4:12 or conv4:12@6,6, or in a layer of tokens @17 or @cls"
            )
        position = None if match["at"] is None else parse_position(match["at"])
        return cls(match["layer"], int(match["index"]), position)

    def __str__(self) -> str:
        at = "" if self.position is None else f"@{position_text(self.position)}"
        return f"{self.layer}:{self.index}{at}"


@dataclasses.dataclass(frozen=True)
class PixelBox:
    """Half-open box of input pixels; may reach outside the image where a layer pads."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` in pixels."""
        return self.bottom - self.top, self.right - self.left

    def clip(self, size: tuple[int, int]) -> PixelBox:
        """The part of the box inside an image of `size` ``(height, width)``."""
        height, width = size
        return PixelBox(
            max(self.top, 0), max(self.left, 0), min(self.bottom, height), min(self.right, width)
        )


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """The input pixels that a position of a map can see: an affine function of the position.

    Position ``(i, j)`` sees rows ``start[0] + i * stride[0]`` to that plus ``size[0]``, and columns
    likewise, before clipping to the image.

    Attributes:
      size: ``(height, width)`` in pixels.
      stride: pixels between neighbouring positions.
      start: top-left pixel of position ``(0, 0)``; negative where layers pad.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    start: tuple[int, int]

    def box(self, position: tuple[int, int]) -> PixelBox:
        """Pixel box of `position` ``(row, column)``, not clipped to the image."""
        top = self.start[0] + position[0] * self.stride[0]
        left = self.start[1] + position[1] * self.stride[1]
        return PixelBox(top, left, top + self.size[0], left + self.size[1])


@dataclasses.dataclass(frozen=True)
class LayerInfo:
    """Facts of one named activation.

    Attributes:
      name: as in ``Network.layers``.
      shape: without the batch axis; ``(height, width, channels)`` for a map, ``(tokens, channels)``
        for a sequence, ``(neurons,)`` for a dense layer.
      receptive_field: ``None`` where every position sees the whole image (dense layers).
      unit_names: one per unit, by which units may be asked for; ``None`` if they have no names.
      base: of a layer that was added to a network, the network's own layer that it is read out of,
        position by position; see `mfvjax.network.derived`. ``None`` for the network's own.
    """

    name: str
    shape: tuple[int, ...]
    receptive_field: ReceptiveField | None = None
    unit_names: tuple[str, ...] | None = None
    base: str | None = None

    @property
    def origin(self) -> str:
        """The network's own layer whose positions these are: `base`, or the layer itself."""
        return self.base or self.name

    @property
    def num_units(self) -> int:
        """Neurons of a dense layer, channels of a map."""
        return self.shape[-1]

    @property
    def is_dense(self) -> bool:
        """Whether the layer has no spatial axes."""
        return len(self.shape) == 1

    @property
    def centre(self) -> tuple[int, int] | None:
        """Central ``(row, column)`` of a map (the lower right of the middle four if even)."""
        return (self.shape[0] // 2, self.shape[1] // 2) if len(self.shape) == 3 else None
