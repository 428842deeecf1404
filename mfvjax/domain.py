"""What an image is: how many channels, which range of values, and what they mean."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Num, UInt8


@dataclasses.dataclass(frozen=True)
class Domain:
    """The images that a network is shown: photographs, grey pictures, spectrograms.

    An image is ``(height, width, channels)`` with values in ``[low, high]``. An image source gives
    uint8 if the domain `is_8bit`, else float32; means, and all that a network sees, are float32.

    The rows of a picture go from top to bottom. The rows of a spectrogram are frequencies, the
    lowest first, as a short-time Fourier transform gives them, and its columns are times; wherever
    one is drawn, row 0 is at the bottom. Images of any other kind are drawn with row 0 at the top.

    Attributes:
      channels: at least 1.
      low: the least value a pixel can have; black, or silence.
      high: the largest; above `low`.
      kind: "rgb" (three channels, read as color), "grey" (one), "spectrogram" (any number), or any
        other name for what is neither. Color is judged, and decorrelated, only where it is "rgb";
        views mix the two axes of an image, by rotation or by one random scale for both, only where
        it is "rgb" or "grey".

    Raises:
      ValueError: a number is out of range, or the kind does not fit the channels.
    """

    channels: int = 3
    low: float = 0.0
    high: float = 255.0
    kind: str = "rgb"

    def __post_init__(self) -> None:
        if int(self.channels) != self.channels or self.channels < 1:
            raise ValueError(f"domain: channels={self.channels!r} must be a number from 1")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(
                f"domain: low={self.low!r} and high={self.high!r} must be finite, low below high"
            )
        if not isinstance(self.kind, str) or not self.kind:
            raise ValueError(f"domain: kind={self.kind!r} must be a word")
        needed = {"rgb": 3, "grey": 1}.get(self.kind, self.channels)
        if self.channels != needed:
            raise ValueError(
                f"domain: kind={self.kind!r} has {needed} channels, not {self.channels}"
            )
        # Plain numbers, so that equal domains are written down, and hashed, alike.
        object.__setattr__(self, "channels", int(self.channels))
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))

    def __str__(self) -> str:
        name = "RGB" if self.is_color else self.kind
        if not self.is_picture:
            name += f" of {self.channels} channel{'' if self.channels == 1 else 's'}"
        return f"{name} in [{self.low:g}, {self.high:g}]"

    @property
    def is_color(self) -> bool:
        """Whether the channels are red, green and blue."""
        return self.kind == "rgb"

    @property
    def is_picture(self) -> bool:
        """Whether rows and columns are alike, so that an image may be turned and zoomed."""
        return self.kind in ("rgb", "grey")

    @property
    def span(self) -> float:
        """``high - low``."""
        return self.high - self.low

    @property
    def is_8bit(self) -> bool:
        """Whether images are pictures of 256 levels, as most files are; all others are floats."""
        return self.is_picture and (self.low, self.high) == (0, 255)

    @property
    def dtype(self) -> np.dtype:
        """Of images outside the network: uint8 if `is_8bit`, else float32."""
        return np.dtype(np.uint8 if self.is_8bit else np.float32)

    def levels(self, images: Num[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
        """Images in 256 steps, for looking at: `low` is 0, `high` 255; what is not a number is 0.

        Images of a domain that `is_8bit` are only rounded.
        """
        if self.is_8bit and images.dtype == np.uint8:
            return images
        steps = (images - self.low) * (255 / self.span)
        return np.rint(np.nan_to_num(steps, posinf=255, neginf=0).clip(0, 255)).astype(np.uint8)

    def from_levels(self, levels: UInt8[np.ndarray, "*shape"]) -> Num[np.ndarray, "*shape"]:
        """Images of the domain from 256 steps between `low` and `high`; inverse of `levels`."""
        if self.is_8bit:
            return levels
        values = self.low + levels.astype(np.float64) * (self.span / 255)
        return values.clip(self.low, self.high).astype(np.float32)

    def holds(self, images: Num[np.ndarray, "*shape"]) -> bool:
        """Whether all values are numbers from `low` to `high`, as float32 has these."""
        # True only if there is no NaN.
        return bool(images.min() >= np.float32(self.low) and images.max() <= np.float32(self.high))

    @classmethod
    def from_json(cls, fields: Any) -> Domain:
        """Reads what ``dataclasses.asdict`` made of a domain.

        Raises:
          ValueError: it is something else.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(fields, dict) or set(fields) != names:
            raise ValueError(f"expected the fields {sorted(names)} of a domain, not {fields!r}")
        try:
            return cls(**fields)
        except TypeError as error:
            raise ValueError(f"not a domain: {fields!r}") from error


RGB = Domain()
"""Photographs: red, green, blue in [0, 255]."""

GREY = Domain(1, 0.0, 255.0, "grey")
"""Grey pictures: one channel in [0, 255]."""
