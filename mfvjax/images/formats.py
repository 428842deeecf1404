"""Which format some bytes are of, and Pillow's reader of it, that has not decoded them yet.

Only common formats are tried; some of Pillow's other readers start programs. Pillow's global list
of readers is left as it is.
"""

from __future__ import annotations

import io

from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""Read by Pillow itself, AVIF from its version 11.3 on; HEIC is read where pillow-heif is there."""

_AVIF = {b"avif", b"avis"}
_LONGEST_BRANDS = 256  # bytes; honest files have a few brands
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
# Markers of JPEG: the frames that one pass decodes, all frames, and the start of the first scan.
_SEQUENTIAL_FRAMES = {0xC0, 0xC1}
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_SCAN = 0xDA


def open_picture(encoded: bytes) -> Image.Image:
    """Like ``Image.open``, whose own size check obeys a global and cannot be set per call.

    Raises:
      ValueError: there are no bytes, or they are of no format that can be read here.
      Exception: of open-ended kinds, where the bytes are damaged.
    """
    if not encoded:
        raise ValueError("the file is empty")
    brands = _brands(encoded)
    if brands & _HEIC:
        return _open_heic(encoded)
    Image.init()
    for file_format in ("AVIF",) if brands & _AVIF else FORMATS:
        factory, accepts = Image.OPEN.get(file_format, (None, None))
        if factory is not None and accepts is not None and accepts(encoded[:16]) is True:
            return factory(io.BytesIO(encoded), "")
    if brands & _AVIF:
        raise ValueError("it is AVIF, which Pillow reads from version 11.3 on")
    raise ValueError(f"it is none of {', '.join(FORMATS)}, HEIC")


def _open_heic(encoded: bytes) -> Image.Image:
    try:
        from pillow_heif import HeifImageFile
    except ModuleNotFoundError:
        raise ValueError("it is HEIC: install pillow-heif to have it read") from None
    return HeifImageFile(io.BytesIO(encoded), "")


def _brands(encoded: bytes) -> set[bytes]:
    """What a file of ISO's base media format says that it is; nothing of any other file."""
    if encoded[4:8] != b"ftyp":
        return set()
    box = encoded[8 : min(int.from_bytes(encoded[:4], "big"), _LONGEST_BRANDS)]
    return {box[start : start + 4] for start in (0, *range(8, len(box), 4))}


def decodes_in_one_pass(jpeg: bytes) -> bool:
    """Whether a decoder can forget each row of blocks: else it keeps the whole picture's.

    It must where a picture is sent in several scans, coarse to fine or color by color.
    """
    place, components, is_sequential = 2, 0, False
    while place + 9 < len(jpeg) and jpeg[place] == 0xFF:
        marker = jpeg[place + 1]
        if marker == _SCAN:
            return is_sequential and jpeg[place + 4] == components
        if marker == 0xFF:  # fills up
            place += 1
            continue
        if marker in _FRAMES:
            is_sequential, components = marker in _SEQUENTIAL_FRAMES, jpeg[place + 9]
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    return False
