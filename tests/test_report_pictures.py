"""Pictures in the page: what is embedded is what the run holds."""

import base64
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from mfvjax.report.colors import facet_color
from mfvjax.report.embed import as_uint8, jpeg_uri, png_uri, thumbnail_sheet, webp_uri
from mfvjax.report.mosaic import mosaic, thumbnail_side


def decode(uri, kind):
    """RGB by OpenCV, which shares no code with Pillow's writers' options."""
    head, _, body = uri.partition(",")
    assert head == f"data:image/{kind};base64"
    image = cv2.imdecode(np.frombuffer(base64.b64decode(body), np.uint8), cv2.IMREAD_UNCHANGED)
    return image[..., [2, 1, 0, 3][: image.shape[2]]]


def photograph(count, size, seed=0):
    """Smooth, as photographs are: ``(count, size, size, 3)`` uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 5, 5, 3), np.uint8)
    return np.stack([cv2.resize(c, (size, size), interpolation=cv2.INTER_CUBIC) for c in coarse])


def test_visualizations_are_kept_exactly():
    image = np.random.default_rng(0).uniform(0, 255, (17, 23, 3)).astype(np.float32)
    np.testing.assert_array_equal(decode(png_uri(image), "png"), np.rint(image))


def test_real_images_stay_close():
    image = photograph(1, 64)[0]
    error = decode(jpeg_uri(image), "jpeg").astype(float) - image
    assert np.sqrt((error**2).mean()) < 4


@pytest.mark.parametrize(("shape", "expected"), [((80, 40), (40, 20)), ((30, 40), (30, 40))])
def test_pictures_are_shrunk_never_enlarged(shape, expected):
    image = np.full((*shape, 3), 90, np.uint8)
    assert decode(jpeg_uri(image, max_side=40), "jpeg").shape[:2] == expected


def test_grey_levels_are_rounded_and_clipped():
    values = np.array([-3, 0.49, 0.51, 254.6, 300, np.nan, np.inf, -np.inf], np.float32)
    image = np.broadcast_to(values[:, None, None], (8, 1, 3))
    np.testing.assert_array_equal(as_uint8(image)[:, 0, 0], [0, 0, 1, 255, 255, 0, 255, 0])


@pytest.mark.parametrize(
    ("count", "size", "cell"), [(1, 48, 48), (7, 50, 48), (30, 200, 96), (1100, 64, 56)]
)
def test_each_thumbnail_is_in_its_cell(count, size, cell):
    thumbnails = photograph(count, size)
    sheet = thumbnail_sheet(thumbnails)
    assert sheet.cell == cell
    picture = decode(sheet.uri, "jpeg").astype(float)
    assert picture.shape == (sheet.rows * cell, sheet.columns * cell, 3)
    for i in {0, 1 % count, count // 2, count - 1}:
        row, column = divmod(i, sheet.columns)
        part = picture[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
        expected = cv2.resize(thumbnails[i], (cell, cell), interpolation=cv2.INTER_AREA)
        assert np.abs(part - expected).mean() < 5


def test_neighbors_on_the_sheet_do_not_mix():
    thumbnails = np.zeros((4, 40, 40, 3), np.uint8)
    thumbnails[0, ..., 0] = thumbnails[3, ..., 2] = 255
    sheet = thumbnail_sheet(thumbnails)
    picture = decode(sheet.uri, "jpeg").astype(int)
    edge = picture[: sheet.cell, sheet.cell - 1], picture[: sheet.cell, sheet.cell]
    assert np.abs(edge[0] - [255, 0, 0]).max() <= 2
    assert np.abs(edge[1]).max() <= 2


def test_the_printed_map_shows_each_image_at_its_place():
    size = 400
    thumbnails = np.zeros((3, 16, 16, 3), np.uint8)
    thumbnails[...] = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250]])[:, None, None]
    points = np.array([[0.25, 0.5], [0.75, 0.125], [1.0, 1.0]])
    picture = mosaic(thumbnails, points, np.array([0, 1, 1]), size=size)
    cell = thumbnail_side(3) * size
    for point, thumbnail in zip(points[:2], thumbnails[:2], strict=True):
        column, row = (point * size).astype(int)
        np.testing.assert_array_equal(picture[row, column], [*thumbnail[0, 0], 255])
        assert not picture[row - int(cell), column].any()
    shown = (picture == [0, 250, 0, 255]).all(-1)
    np.testing.assert_allclose(np.argwhere(shown).mean(0), [50, 300], atol=1)
    np.testing.assert_allclose(shown.sum(), cell**2, rtol=0.08)
    frame = [int(facet_color(1)[i : i + 2], 16) for i in (1, 3, 5)]
    assert (picture[..., :3] == frame).all(-1).any()
    np.testing.assert_array_equal(picture[-1, -1], [0, 0, 250, 255])  # cut off at the edge


def test_later_facets_lie_on_top():
    thumbnails = np.array([[10, 20, 30], [40, 50, 60]], np.uint8)[:, None, None]
    thumbnails = np.broadcast_to(thumbnails, (2, 8, 8, 3))
    points = np.full((2, 2), 0.5)
    picture = mosaic(thumbnails, points, np.array([1, 0]), size=100)
    np.testing.assert_array_equal(picture[50, 50, :3], [10, 20, 30])


def test_opacity_survives():
    image = np.zeros((32, 32, 4), np.uint8)
    image[8:24, 8:24] = [200, 100, 50, 255]
    body = base64.b64decode(webp_uri(image).partition(",")[2])
    decoded = np.asarray(Image.open(io.BytesIO(body)))
    np.testing.assert_array_equal(decoded[..., 3], image[..., 3])
    assert np.abs(decoded[12:20, 12:20].astype(int) - [200, 100, 50, 255]).max() < 12
