"""The page as text: complete, self-contained, escaped, the same each time."""

import base64
import dataclasses
import hashlib
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from mfvjax.report import render_page, words, write_page
from mfvjax.report.page import TEMPLATES
from tests.report_runs import Page, shown_run
from tests.run_example import AWKWARD_CLASSES, AWKWARD_NAMES, example_run


@pytest.fixture(scope="module")
def run():
    return example_run()


@pytest.fixture(scope="module")
def text(run):
    return render_page(run)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_nothing_outside_the_file_is_named(text, page):
    for tag, attributes in page.elements:
        for name in ("src", "srcset", "poster", "data", "action", "formaction"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, name)
        target = attributes.get("href", "#")
        assert target.startswith(("#", "data:,")), (tag, target)
    outside = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert not re.search(r"https?://|@import|//cdn|url\((?!data:|#)", outside)


def test_the_policy_allows_no_loading_and_only_the_pages_own_script(text, page):
    policy = page.of("meta", http_equiv="Content-Security-Policy")[0]["content"]
    assert "default-src 'none'" in policy
    script = (TEMPLATES / "page.js").read_text()
    assert f"<script>{script}</script>" in text
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert len(page.of("script")) == 2


def named_run(name):
    """A run where everything that has a name has this one."""
    run = example_run(2, 20, 16)
    shown = dataclasses.replace(run.shown, top_class_names=((name,) * 5,) * 2)
    real = dataclasses.replace(run.real, names=tuple(f"{i}{name}" for i in range(20)))
    return dataclasses.replace(
        run,
        unit=f"{name}:1",
        title=name,
        network={name: name, "name": name},
        options={name: [name]},
        versions={name: name},
        timings={name: 1.0},
        real=real,
        shown=shown,
        scores={name: np.zeros(2)},
        summary={name: 1.0},
    )


@pytest.mark.parametrize(
    "name",
    [
        "<img src=x onerror=alert(1)>",
        '"><svg onload=alert(1)>',
        "' onmouseover='alert(1)",
        "</script><script>alert(1)</script>",
        "<!--<script>",
        "]]></style><b>",
        "{{ 7 * 7 }}{% for %}",
        "&lt;b&gt; &amp; \u2028",
    ],
)
def test_no_name_changes_the_page(name):
    """The same elements with the same kinds of attributes as with harmless names."""

    def shape(text):
        return [(tag, sorted(attributes)) for tag, attributes in Page(text).elements]

    text = render_page(named_run(name))
    assert shape(text) == shape(render_page(named_run("plain")))
    assert name in Page(text).text
    assert Page(text).data["names"][0] == f"0{name}"


def test_names_are_shown_as_they_are(page):
    for name in AWKWARD_CLASSES:
        assert name in page.text
    assert 'tiny <net> & "friends"' in page.text
    assert "photos/<i>theater</i>" in page.text
    assert "cpu <0>" in page.text
    assert page.data["names"][: len(AWKWARD_NAMES)] == list(AWKWARD_NAMES)


def test_the_data_cannot_end_its_script(run, text):
    data = text.partition('id="data">')[2].partition("</script>")[0]
    assert len(Page(text).data["names"]) == len(run.real.names)
    assert not set("<>&") & set(data)


def test_names_beside_images_are_escaped_too(run, page):
    shown = {run.real.names[i] for i in run.facets.nearest.ravel() if i >= 0}
    assert shown == {
        button["title"] for button in page.of("button", class_="zoom") if "title" in button
    }
    assert set(AWKWARD_NAMES) & shown


def test_a_hidden_unit_has_a_plain_title_and_no_list_of_classes(run):
    none = {"top_classes": np.zeros((run.num_facets, 0), np.int32), "top_class_names": ((),) * 3}
    scores = {"top_scores": np.zeros((run.num_facets, 0), np.float32)}
    shown = dataclasses.replace(run.shown, **none, **scores)
    text = render_page(dataclasses.replace(run, unit="c:7@6,6", title="c:7@6,6", shown=shown))
    assert "<h1>c:7@6,6</h1>" in text
    assert "What the network sees in it" not in text
    assert "What the network sees in it" in render_page(run)


def test_every_picture_of_the_run_is_there(run, page):
    held = int((run.facets.nearest >= 0).sum())
    assert len([b for b in page.of("button") if "data-image" in b]) == held
    phases = len(run.shown.phase_ends)
    # tile, visualization, mean image and phases of each facet; the real ones; the printed map and
    # the empty one that enlarges others.
    assert len(page.of("img")) == run.num_facets * (3 + phases) + held + 2
    thumbnails = [i for i in page.of("i", class_="sprite") if "style" in i]
    assert len(thumbnails) == len(run.real.names)
    for image in page.of("img"):
        assert "alt" in image


def test_the_data_is_the_runs(run, page):
    assert page.data["facets"] == run.real.assignment.tolist()
    assert np.shape(page.data["points"]) == (len(run.real.names), 2)
    # y points down on the page; the rest is a shift and one scale.
    shown, real = np.array(page.data["points"]), run.real.map * [1, -1]
    scale = np.ptp(shown, axis=0) / np.ptp(real, axis=0)
    np.testing.assert_allclose(scale[0], scale[1], rtol=1e-3)
    np.testing.assert_allclose(shown - shown.mean(0), (real - real.mean(0)) * scale, atol=2e-4)


def test_ids_are_unique_and_links_lead_somewhere(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.elements:
        target = attributes.get("href", "data:,")
        if target.startswith("#"):
            assert target[1:] in ids, (tag, target)


def test_the_same_run_gives_the_same_page(run, text):
    assert render_page(run) == text


def test_scores_have_their_definitions_and_direction(page):
    cell = next(d for d in page.of("div") if d.get("title", "").startswith("Sliced Wasserstein"))
    assert cell["title"].endswith("Lower is better.")
    heads = page.of("th", data_better="lower")
    assert any("Sliced Wasserstein" in head["title"] for head in heads)


def test_a_score_without_definition_is_called_by_its_key(run):
    scores = {"my_own<score>": np.arange(3.0)}
    page = Page(render_page(dataclasses.replace(run, scores=scores)))
    assert "My own<score>" in page.text


def test_undefined_values_are_dashes_and_sort_nowhere(run, page):
    assert np.isnan(run.scores["color_distance"][1])
    columns = ["size", "homogeneity", *run.scores]
    cells = page.of("td")[len(columns) : 2 * len(columns)]
    undefined = [i for i, cell in enumerate(cells) if "data-value" not in cell]
    assert [columns[i] for i in undefined] == ["color_distance", "color_distance_control"]


@pytest.mark.parametrize(
    ("title", "top", "warned"),
    [
        ("theater", 1, False),
        ("theater", 2, True),
        ("fc8:1", 2, False),  # no class, so no other can be better
    ],
)
def test_a_facet_that_is_taken_for_another_class_is_marked(title, top, warned):
    run = example_run(1, 12, title=title)
    shown = dataclasses.replace(
        run.shown, top_classes=np.array([[top, 0, 3, 4, 1 if top == 2 else 2]])
    )
    page = Page(render_page(dataclasses.replace(run, shown=shown)))
    assert bool(page.of("p", class_="warning")) is warned
    assert len(page.of("li", class_="own")) == (title != "fc8:1")


def test_a_unit_of_a_map_has_an_index_too():
    run = example_run(1, 12, title="edges", unit="conv4:3@6,6")
    shown = dataclasses.replace(run.shown, top_classes=np.array([[3, 1, 0, 4, 2]]))
    assert not Page(render_page(dataclasses.replace(run, shown=shown))).of("p", class_="warning")


def test_an_early_stop_is_told(run, page):
    assert page.text.count("Stopped early") == 1
    assert f"at step {run.shown.stopped_at[1]}" in page.text


@pytest.mark.parametrize("num_facets", [1, 2, 14])
def test_any_number_of_facets_has_a_page(num_facets):
    page = Page(render_page(example_run(num_facets, 80, 16)))
    assert len(page.of("article", class_="facet")) == num_facets
    assert len(page.of("a", class_="tile")) == num_facets


def test_a_run_without_scores_and_numbers_has_a_page():
    run = example_run(2, 20, 16, scores={}, summary={}, timings={})
    nothing = np.full_like(run.shown.activations, np.nan)
    images = np.full_like(run.shown.images, np.nan)
    shown = dataclasses.replace(run.shown, activations=nothing, images=images)
    page = Page(render_page(dataclasses.replace(run, shown=shown)))
    assert not page.of("dl", class_="summary")
    assert len(page.of("tr")) == 3


def test_the_page_replaces_a_former_one_whole(run, text, tmp_path):
    path = tmp_path / "index.html"
    path.write_text("former")
    assert write_page(run, path) == path
    assert path.read_text(encoding="utf-8") == text
    assert os.listdir(tmp_path) == ["index.html"]


def test_a_page_that_cannot_be_written_leaves_the_former_one(run, tmp_path, monkeypatch):
    path = tmp_path / "index.html"
    path.write_text("former")

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="no space left"):
        write_page(run, path)
    assert path.read_text() == "former"
    assert os.listdir(tmp_path) == ["index.html"]


def test_a_missing_folder_is_named(run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere to write index\.html"):
        write_page(run, tmp_path / "nowhere" / "index.html")


def test_the_report_needs_no_jax():
    code = (
        "import sys\n"
        "from mfvjax.report import render_page, write_figures\n"
        "from tests.run_example import example_run\n"
        "render_page(example_run(2, 12, 16))\n"
        "print([name for name in ('jax', 'flax', 'matplotlib.pyplot') if name in sys.modules])\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert found.strip() == "[]"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.03124, "0.0312"),
        (0.5, "0.500"),
        (1.0, "1"),
        (0.0, "0"),
        (12.345, "12.3"),
        (99.96, "100"),
        (123.4, "123"),
        (-1234.5, "-1,234"),
        (float("nan"), "\N{EN DASH}"),
        (float("-inf"), "\N{EN DASH}"),
    ],
)
def test_numbers_have_about_three_digits(value, shown):
    assert words.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.3, "0.30 s"), (59.6, "60 s"), (61.2, "1 min 1 s"), (119.9, "2 min 0 s")]
)
def test_times_are_told_in_seconds_and_minutes(value, shown):
    assert words.seconds(value) == shown


def test_counts_agree_with_their_noun():
    assert [words.count(n, "image") for n in (0, 1, 1000)] == [
        "0 images",
        "1 image",
        "1,000 images",
    ]


@pytest.mark.slow
def test_a_page_of_full_size_stays_small():
    run = shown_run(10, 15, num_images=1000, image_size=227)
    # Noise, the worst case for JPEG and PNG, is five times what photographs need.
    smooth = np.cumsum(run.facets.nearest_images.astype(float) - 127.5, axis=3) / 8 + 127
    images = np.clip(smooth, 0, 255).astype(np.uint8)
    run = dataclasses.replace(run, facets=dataclasses.replace(run.facets, nearest_images=images))
    assert len(render_page(run)) < 15e6
