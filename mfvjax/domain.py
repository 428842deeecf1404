"""What an image is: how many channels, which range of values, and what they mean."""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Domain:
    """The images that a network is shown: photographs, grey pictures, spectrograms.

    An image is ``(height, width, channels)``, float32, with values in ``[low, high]``.

    Attributes:
      channels: at least 1.
      low: the least value a pixel can have; black, or silence.
      high: the largest; above `low`.
      kind: "rgb" (three channels, read as color), "grey" (one), "spectrogram" (rows are
        frequencies, columns times), or any other name for what is neither. Color is judged, and
        decorrelated, only where it is "rgb"; views mix the two axes of an image, by rotation or by
        one random scale for both, only where it is "rgb" or "grey".

    Raises:
      ValueError: a number is out of range, or the kind does not fit the channels.
    """

    channels: int = 3
    low: float = 0.0
    high: float = 255.0
    kind: str = "rgb"

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise ValueError(f"domain: channels={self.channels!r} must be at least 1")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(
                f"domain: low={self.low!r} and high={self.high!r} must be finite, low below high"
            )
        needed = {"rgb": 3, "grey": 1}.get(self.kind, self.channels)
        if self.channels != needed:
            raise ValueError(
                f"domain: kind={self.kind!r} has {needed} channels, not {self.channels}"
            )

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


RGB = Domain()
"""Photographs: red, green, blue in [0, 255]."""

GREY = Domain(1, 0.0, 255.0, "grey")
"""Grey pictures: one channel in [0, 255]."""
