"""Pictures as text: data URIs, and one sheet for all thumbnails of the map.

Real images are embedded as JPEG, visualizations as PNG: their fine structure is what one looks at.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import math

import numpy as np
from jaxtyping import Num, UInt8

from mfvjax.store.pictures import PNG_OPTIONS

JPEG_QUALITY = 90
SHEET_PIXELS = 2048**2  # all thumbnails together: about 1.5 MB of JPEG
CELL_SIDES = (32, 96)


@dataclasses.dataclass(frozen=True)
class Sheet:
    """Thumbnails in rows, in the order of the images.

    Attributes:
      uri: the picture of all, a data URI.
      columns: thumbnails per row.
      rows: of the sheet.
      cell: side of one thumbnail in pixels.
    """

    uri: str
    columns: int
    rows: int
    cell: int


def as_uint8(images: Num[np.ndarray, "*b h w c"]) -> UInt8[np.ndarray, "*b h w c"]:
    """Rounds grey levels and clips them to [0, 255]; what is not a number becomes 0."""
    if images.dtype == np.uint8:
        return images
    return np.clip(np.rint(np.nan_to_num(images, posinf=255, neginf=0)), 0, 255).astype(np.uint8)


def png_uri(image: Num[np.ndarray, "h w 3"]) -> str:
    """``data:image/png;base64,...``, lossless."""
    return _uri(as_uint8(image), "png", **PNG_OPTIONS)


def jpeg_uri(image: Num[np.ndarray, "h w 3"], *, max_side: int | None = None) -> str:
    """``data:image/jpeg;base64,...``, shrunk first until no side is longer than `max_side`."""
    return _uri(_shrink(as_uint8(image), max_side), "jpeg", quality=JPEG_QUALITY, optimize=True)


def jpeg(image: Num[np.ndarray, "h w 3"], *, max_side: int | None = None) -> bytes:
    """A JPEG file, shrunk first until no side is longer than `max_side`."""
    image = _shrink(as_uint8(image), max_side)
    return _encoded(image, "jpeg", quality=JPEG_QUALITY, optimize=True)


def webp_uri(image: UInt8[np.ndarray, "h w 4"]) -> str:
    """``data:image/webp;base64,...``: RGB and opacity in an eighth of a PNG's bytes."""
    return _uri(image, "webp", quality=80, method=2)


def thumbnail_sheet(thumbnails: UInt8[np.ndarray, "n t t 3"]) -> Sheet:
    """Puts square thumbnails on one JPEG.

    The more there are, the smaller: cells of 96 pixels at most and 32 at least, about
    `SHEET_PIXELS` together. Cells are multiples of 8 pixels and colors are not subsampled, so that
    no JPEG block holds two images.
    """
    count = len(thumbnails)
    side = min(math.isqrt(SHEET_PIXELS // count), thumbnails.shape[1], CELL_SIDES[1])
    cell = max(side, CELL_SIDES[0]) // 8 * 8
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.zeros((rows * cell, columns * cell, 3), np.uint8)
    for i, thumbnail in enumerate(thumbnails):
        row, column = divmod(i, columns)
        place = np.s_[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
        sheet[place] = resize(thumbnail, (cell, cell))
    uri = _uri(sheet, "jpeg", quality=JPEG_QUALITY, subsampling=0, optimize=True)
    return Sheet(uri, columns, rows, cell)


def _shrink(image: UInt8[np.ndarray, "h w 3"], max_side: int | None) -> UInt8[np.ndarray, "_ _ 3"]:
    height, width = image.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return image
    scale = max_side / max(height, width)
    return resize(image, (max(round(height * scale), 1), max(round(width * scale), 1)))


def resize(image: UInt8[np.ndarray, "h w c"], size: tuple[int, int]) -> UInt8[np.ndarray, "_ _ c"]:
    """The image at another ``(height, width)``, by Pillow's Lanczos filter."""
    from PIL import Image

    if image.shape[:2] == size:
        return image
    resized = Image.fromarray(image).resize(size[::-1], Image.Resampling.LANCZOS)
    return np.asarray(resized)


def _uri(image: UInt8[np.ndarray, "h w c"], kind: str, **options: object) -> str:
    data = _encoded(image, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _encoded(image: UInt8[np.ndarray, "h w c"], kind: str, **options: object) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    try:
        Image.fromarray(image).save(buffer, format=kind, **options)
    except OSError:  # Pillow cannot optimize a JPEG of more than a byte per pixel: noise
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format=kind, **{**options, "optimize": False})
    return buffer.getvalue()
