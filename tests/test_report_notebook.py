"""What a notebook shows of a run: whole, escaped, small, and without a script."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from mfvjax.report.notebook import MOST_FACETS, NUM_REAL, SIDE
from tests.judged_runs import judged_run
from tests.report_runs import Page, flat_run, shown_run
from tests.run_example import example_run


def color_of(uri):
    """Mean color of a picture in a data URI, and its size."""
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2])))
    return np.asarray(picture.convert("RGB")).mean((0, 1)), picture.size


def test_every_facet_has_its_pictures_in_their_places():
    colors = np.random.default_rng(0).integers(30, 220, (3, 4, 3))
    page = Page(flat_run(colors)._repr_html_())
    shown = [(image["alt"], color_of(image["src"])[0]) for image in page.of("img")]
    expected = [
        part
        for k in range(3)
        for part in (
            (f"real image 1 of facet {k + 1}", colors[k, 2]),
            (f"real image 2 of facet {k + 1}", colors[k, 3]),
            (f"mean image of facet {k + 1}", colors[k, 1]),
            (f"visualization of facet {k + 1}", colors[k, 0]),
        )
    ]
    assert [alt for alt, _ in shown] == [alt for alt, _ in expected]
    for (_, color), (_, wanted) in zip(shown, expected, strict=True):
        np.testing.assert_allclose(color, wanted, atol=4)  # JPEG


def test_names_are_escaped_and_nothing_runs():
    run = judged_run()
    page = Page(run._repr_html_())
    assert {tag for tag, _ in page.elements} <= {
        "div", "p", "b", "code", "table", "thead", "tbody", "tr", "th", "td", "img", "br", "small"
    }  # fmt: skip
    assert "<i>theater</i>" in page.text
    assert "by other <net>" in page.text
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_judges_stand_with_their_bounds():
    run = judged_run()
    judged = run.judgements[0]
    page = Page(run._repr_html_())
    real = f"{100 * judged.real.summary['top_1']:.0f} %"
    assert f"real images {real}" in page.text
    assert "untouched start" in page.text
    assert "chance" in page.text
    for rank, recalled in zip(judged.shown.rank, judged.shown.recalled, strict=True):
        said = "facet recalled" if recalled else "facet not recalled"
        assert f"rank {rank:,.0f}, {said}" in page.text


def test_many_facets_are_cut_and_said():
    run = shown_run(MOST_FACETS + 2, NUM_REAL + 1, image_size=160)
    text = run._repr_html_()
    page = Page(text)
    assert len(page.of("img")) == MOST_FACETS * (NUM_REAL + 2)
    assert max(color_of(image["src"])[1] for image in page.of("img")) == (SIDE, SIDE)
    assert "2 further facets not shown here." in page.text
    assert "further" not in Page(example_run()._repr_html_()).text


@pytest.mark.parametrize("count", [2, 3])
def test_text_says_what_it_is(count):
    run = example_run(count)
    assert repr(run) == f"Run('fc8:1', '<i>theater</i>', {count} facets of 30 images)"
