"""Images that cannot be read, and pictures that are no images: told of, never lost in silence."""

import io
import logging
import sys
import types

import numpy as np
import pytest
from PIL import Image

from mfvjax.atlas import plan as atlas_plan
from mfvjax.images import (
    ArraySource,
    Decoding,
    TooManyUnreadableError,
    UnreadableImageError,
    iterate_batches,
    open_images,
)
from mfvjax.images.formats import decodes_in_one_pass
from mfvjax.images.own_folders import MARKS
from mfvjax.images.unreadable import SkippedImage, describe, record_unreadable
from mfvjax.store import header


def encoded(size, file_format, mode="RGB", **options):
    """A picture that falls off to the right and down, so that its size does not matter to it."""
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    levels = np.stack([255 * columns / size[0], 255 * rows / size[1], 0 * rows + 90], axis=-1)
    buffer = io.BytesIO()
    picture = Image.fromarray(levels.astype(np.uint8)).convert(mode)
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


class HalfReadable(ArraySource):
    """Every second image, from the first on, is broken; `asked` counts reads."""

    def __init__(self, count):
        super().__init__(np.zeros((count, 4, 4, 3), np.uint8))
        self.asked = 0

    def read(self, index):
        self.asked += 1
        if index % 2 == 0:
            raise UnreadableImageError(self.names[index], "it is broken")
        return super().read(index)


def read_all(source, **options):
    batches = iterate_batches(source, size=(4, 4), batch_size=2, num_workers=1, **options)
    return [image for batch in batches for image in batch.skipped]


def test_too_many_unreadable_images_stop_the_reading_early():
    source = HalfReadable(100)
    message = r"at least 11 of 100 images cannot be read: 0: it is broken; 2: .*; and 8 more\."
    with pytest.raises(TooManyUnreadableError, match=message + ".*max_unreadable=0.1"):
        read_all(source, max_unreadable=0.1)
    assert source.asked < 30
    assert len(read_all(HalfReadable(100), max_unreadable=0.5)) == 50
    with pytest.raises(TooManyUnreadableError, match="at least 1 of 3 images"):
        read_all(HalfReadable(3), max_unreadable=0.3)
    assert len(read_all(HalfReadable(59), max_unreadable=0.51)) == 30
    assert len(read_all(HalfReadable(9))) == 5  # no limit where none is asked for


def test_exactly_the_share_is_allowed_whatever_rounding_does():
    assert 0.07 * 100 > 7
    source = HalfReadable(200)
    assert len(read_all(source, max_unreadable=0.07, indices=[*range(0, 14, 2), *range(1, 186, 2)]))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_the_limit_is_a_share(share):
    with pytest.raises(ValueError, match=r"must be a share in \[0, 1\]"):
        read_all(HalfReadable(4), max_unreadable=share)


def test_how_unreadable_images_are_told_of():
    skipped = [SkippedImage(i, f"{i}.png", "is\nbroken") for i in range(30)]
    assert describe(skipped[:2], 9) == (
        "2 of 9 images cannot be read: 0.png: is broken; 1.png: is broken"
    )
    assert describe(skipped, 90).endswith("2.png: is broken; and 27 more")
    kept = record_unreadable(skipped, 90)
    assert (kept["count"], kept["of"], len(kept["first"])) == (30, 90, 20)


def test_the_marks_are_those_that_are_written():
    assert {header.RUN_JSON: header.FORMAT, atlas_plan.PLAN_JSON: atlas_plan.FORMAT} == MARKS


@pytest.fixture
def pool(tmp_path):
    """Two images, beside a run, an atlas, the output folder and a folder of someone else's."""
    picture = encoded((8, 8), "PNG")
    places = ["one.png", "made/facets/01.png", "made/figures/map.png", "layers/units/a/cover.jpg"]
    for place in [*places, "mfv_runs/left/over.png", "theirs/two.png"]:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(picture)
    (tmp_path / "made" / "run.json").write_text('{\n "format": "mfvjax-run",\n "version"')
    (tmp_path / "layers" / "atlas.json").write_text('{"format": "mfvjax-atlas", "version": 9}')
    (tmp_path / "theirs" / "run.json").write_text('{"kind": "marathon"}')
    return tmp_path


def test_runs_and_atlases_are_no_images(pool, caplog):
    with caplog.at_level(logging.WARNING, logger="mfvjax"):
        source = open_images(pool)
    assert source.names == ["one.png", "theirs/two.png"]
    (told,) = caplog.messages
    assert "left out: 3 folders of runs or atlases" in told
    assert "(layers, made, mfv_runs)" in told


def test_a_run_asked_for_itself_is_none_either_but_its_pictures_are(pool):
    with pytest.raises(ValueError, match=r"holds no image .*, but 1 folder of runs or atlases"):
        open_images(pool / "made")
    assert open_images(pool / "made" / "facets").names == ["01.png"]
    assert open_images(pool / "mfv_runs").names == ["left/over.png"]


def test_files_with_rarer_suffixes_are_seen(tmp_path):
    for name in ("a.jfif", "b.AVIF", "c.heic", "d.heif", "e.txt"):
        (tmp_path / name).write_bytes(encoded((8, 8), "JPEG"))
    assert open_images(tmp_path).names == ["a.jfif", "b.AVIF", "c.heic", "d.heif"]


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_avif_is_read_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Decoding().decode(encoded((40, 24), "AVIF", quality=95, exif=exif), name="a.avif")
    stored = Decoding().decode(encoded((40, 24), "PNG"), name="a.png")
    upright = {1: stored, 3: stored[::-1, ::-1], 6: np.rot90(stored, -1)}[orientation]
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).mean() < 3


def test_avif_that_cannot_be_read_is_called_so(monkeypatch):
    data = encoded((8, 8), "AVIF")
    Image.init()
    monkeypatch.delitem(Image.OPEN, "AVIF")
    with pytest.raises(UnreadableImageError, match=r"it is AVIF, which Pillow reads from .* 11\.3"):
        Decoding().decode(data, name="a.avif")


HEIC = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(40)


def test_heic_that_cannot_be_read_is_called_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableImageError, match="it is HEIC: install pillow-heif"):
        Decoding().decode(HEIC, name="a.heic")


def test_heic_is_read_by_the_plugin_within_the_limit(monkeypatch):
    def read(file, name):
        assert file.read() == HEIC
        return Image.new("RGB", (5, 4), (1, 2, 3))

    plugin = types.SimpleNamespace(HeifImageFile=read)
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    image = Decoding().decode(HEIC, name="a.heic")
    np.testing.assert_array_equal(image, np.full((4, 5, 3), (1, 2, 3)))
    with pytest.raises(UnreadableImageError, match="5 x 4 pixels are more than max_pixels=19"):
        Decoding(max_pixels=19).decode(HEIC, name="a.heic")


@pytest.mark.parametrize(("max_pixels", "side"), [(10815, 2), (2704, 2), (2703, 4), (200, 8)])
@pytest.mark.parametrize("options", [{}, {"orientation": 6}, {"mode": "L"}, {"mode": "CMYK"}])
def test_large_jpegs_are_made_smaller_while_they_are_decoded(max_pixels, side, options):
    options = dict(options)
    exif = Image.Exif()
    exif[0x0112] = options.pop("orientation", 1)
    large = encoded((104, 104), "JPEG", quality=95, exif=exif, **options)
    image = Decoding(max_pixels=max_pixels).decode(large, name="panorama.jpg")
    assert image.shape == (104 // side, 104 // side, 3)
    whole = Image.fromarray(Decoding().decode(large, name="panorama.jpg"))
    expected = np.asarray(whole.resize(image.shape[:2], Image.Resampling.BOX))
    assert np.abs(image.astype(int) - expected).mean() < 4


def test_what_even_an_eighth_is_too_much_of_is_refused():
    large = encoded((100, 100), "JPEG")
    with pytest.raises(UnreadableImageError, match="100 x 100 pixels are more than max_pixels=168"):
        Decoding(max_pixels=168).decode(large, name="panorama.jpg")


def test_jpegs_of_several_passes_are_kept_whole_and_so_limited_further():
    large = encoded((100, 100), "JPEG", progressive=True)
    assert Decoding(max_pixels=2500).decode(large, name="a.jpg").shape == (50, 50, 3)
    with pytest.raises(UnreadableImageError, match="max_pixels=2499, in a JPEG of several passes"):
        Decoding(max_pixels=2499).decode(large, name="a.jpg")


def test_one_pass_is_told_from_several():
    assert decodes_in_one_pass(encoded((9, 9), "JPEG"))
    assert decodes_in_one_pass(encoded((9, 9), "JPEG", mode="L"))
    assert not decodes_in_one_pass(encoded((9, 9), "JPEG", progressive=True))
    plain = encoded((9, 9), "JPEG")
    scan = plain.index(b"\xff\xda")
    by_color = plain[: scan + 4] + b"\x01" + plain[scan + 5 :]  # the first of three scans
    assert not decodes_in_one_pass(by_color)
    for end in range(len(plain)):
        decodes_in_one_pass(plain[:end])  # wherever it stops
