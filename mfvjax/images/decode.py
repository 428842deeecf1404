"""From the bytes of an image file to levels of RGB or grey, whatever the file's color mode.

Files come from anywhere, so every way in which one can be broken ends in one error naming it.
Nothing here reads or changes Pillow's global settings: the pixel limit belongs to the call.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Num, UInt8
from PIL import Image, ImageChops

from mfvjax.domain import Domain
from mfvjax.images.formats import decodes_in_one_pass, open_picture
from mfvjax.images.unreadable import UnreadableImageError

MAX_PIXELS = 50_000_000
"""Of an image as it is decoded, unless another limit is given; as RGB it takes 150 MB."""

_SCALES = (2, 4, 8)  # that JPEG pictures can be made smaller by while they are decoded
# Where a JPEG comes in several passes, its coefficients are all kept, at up to twice the bytes of
# its pixels.
_MOST_IN_PASSES = 4
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How encoded images become RGB.

    Grey and palette images are expanded; transparent ones are laid over `background`; 16-bit grey
    is scaled to eight bits by 255/65535 and rounded (16-bit color keeps the upper byte, as Pillow
    does); CMYK is converted without a color profile, with the inversion that Adobe's marker asks
    for; EXIF orientation is applied; of an animation the first frame is taken. Color profiles are
    ignored, as Caffe's and most training pipelines do.

    Attributes:
      max_pixels: larger images are refused before they are decoded; JPEG pictures are made
        smaller while they are, by 2, 4 or 8 in height and width, the least that suffices.
      background: RGB, 0 to 255, behind transparent pixels.

    Raises:
      ValueError: `max_pixels` is below 1, or `background` is not three levels in 0 to 255.
    """

    max_pixels: int = MAX_PIXELS
    background: tuple[int, int, int] = (255, 255, 255)

    def __post_init__(self) -> None:
        if self.max_pixels < 1:
            raise ValueError(f"max_pixels must be at least 1, not {self.max_pixels}")
        if len(self.background) != 3 or not all(0 <= level <= 255 for level in self.background):
            raise ValueError(f"background must be three levels in 0 to 255, not {self.background}")

    @property
    def max_bytes(self) -> int:
        """Encoded images above this are refused: no format needs eight bytes a pixel."""
        return 8 * self.max_pixels + 2**20

    def decode(self, encoded: bytes, *, name: str) -> UInt8[np.ndarray, "height width 3"]:
        """Decodes one image file.

        Args:
          encoded: the whole file, in one of `mfvjax.images.formats.FORMATS` or HEIC; its name's
            suffix plays no role.
          name: for the error message.

        Raises:
          UnreadableImageError: the file is empty, of another format, broken, truncated, has more
            than `max_pixels`, or pixels whose range is unknown.
        """
        try:
            picture = open_picture(encoded)
            self._limit(picture, encoded)
            picture.load()
            return np.array(_set_upright(picture, self._to_rgb(picture)))
        # Broken files make Pillow raise nearly anything, from SyntaxError to MemoryError.
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise UnreadableImageError(name, reason) from error

    def _limit(self, picture: Image.Image, encoded: bytes) -> None:
        """Has a large JPEG decoded smaller; raises ``ValueError`` where that is not possible."""
        width, height = picture.size
        pixels, why = width * height, ""
        if pixels <= self.max_pixels:
            return
        if picture.format in ("JPEG", "MPO"):
            if pixels <= _MOST_IN_PASSES * self.max_pixels or decodes_in_one_pass(encoded):
                for scale in _SCALES:
                    if -(-width // scale) * -(-height // scale) <= self.max_pixels:
                        size = max(1, width // scale), max(1, height // scale)
                        picture.draft(None, size)  # type: ignore[attr-defined]
                        return
            else:
                why = ", in a JPEG of several passes"
        raise ValueError(
            f"{width} x {height} pixels are more than max_pixels={self.max_pixels}{why}"
        )

    def _to_rgb(self, picture: Image.Image) -> Image.Image:
        if picture.mode in _WIDE_MODES:
            return Image.fromarray(_scale_16_bits(np.asarray(picture))).convert("RGB")
        if picture.mode == "F":
            raise ValueError("its pixels are floats of unknown range; save it with 8 or 16 bits")
        if picture.mode == "CMYK" and picture.format == "JPEG" and "adobe" not in picture.info:
            # Pillow takes every CMYK JPEG for inverted; without Adobe's marker it is not.
            picture = ImageChops.invert(picture)
        if picture.has_transparency_data:
            ground = Image.new("RGBA", picture.size, (*self.background, 255))
            picture = Image.alpha_composite(ground, picture.convert("RGBA"))
        return picture.convert("RGB")


def _scale_16_bits(levels: np.ndarray) -> UInt8[np.ndarray, "height width"]:
    levels = levels.astype(np.int64)
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError("its pixels exceed 16 bits and their range is unknown")
    return ((levels + 128) // 257).astype(np.uint8)


def _set_upright(picture: Image.Image, rgb: Image.Image) -> Image.Image:
    """Turns `rgb` as the EXIF data of `picture` say; pixels with unreadable EXIF data stay."""
    try:
        orientation = picture.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # what Pillow raises on broken EXIF is open-ended; the pixels are fine
        return rgb
    return rgb.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else rgb


def from_rgb(
    picture: UInt8[np.ndarray, "height width 3"], domain: Domain
) -> Num[np.ndarray, "height width {domain.channels}"]:
    """A decoded picture as an image of `domain`: black becomes its lowest value, white its highest.

    Grey is the luma of ITU-R BT.601, as Pillow's mode "L"; grey pictures keep their levels.

    Raises:
      ValueError: the domain is of no pictures.
    """
    check_pictures(domain)
    if domain.is_color:
        return domain.from_levels(picture)
    return domain.from_levels(np.array(Image.fromarray(picture).convert("L"))[..., None])


def check_pictures(domain: Domain) -> None:
    """Refuses a domain whose images no picture file can hold.

    Raises:
      ValueError: it is neither of RGB nor of grey images.
    """
    if not domain.is_picture:
        raise ValueError(
            f"files hold RGB or grey pictures, and images here are {domain}: give them as one "
            f"array (images, height, width, {domain.channels}), or as a .npy file that holds it"
        )
