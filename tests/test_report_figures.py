"""Figures for papers: what stands where, and in which file."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from mfvjax.report import facets_strip, map_figure, progress_figure, write_figures
from mfvjax.report.layout import ring
from tests.report_runs import flat_run
from tests.run_example import example_run

FIGURES = [facets_strip, map_figure, progress_figure]
COLORS = [  # the visualization, the mean image and two real images of each facet
    [[200, 30, 30], [120, 60, 60], [90, 0, 0], [60, 0, 0]],
    [[30, 200, 30], [60, 120, 60], [0, 90, 0], [0, 60, 0]],
    [[30, 30, 200], [60, 60, 120], [0, 0, 90], [0, 0, 60]],
]


@pytest.fixture(scope="module")
def flat():
    return flat_run(COLORS)


def picture(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def places(pixels, color):
    """Rows and columns, middle and number of the pixels of a color."""
    found = np.argwhere((np.abs(pixels - color) <= 1).all(-1))
    assert len(found), f"{color} is not in the figure"
    return found.mean(0), len(found)


def test_the_strip_has_a_column_for_each_facet(flat, tmp_path):
    pixels = picture(facets_strip(flat, tmp_path / "strip.png", num_real=2))
    middles = np.array([[places(pixels, color)[0] for color in facet] for facet in COLORS])
    assert np.ptp(middles[:, 1:, 1], axis=1).max() < 3  # a facet's pictures are in one column,
    assert (np.diff(middles[:, :, 1], axis=0) > 100).all()  # facets from left to right,
    assert np.ptp(middles[:, 1:, 0], axis=0).max() < 3  # its kinds in rows
    assert (np.diff(middles[:, :, 0], axis=1) > 100).all()  # from top to bottom.


def test_the_strip_shows_as_many_real_images_as_asked(flat, tmp_path):
    pixels = picture(facets_strip(flat, tmp_path / "strip.png", num_real=1))
    assert places(pixels, COLORS[0][2])[1] > 10_000
    assert not (np.abs(pixels - COLORS[0][3]) <= 1).all(-1).any()


def test_many_facets_continue_below(tmp_path):
    one, two = (
        picture(facets_strip(example_run(k, 200, 16), tmp_path / f"{k}.png", num_real=1)).shape
        for k in (10, 12)
    )
    assert one[1] == two[1] == 2250  # 7.5 inches of 300 pixels
    assert two[0] == pytest.approx(2 * one[0], abs=2)


def test_facets_stand_around_the_map(flat, tmp_path):
    pixels = picture(map_figure(flat, tmp_path / "map.png", num_real=0))
    height, width = pixels.shape[:2]
    sides = []
    for facet in COLORS:
        (_, column), count = places(pixels, facet[0])
        assert count > 30_000
        sides.append(column < width / 2)
        assert column < 0.25 * width or column > 0.75 * width
    assert sorted(sides) in ([False, False, True], [False, True, True])
    around = ring(np.full((3, 2), 0.5))
    assert width / height == pytest.approx(around.size[0] / around.size[1], rel=0.03)


def test_the_map_holds_the_thumbnails(tmp_path):
    run = flat_run(COLORS)
    thumbnails = np.zeros_like(run.real.thumbnails)
    thumbnails[...] = [250, 240, 10]
    real = dataclasses.replace(run.real, thumbnails=thumbnails)
    pixels = picture(
        map_figure(dataclasses.replace(run, real=real), tmp_path / "m.png", num_real=0)
    )
    (row, column), count = places(pixels, [250, 240, 10])
    height, width = pixels.shape[:2]
    assert count > 10_000
    assert abs(column - width / 2) < 0.15 * width
    assert abs(row - height / 2) < 0.3 * height


def test_rows_below_the_map_hold_the_real_images(flat, tmp_path):
    pixels = picture(map_figure(flat, tmp_path / "map.png"))
    for kind in (1, 2, 3):
        middles = np.array([places(pixels, facet[kind])[0] for facet in COLORS])
        assert np.ptp(middles[:, 1]) < 3
        assert (np.diff(middles[:, 0]) > 50).all()


def test_progress_has_a_row_for_each_facet_and_a_column_for_each_phase(flat, tmp_path):
    shades = [np.array(COLORS)[:, 0] - 10 * phase for phase in range(3)]
    images = tuple(
        np.broadcast_to(shade[:, None, None], (3, 20 + phase, 20 + phase, 3)).astype(np.float32)
        for phase, shade in enumerate(shades)
    )
    run = dataclasses.replace(flat, shown=dataclasses.replace(flat.shown, phase_images=images))
    pixels = picture(progress_figure(run, tmp_path / "progress.png"))
    middles = np.array([[places(pixels, color)[0] for color in shade] for shade in shades])
    assert np.ptp(middles[..., 1], axis=1).max() < 3
    assert np.ptp(middles[..., 0], axis=0).max() < 3
    assert (np.diff(middles[..., 1], axis=0) > 50).all()
    assert (np.diff(middles[..., 0], axis=1) > 50).all()


@pytest.mark.parametrize("draw", FIGURES)
def test_the_same_run_gives_the_same_bytes(draw, flat, tmp_path):
    paths = [draw(flat, tmp_path / name) for name in ("a.pdf", "b.pdf")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_all_figures_are_written_as_png_and_pdf(tmp_path):
    """With awkward names, an early stop, and a facet of few images."""
    paths = write_figures(example_run(3, 30, 24), tmp_path / "new" / "figures")
    assert sorted(path.name for path in paths) == [
        "facets.pdf", "facets.png", "map.pdf", "map.png", "progress.pdf", "progress.png",
    ]  # fmt: skip
    for path in paths:
        content = path.read_bytes()
        if path.suffix == ".pdf":
            assert content.startswith(b"%PDF-1.4")
            assert b"/CIDFontType2" in content  # TrueType outlines, that is Type 42,
            assert b"/Type3" not in content  # which journals accept; these they do not
        else:
            assert content.startswith(b"\x89PNG")


@pytest.mark.parametrize("draw", FIGURES)
def test_other_formats_are_refused(draw, flat, tmp_path):
    with pytest.raises(ValueError, match=r"written as \.pdf or \.png, not 'figure\.gif'"):
        draw(flat, tmp_path / "figure.gif")


@pytest.mark.parametrize("draw", [facets_strip, map_figure])
def test_a_negative_number_of_real_images_is_refused(draw, flat, tmp_path):
    with pytest.raises(ValueError, match="num_real must be at least 0, got -1"):
        draw(flat, tmp_path / "figure.png", num_real=-1)
