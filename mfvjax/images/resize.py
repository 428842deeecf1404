"""The resize and crop rule between a picture of any size and a network's input.

Resampling is Pillow's bilinear filter, which averages over the source pixels when it shrinks.
Caffe's ``convert_imageset`` uses OpenCV's bilinear rule, which does not.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Num
from PIL import Image

ResizeShorter: TypeAlias = int | Literal["fit"] | None


@dataclasses.dataclass(frozen=True)
class ResizeRule:
    """Resizes the shorter side, then crops the center, as Caffe's users do.

    The crop starts at ``(resized - size) // 2``, as Caffe's data layer does at test time. Axes of
    different meaning, such as a spectrogram's, keep their whole range only with `warp`.

    Attributes:
      size: ``(height, width)`` of the crop, usually the network's input.
      resize_shorter: the shorter side becomes this many pixels, with the aspect ratio kept;
        ``"fit"``: the smallest size that covers the crop (for a square crop the shorter side
        becomes the crop's); ``None``: no resizing, only the crop, and only images that are
        smaller than the crop are enlarged until they just cover it.
      warp: both sides become `resize_shorter` (``"fit"``: `size`), the aspect ratio is lost, as
        with Caffe's ``convert_imageset --resize_height --resize_width``.

    Raises:
      ValueError: a size is below 1, `resize_shorter` is smaller than the crop, `warp` without a
        size to warp to.
    """

    size: tuple[int, int]
    resize_shorter: ResizeShorter = "fit"
    warp: bool = False

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ValueError(f"size must be (height, width), each at least 1, not {self.size}")
        if isinstance(self.resize_shorter, int) and self.resize_shorter < max(self.size):
            raise ValueError(
                f"resize_shorter={self.resize_shorter} must be at least the larger side of the "
                f"crop {self.size}"
            )
        if self.warp and self.resize_shorter is None:
            raise ValueError("warp=True needs resize_shorter to be 'fit' or a number of pixels")

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """``(height, width)`` before the crop of an image of `size`, rounded to nearest."""
        shorter = self.resize_shorter
        if self.warp:
            return (shorter, shorter) if isinstance(shorter, int) else self.size
        if isinstance(shorter, int):
            scale = shorter / min(size)
        else:
            covering = max(self.size[0] / size[0], self.size[1] / size[1])
            scale = covering if shorter == "fit" else max(1.0, covering)
        # The maximum guards against a product such as 226.99999.
        return (
            max(round(size[0] * scale), self.size[0]),
            max(round(size[1] * scale), self.size[1]),
        )

    def apply(
        self, image: Num[np.ndarray, "height width channels"]
    ) -> Num[np.ndarray, "crop_height crop_width channels"]:
        """Resizes and crops one image of any number of channels.

        Only the crop is computed, so that a very long image costs no more than a square one.

        Args:
          image: uint8, which is rounded to whole levels again, or float32, which is not rounded.
        """
        size = image.shape[:2]
        resized = self.resized(size)
        top, left = ((whole - crop) // 2 for whole, crop in zip(resized, self.size, strict=True))
        height, width = self.size
        if resized == size:
            return image[top : top + height, left : left + width].copy()
        rows, columns = size[0] / resized[0], size[1] / resized[1]
        box = (
            left * columns,
            top * rows,
            min((left + width) * columns, size[1]),
            min((top + height) * rows, size[0]),
        )
        if image.dtype == np.uint8 and image.shape[2] == 3:
            return _resample(image, self.size, box)
        channels = [_resample(image[..., i], self.size, box) for i in range(image.shape[2])]
        return np.stack(channels, axis=-1)


def _resample(
    image: Num[np.ndarray, "height width *rgb"],
    size: tuple[int, int],
    box: tuple[float, float, float, float],
) -> Num[np.ndarray, "{size[0]} {size[1]} *rgb"]:
    """One RGB picture or one channel; floats by Pillow's mode "F"."""
    picture = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR, box)
    resized = np.array(picture)
    if image.dtype == np.uint8:
        return resized
    # A mean of pixels that weighs none below 0 can leave their range by rounding only.
    return resized.clip(image.min(), image.max())
