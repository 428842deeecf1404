"""The main job and an atlas, from arrays to pages, for images that are no photographs."""

import dataclasses
import pathlib

import numpy as np
import pytest

import mfvjax
from mfvjax.atlas.cover import COVER_PX, write_cover
from mfvjax.atlas.index import _columns, _entry
from mfvjax.cli._output import print_run
from mfvjax.cli.info import _summary, describe
from mfvjax.domain import RGB
from mfvjax.images import open_images
from mfvjax.report.looks import pictured
from mfvjax.store import load_run, read_header, save_run
from mfvjax.store.pictures import look
from tests.domain_networks import BANDS, DIGITS, SIZE, SOUNDS, small_network, two_kinds
from tests.domain_runs import domain_run
from tests.report_runs import Page
from tests.test_store import assert_same

JOB = {"num_facets": 2, "step_fraction": 0.05}


def test_a_run_of_sounds(tmp_path):
    network = small_network(SOUNDS, size=(16, 20))
    images = two_kinds(SOUNDS, 10, size=(16, 20))
    run = mfvjax.run_unit(network, images[..., 0], unit="classes:0", num_mean_images=5, **JOB)
    assert run.domain == SOUNDS
    assert run.shown.images.shape[3] == 1
    nearest = run.facets.nearest_images
    np.testing.assert_allclose(run.facets.mean_images, nearest.mean(1), atol=1e-4)
    assert not [name for name in run.scores if "color" in name]
    assert 0 <= run.summary["image_diversity"] <= 100
    save_run(run, tmp_path / "run")
    again = load_run(tmp_path / "run")
    assert_same(again.shown, run.shown)
    assert_same(again.facets, run.facets)
    mfvjax.write_page(again, tmp_path / "page.html")
    assert "time →" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_an_atlas_of_digits(tmp_path):
    network = small_network(DIGITS, size=(16, 16))
    source = open_images(two_kinds(DIGITS, 10, size=(16, 16)), domain=DIGITS)
    units = ["classes:0", "classes:1"]
    options = {"num_mean_images": 5, "top_count": 18, "writers": 0}
    out = tmp_path / "atlas"
    atlas = mfvjax.build_atlas(network, source, units=units, out=out, **JOB, **options)
    assert atlas.missing == ()
    for folder in sorted((out / "units").iterdir()):
        run = load_run(folder)
        assert run.domain == DIGITS
        # Of 8-bit images their pictures would be the record.
        assert {images.dtype for images in run.shown.phase_images} == {np.dtype(np.float32)}
        assert (folder / "cover.jpg").exists()
    text = Page(atlas.index.read_text(encoding="utf-8")).text
    assert "Image diversity" in text
    assert "Color distance" not in text


def test_the_gallery_reads_what_images_are(tmp_path):
    save_run(domain_run(DIGITS), tmp_path / "run")
    entry = _entry("fc8:1", "run", read_header(tmp_path / "run"))
    about = {c["score"]: c["about"] for c in _columns([entry]) if "score" in c}
    assert about["image_diversity"].unit == "%"
    assert "color_distance" not in about
    save_run(domain_run(RGB), tmp_path / "rgb")
    entry = _entry("fc8:1", "rgb", read_header(tmp_path / "rgb"))
    about = {c["score"]: c["about"] for c in _columns([entry]) if "score" in c}
    assert about["image_diversity"].unit == "ΔE"
    assert "color_distance" in about


@pytest.mark.parametrize("domain", [DIGITS, SOUNDS, BANDS], ids=str)
def test_covers_show_the_whole_image(domain, tmp_path):
    from PIL import Image

    run = domain_run(domain)
    write_cover(run, tmp_path)
    with Image.open(tmp_path / "cover.jpg") as cover:
        pixels = np.asarray(cover.convert("RGB")).astype(int)
    assert max(pixels.shape[:2]) == COVER_PX
    assert domain.is_picture or pixels.shape[:2] == (COVER_PX, COVER_PX)
    shown = pictured(run).shown.images[0]
    # Corners are corners: nothing is cut off.
    for row in (0, -1):
        for column in (0, -1):
            assert np.abs(pixels[row, column] - shown[row, column]).max() < 40


def test_a_table_without_colors(capsys):
    for domain in (RGB, SOUNDS):
        print_run(domain_run(domain), pathlib.Path("run"), as_json=False, quiet=False)
    rgb, sounds = capsys.readouterr().out.split("Open ")[:2]
    assert "color distance" in rgb
    assert "color" not in sounds
    assert "recalled by own code" in " ".join(sounds.split())


def test_networks_say_what_they_take():
    assert "input 8x10 spectrogram of 1 channel in [-80, 0], mean" in _summary(
        describe(small_network(SOUNDS))
    )
    assert "input 8x10 RGB, mean" in _summary(describe(small_network(RGB)))


def test_an_array_file_can_be_replayed(tmp_path):
    """Images by the name of a file: what a run of sounds needs to be done again."""
    network = small_network(SOUNDS, size=(16, 20))
    np.save(tmp_path / "sounds.npy", two_kinds(SOUNDS, 10, size=(16, 20)))
    path = str(tmp_path / "sounds.npy")
    run = mfvjax.run_unit(network, path, unit="classes:0", num_mean_images=5, **JOB)
    assert run.options["images"] == path
    again = mfvjax.pipeline.replay(run, network=network)
    assert mfvjax.pipeline.largest_difference(run, again) == 0


def test_looks_do_not_change_the_run():
    run = domain_run(SOUNDS, size=SIZE)
    before = dataclasses.replace(run.facets, mean_images=run.facets.mean_images.copy())
    look(run.facets.mean_images, SOUNDS)
    pictured(run)
    assert_same(run.facets, before)
