"""Every color mode comes out right, and every broken file ends in one error that names it."""

import io
import struct
import warnings
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from mfvjax.images import Decoding, UnreadableImageError
from mfvjax.images.formats import FORMATS

HEIGHT, WIDTH = 24, 40


def smooth_picture() -> np.ndarray:
    """Smooth in every channel, so that JPEG keeps it, and asymmetric in every way."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    channels = [rows * 9 + 20, columns * 5 + 30, 255 - rows * 4 - columns * 3]
    return np.stack(channels, axis=-1).astype(np.uint8)


def encode(picture: Image.Image, file_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def decode(encoded: bytes, **options) -> np.ndarray:
    return Decoding(**options).decode(encoded, name="some.file")


def largest_difference(image: np.ndarray, expected: np.ndarray) -> int:
    assert image.shape == expected.shape
    return int(np.abs(image.astype(int) - expected.astype(int)).max())


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_rgb_is_exact(file_format):
    options = {"lossless": True} if file_format == "WEBP" else {}
    encoded = encode(Image.fromarray(smooth_picture()), file_format, **options)
    assert np.array_equal(decode(encoded), smooth_picture())


def test_jpeg_equals_opencv():
    encoded = encode(Image.fromarray(smooth_picture()), "JPEG", quality=95)
    expected = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert largest_difference(decode(encoded), expected) <= 1


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "TIFF", "PPM"])
def test_grey_has_three_equal_channels(file_format):
    levels = smooth_picture()[..., 0]
    image = decode(encode(Image.fromarray(levels), file_format))
    assert largest_difference(image, np.repeat(levels[..., None], 3, axis=-1)) <= (
        2 if file_format == "JPEG" else 0
    )


def test_one_bit_is_black_and_white():
    bits = smooth_picture()[..., 0] > 100
    image = decode(encode(Image.fromarray(bits), "PNG"))
    assert np.array_equal(image, np.repeat(bits[..., None] * np.uint8(255), 3, axis=-1))


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_not_clipped(file_format):
    wide = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    image = decode(encode(Image.fromarray(wide), file_format))
    expected = np.rint(wide / 65535 * 255).astype(np.uint8)
    assert np.array_equal(image, np.repeat(expected[..., None], 3, axis=-1))
    assert (image.min(), image.max()) == (0, 255)


def test_16_bit_color_keeps_the_upper_byte():
    wide = smooth_picture().astype(np.uint16) * 256 + 17
    encoded = cv2.imencode(".png", wide[..., ::-1])[1].tobytes()
    assert np.array_equal(decode(encoded), smooth_picture())


@pytest.mark.parametrize("background", [(255, 255, 255), (0, 0, 0), (10, 200, 60)])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_the_background(mode, background):
    alpha = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    colors = smooth_picture() if mode == "RGBA" else smooth_picture()[..., :1]
    encoded = encode(Image.fromarray(np.dstack([colors, alpha])), "PNG")
    share = alpha[..., None] / 255.0
    expected = np.rint(colors * share + np.array(background) * (1 - share))
    # One level: Pillow rounds the two products on their own.
    assert largest_difference(decode(encoded, background=background), expected) <= 1


@pytest.mark.parametrize(("file_format", "transparent"), [("GIF", 3), ("PNG", 3), ("PNG", b"")])
def test_palette_with_transparency(file_format, transparent):
    """A transparent index, as GIF has it, and an alpha value for every color, as PNG has it."""
    indices = (np.mgrid[0:HEIGHT, 0:WIDTH].sum(axis=0) % 8).astype(np.uint8)
    palette = np.arange(24, dtype=np.uint8).reshape(8, 3) * 10
    picture = Image.fromarray(indices).convert("P")
    picture.putpalette(palette.tobytes())
    if transparent == b"":
        transparent = bytes([255, 255, 255, 0, 255, 255, 255, 255])
    encoded = encode(picture, file_format, transparency=transparent)
    expected = palette[indices]
    expected[indices == 3] = (1, 2, 3)
    assert np.array_equal(decode(encoded, background=(1, 2, 3)), expected)


def test_palette_without_transparency():
    picture = Image.fromarray(smooth_picture()).quantize(256)
    expected = np.asarray(picture.convert("RGB"))
    assert np.array_equal(decode(encode(picture, "PNG")), expected)


def test_transparent_color_of_an_rgb_png():
    image = smooth_picture()
    encoded = encode(Image.fromarray(image), "PNG", transparency=tuple(map(int, image[5, 7])))
    expected = image.copy()
    expected[(image == image[5, 7]).all(axis=-1)] = (0, 0, 0)
    assert not np.array_equal(expected, image)
    assert np.array_equal(decode(encoded, background=(0, 0, 0)), expected)


def cmyk_picture() -> np.ndarray:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    inks = [rows * 6, columns * 4, 255 - rows * 5, columns * 2 + 10]
    return np.stack(inks, axis=-1).astype(np.uint8)


def cmyk_image(inks: np.ndarray) -> Image.Image:
    return Image.frombytes("CMYK", inks.shape[1::-1], inks.tobytes())


def rgb_of_inks(inks: np.ndarray) -> np.ndarray:
    shares = inks.astype(np.float64) / 255
    return np.rint(255 * (1 - shares[..., :3]) * (1 - shares[..., 3:]))


def test_cmyk_tiff():
    encoded = encode(cmyk_image(cmyk_picture()), "TIFF")
    assert largest_difference(decode(encoded), rgb_of_inks(cmyk_picture())) <= 1


def test_cmyk_jpeg_with_the_inversion_that_adobe_marks():
    encoded = encode(cmyk_image(cmyk_picture()), "JPEG", quality=100, subsampling=0)
    assert b"Adobe" in encoded
    # Quality 100 still rounds each ink, and the conversion multiplies two of them.
    assert largest_difference(decode(encoded), rgb_of_inks(cmyk_picture())) <= 4
    by_opencv = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert largest_difference(decode(encoded), by_opencv) <= 4


def test_cmyk_jpeg_without_adobes_marker_is_not_inverted():
    # Pillow writes the inverse of what it is given; inverted here, the file holds plain inks.
    picture = cmyk_image(255 - cmyk_picture())
    encoded = encode(picture, "JPEG", quality=100, subsampling=0)
    start = encoded.index(b"\xff\xee")
    length = struct.unpack(">H", encoded[start + 2 : start + 4])[0]
    plain = encoded[:start] + encoded[start + 2 + length :]
    assert largest_difference(decode(plain), rgb_of_inks(cmyk_picture())) <= 4


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(file_format, orientation):
    """The stored corner pixels must land where the EXIF standard says they belong."""
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(
        file_format, {}
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoded = encode(Image.fromarray(smooth_picture()), file_format, exif=exif, **options)
    stored = smooth_picture()
    # "The 0th row is at the visual ..., the 0th column at the visual ...", TIFF 6.0, page 36.
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.swapaxes(0, 1),
        6: np.rot90(stored, -1),
        7: stored.swapaxes(0, 1)[::-1, ::-1],
        8: np.rot90(stored, 1),
    }[orientation]
    assert largest_difference(decode(encoded), upright) <= (4 if file_format == "JPEG" else 0)
    if file_format == "JPEG":
        by_opencv = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert largest_difference(decode(encoded), by_opencv) <= 1


def test_broken_exif_leaves_the_pixels():
    encoded = encode(Image.fromarray(smooth_picture()), "JPEG", exif=b"Exif\x00\x00nonsense")
    plain = encode(Image.fromarray(smooth_picture()), "JPEG")
    assert np.array_equal(decode(encoded), decode(plain))


@pytest.mark.parametrize("file_format", ["GIF", "MPO", "TIFF", "WEBP"])
def test_first_of_several_pictures(file_format):
    """Animations, pages, and the files of phones that hold a second picture (MPO)."""
    frames = [Image.fromarray(np.full((8, 9, 3), level, np.uint8)) for level in (50, 200)]
    options = {"lossless": True} if file_format == "WEBP" else {}
    encoded = encode(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    assert (decode(encoded) == 50).all()


def test_the_formats_named_are_the_formats_read():
    assert set(FORMATS) <= set(Image.OPEN)


def giant_png(width: int, height: int) -> bytes:
    """A few hundred bytes that announce a giant image."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


GOOD_JPEG = encode(Image.fromarray(smooth_picture()), "JPEG")
GOOD_PNG = encode(Image.fromarray(smooth_picture()), "PNG")


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (b"", "the file is empty"),
        (b"<html>not found</html>", "it is none of JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is none of JPEG, PNG"),
        (GOOD_JPEG[:20], "."),
        (GOOD_JPEG[: len(GOOD_JPEG) // 2], "Truncated"),
        (GOOD_JPEG[:-100], "truncated"),
        (GOOD_PNG[: len(GOOD_PNG) // 2], "truncated"),
        (giant_png(30_000, 30_000), "30000 x 30000 pixels are more than max_pixels=50000000"),
        (giant_png(9_000, 9_000), "9000 x 9000 pixels are more than max_pixels=50000000"),
        (encode(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "floats of unknown range"),
        (encode(Image.fromarray(np.full((4, 4), 70_000, np.int32)), "TIFF"), "exceed 16 bits"),
    ],
)
def test_unreadable_files_are_named(encoded, reason):
    with pytest.raises(UnreadableImageError, match=reason) as caught:
        decode(encoded)
    assert caught.value.name == "some.file"
    assert "'some.file' cannot be read" in str(caught.value)


def test_the_limit_is_the_calls_and_pillows_own_state_plays_no_role(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert decode(GOOD_PNG, max_pixels=HEIGHT * WIDTH).shape == (HEIGHT, WIDTH, 3)
        with pytest.raises(UnreadableImageError, match=f"max_pixels={HEIGHT * WIDTH - 1}"):
            decode(GOOD_PNG, max_pixels=HEIGHT * WIDTH - 1)
    assert not caught
    assert Image.MAX_IMAGE_PIXELS == 10
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


GOOD_FILES = [GOOD_JPEG, GOOD_PNG] + [
    encode(Image.fromarray(smooth_picture()), file_format)
    for file_format in ("TIFF", "WEBP", "GIF", "BMP", "PPM", "AVIF")
]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(GOOD_FILES),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6),
    st.floats(0.01, 1.0),
)
def test_damaged_files_decode_or_are_named(encoded, changes, keep):
    """Any damage gives an image or the one error, never another exception."""
    damaged = bytearray(encoded)
    for place, value in changes:
        damaged[int(place * len(damaged))] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow tells of odd metadata
        try:
            image = decode(bytes(damaged[: int(keep * len(damaged))]), max_pixels=10**6)
        except UnreadableImageError:
            return
    assert image.dtype == np.uint8
    assert image.shape[-1] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_pixels": 0}, "max_pixels must be at least 1, not 0"),
        ({"background": (0, 0, 256)}, r"three levels in 0 to 255, not \(0, 0, 256\)"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        Decoding(**options)
