"""PNG files: bytes of a picture and back."""

from __future__ import annotations

import io
import zlib

import numpy as np
from jaxtyping import Real, UInt8

PNG_OPTIONS = {"compress_type": zlib.Z_RLE}
"""How lossless pictures are packed: visualizations in a fifth of the time that Pillow's default
takes, and smaller: 4.4 ms and 78 kB against 20 ms and 82 kB, at 272 pixels. Photographs are 3 %
larger.
"""


def png(image: Real[np.ndarray, "h w 3"]) -> bytes:
    """The picture of an image, its grey levels rounded to [0, 255]; what is not finite is black."""
    from PIL import Image

    levels = np.rint(np.nan_to_num(image, nan=0, posinf=0, neginf=0).clip(0, 255)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, format="PNG", **PNG_OPTIONS)
    return buffer.getvalue()


def read_png(data: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of an RGB picture.

    Raises:
      ValueError: the bytes are not a PNG of that kind.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            mode, pixels = image.mode, np.array(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"not a PNG picture: {error}") from error
    if mode != "RGB":
        raise ValueError(f"a picture of mode {mode}, not RGB")
    return pixels
