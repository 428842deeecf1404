"""The page and the figures of images that are no photographs."""

import base64
import dataclasses
import functools
import io
import re
import tempfile

import numpy as np
import pytest
from PIL import Image

from mfvjax.domain import GREY, RGB, Domain
from mfvjax.metrics import METRICS, metric
from mfvjax.report import facets_strip, map_figure, progress_figure, render_page
from mfvjax.report.looks import LARGE, legend, pictured
from mfvjax.store.pictures import look
from tests.domain_networks import BANDS, DIGITS, DOMAINS, SOUNDS, STEREO
from tests.domain_runs import domain_run
from tests.report_runs import Page

OTHERS = [GREY, DIGITS, SOUNDS, STEREO, BANDS]
EVERY = pytest.mark.parametrize("domain", [RGB, *OTHERS, Domain(3, 0, 1, "rgb")], ids=str)


@functools.cache
def page_of(domain):
    return Page(render_page(domain_run(domain)))


def pixels(uri):
    data = base64.b64decode(uri.partition(",")[2])
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def test_photographs_stay_as_they_are():
    run = domain_run(RGB)
    assert pictured(run) is run
    assert legend(RGB) is None


@EVERY
def test_every_image_becomes_a_picture(domain):
    run = domain_run(domain)
    shown = pictured(run)
    assert pictured(shown) is shown
    assert shown.domain == RGB
    means = look(run.facets.mean_images, domain)
    factor = shown.facets.mean_images.shape[1] // means.shape[1]
    rounding = 0.5 if domain == RGB else 0
    found = shown.facets.mean_images[:, ::factor, ::factor]
    np.testing.assert_allclose(found, means, rtol=0, atol=rounding)
    if not domain.is_color:
        assert min(shown.facets.mean_images.shape[1:3]) >= LARGE
    assert len(shown.shown.phase_images) == len(run.shown.phase_images)
    names = [field.name for field in dataclasses.fields(run)]
    for name in set(names) - {"real", "facets", "shown", "domain"}:
        assert getattr(shown, name) is getattr(run, name)


def test_large_grey_pictures_are_not_enlarged():
    shown = pictured(domain_run(GREY, size=(200, 210)))
    assert shown.facets.mean_images.shape[1:3] == (200, 210)


@EVERY
def test_the_page_shows_every_image(domain):
    run = domain_run(domain)
    page = page_of(domain)
    images = [i["src"] for i in page.of("img") if i.get("src", "").startswith("data:image/")]
    # Tile, visualization, mean, phases and nearest images of each facet; one place is empty. And
    # the map on paper.
    num_phases = len(run.shown.phase_images)
    assert len(images) == 3 * (3 + num_phases + 4) - 1 + 1
    expected = pictured(run).shown.images[1].round()
    drawn = [i["src"] for i in page.of("img", alt="Visualization of facet 2")]
    assert any(np.array_equal(pixels(uri), expected) for uri in drawn)


def test_pages_of_photographs_say_nothing_of_domains():
    text = render_page(domain_run(RGB))
    body = text[text.index("<body") :]
    for word in ("axis", "ramp", "stretched", "Images are"):
        assert word not in body
    page = page_of(RGB)
    assert "Color distance" in page.text
    assert "ΔE" in page.text


@pytest.mark.parametrize("domain", OTHERS, ids=str)
def test_other_pages_have_no_scores_of_color(domain):
    text = page_of(domain).text
    for word in ("RGB", "Color distance", "olors", "ΔE", "L*a*b*"):
        assert word not in text
    assert "Image diversity" in text
    assert "in percent of the range" in text
    assert "12.5 %" in re.sub(r"\s+", " ", text)


def test_the_page_of_spectrograms_names_its_axes():
    page = page_of(SOUNDS)
    assert "time runs to the right, frequency upward, with the lowest at the bottom" in page.text
    assert re.search(r"\N{MINUS SIGN}80\s*0", page.text)  # the ends of the ramp
    # Of each facet's visualization and mean image.
    assert page.text.count("time →") == page.text.count("frequency →") == 2 * 3
    assert page.of("body", class_="stretched with-axes")
    assert "spectrogram of 1 channel in [-80, 0]" in page.text


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        (GREY, "Images are grey: black is 0, white is 255."),
        (DIGITS, "Images are grey: black is 0, white is 16."),
        (STEREO, "The 2 channels of an image stand side by side"),
        (BANDS, "Images are of the kind bands, drawn with row 0 at the top."),
    ],
    ids=str,
)
def test_pages_say_what_images_are(domain, said):
    page = page_of(domain)
    assert said in page.text
    has_axes = domain == STEREO
    assert ("frequency →" in page.text) == has_axes
    classes = [attributes.get("class") for attributes in page.of("body")]
    assert classes == [None if domain.is_picture else "stretched" + " with-axes" * has_axes]


def test_a_kind_is_escaped():
    text = render_page(domain_run(Domain(1, 0, 1, "<script>alert(1)</script>")))
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_the_ramp_goes_from_dark_to_bright():
    for domain in (SOUNDS, STEREO, BANDS):
        found = legend(domain)
        colors = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in found.ramp]
        assert (np.diff(np.array(colors) @ [0.299, 0.587, 0.114]) > 0).all()
        assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in found.ramp)
    assert legend(DIGITS).ramp == ()
    assert (legend(SOUNDS).low, legend(SOUNDS).high) == ("\N{MINUS SIGN}80", "0")


@functools.cache
def strip_of(domain):
    """The strip figure, RGB."""
    with tempfile.TemporaryDirectory() as folder:
        path = facets_strip(domain_run(domain), f"{folder}/strip.png", num_real=1)
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("domain", [DIGITS, SOUNDS, BANDS], ids=str)
def test_figures_of_any_domain(domain):
    shown = pictured(domain_run(domain)).shown.images[0].astype(int).reshape(-1, 3)
    colors, counts = np.unique(shown, axis=0, return_counts=True)
    for color in colors[np.argsort(-counts)[:5]]:
        assert (np.abs(strip_of(domain) - color).max(-1) <= 2).sum() > 20


@pytest.mark.parametrize("figure", [facets_strip, map_figure, progress_figure])
def test_figures_of_spectrograms_have_a_line_more(figure, tmp_path):
    """It names the axes; figures of photographs have none."""
    sheets = []
    for name in ("rgb", "sounds"):
        with Image.open(figure(domain_run(DOMAINS[name]), tmp_path / f"{name}.png")) as image:
            sheets.append(np.asarray(image.convert("L")).astype(int))
    assert len(sheets[1]) - len(sheets[0]) == pytest.approx(60, abs=1)
    line = sheets[1][-50:-10]
    assert (line < 128).any()  # letters
    assert (line > 250).mean() > 0.9  # and no picture


def test_metrics_of_other_domains():
    assert metric("image_diversity") is METRICS["image_diversity"]
    assert metric("image_diversity", DIGITS).unit == "%"
    assert metric("recall", DIGITS) is METRICS["recall"]
    assert metric("unknown", DIGITS) is None
