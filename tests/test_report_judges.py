"""Judges, controls and recipes on the page: what leads, what stands beside it, escaped as all."""

import dataclasses
import re

import numpy as np
import pytest

from mfvjax.recipes import RECIPES
from mfvjax.report import render_page, words, write_page
from mfvjax.report.judges import control_views, facet_views, judge_view
from mfvjax.report.sources import recipe_note
from mfvjax.run import Run
from tests import chromium
from tests.domain_networks import DOMAINS
from tests.domain_runs import domain_run
from tests.judged_runs import CONTROLS, judged_run, made_up_judgement
from tests.report_runs import Page
from tests.run_example import example_run


def plain_text(run):
    return re.sub(r"\s+", " ", Page(render_page(run)).text)


def test_the_judge_leads_and_the_own_recall_is_called_so():
    text = plain_text(judged_run())
    order = [
        "Seen as its class by other <net>",
        "Facets recalled by other <net>",
        "Own recall (own network's code)",
    ]
    places = [text.index(title) for title in order]
    assert places == sorted(places)
    assert "Judged by other <net>" in text
    assert text.count("Own scores") == 3
    assert "Own scores" not in plain_text(example_run())


def test_beside_each_number_stand_start_ceiling_and_chance():
    run = judged_run()
    [judgement] = run.judgements
    view = judge_view(judgement)
    assert view["columns"] == ["Visualizations", "Untouched start", "Real images", "Chance"]
    table = {line["title"]: line["values"] for line in view["lines"]}
    summary = judgement.summary
    parts = ("shown", "start", "real", "chance")
    assert table["Class is first"] == [words.share(summary[p]["top_1"]) for p in parts]
    assert table["Median rank of the class"] == [
        words.number(summary[p]["median_rank"]) for p in parts
    ]
    assert table["Facet is recalled"] == [words.share(summary[p]["recall"]) for p in parts]
    assert table["Class is among the first five"][-1] == "0.5 %"
    for card in view["cards"]:
        for word in ("real images", "untouched start", "chance"):
            assert word in card["beside"]
    text = plain_text(run)
    assert "theater, <i>playhouse</i>, one of 1,000" in text


def test_each_facet_has_its_own_ceiling():
    run = judged_run()
    [judgement] = run.judgements
    view = facet_views(judgement, 1)
    lines = {line["title"]: line["values"] for line in view["lines"]}
    own = judgement.real_facets == 1
    assert lines["Rank of the class"] == [
        words.number(judgement.shown.rank[1]),
        words.number(judgement.start.rank[1]),
        words.number(np.median(judgement.real.rank[own])),
    ]
    assert lines["Facet recalled"][:2] == ["yes", "no"]
    assert lines["Facet recalled"][2] == words.share(judgement.real.recalled[own].mean())


def test_a_hidden_unit_has_no_ranks_but_a_reason():
    text = plain_text(judged_run(with_class=False))
    assert "No class: fc8:1 is no unit of a class." in text
    assert "Rank" not in text
    assert "Seen as its class" not in text
    assert "Facets recalled by other <net>" in text
    assert "Similarity percentile" in text


def test_the_table_has_a_judges_columns_before_own_scores():
    page = Page(render_page(judged_run(judges=("one", "two"))))
    text = re.sub(r"\s+", " ", page.text)
    head = text[text.index("Scores of all facets") :]
    order = ["Homogeneity", "Rank by one", "Recalled by one", "Rank by two", "Activation "]
    places = [head.index(title) for title in order]
    assert places == sorted(places)
    # One row of as many cells for each facet: nothing is shifted.
    run = judged_run(judges=("one", "two"))
    values = [float(c["data-value"]) for c in page.of("td") if "data-value" in c]
    assert run.judgements[0].shown.rank[0] == values[2]


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "</script><script>x()"]
)
def test_no_name_of_a_judge_changes_the_page(name):
    def shape(name):
        run = judged_run(judges=(name,))
        judgement = dataclasses.replace(
            run.judgements[0], class_name=name, class_by=name, judge={**run.judgements[0].judge}
        )
        seen = dataclasses.replace(judgement.shown, seen_as=(name,) * 3)
        controls = dataclasses.replace(run.controls, names=(name,) * 4, about=(name,) * 4)
        options = {**run.options, "recipe": name}
        judgement = dataclasses.replace(judgement, shown=seen)
        run = dataclasses.replace(run, judgements=(judgement,), controls=controls, options=options)
        page = Page(render_page(run))
        assert name in page.text
        return [(tag, sorted(attributes)) for tag, attributes in page.elements]

    assert shape(name) == shape("plain")


def test_controls_are_a_row_that_begins_with_their_facet():
    run = judged_run()
    view = control_views(run)
    assert view["number"] == 2
    titles = [picture["title"] for picture in view["pictures"]]
    assert titles == ["Visualization", "Untouched start", "Unit alone", "Placebo", "From noise"]
    ratio = run.controls.activations[1] / run.real.activations.max()
    assert view["pictures"][2]["ratio"] == words.number(float(ratio))
    assert view["pictures"][3]["ratio"] is None  # not a number
    assert view["pictures"][2]["judged"][0].startswith("other <net>: rank ")
    text = plain_text(run)
    for about in CONTROLS.values():
        assert about in text
    assert control_views(example_run()) is None
    assert "controls" not in plain_text(example_run())


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=str)
def test_controls_of_any_domain_have_pictures(domain):
    run = judged_run(run=domain_run(domain))
    page = Page(render_page(run))
    shown = [i for i in page.of("img") if "for facet 2" in i.get("alt", "")]
    assert len(shown) == 5
    assert all(i["src"].startswith("data:image/jpeg") for i in shown)


def test_controls_that_were_not_judged_are_shown():
    run = judged_run()
    judgement = dataclasses.replace(run.judgements[0], controls=None)
    view = control_views(dataclasses.replace(run, judgements=(judgement,)))
    assert [picture["judged"] for picture in view["pictures"][1:]] == [[""]] * 4
    without = control_views(dataclasses.replace(run, judgements=()))
    assert without["pictures"][0]["judged"] == []


def test_a_placebo_is_explained():
    note = "what of the unit is still seen in it is the unit's own part"
    run = judged_run()
    assert note in plain_text(run)
    names = ("start", "unit", "statistics", "noise")
    without = dataclasses.replace(run, controls=dataclasses.replace(run.controls, names=names))
    assert note not in plain_text(without)


def test_wordnet_identifiers_are_not_read_aloud():
    run = judged_run(title="n01440764 tench, Tinca tinca")
    judgement = dataclasses.replace(run.judgements[0], class_name="n01440764 tench")
    text = plain_text(dataclasses.replace(run, judgements=(judgement,)))
    assert "n01440764" not in text.replace("by WordNet identifier n01440764", "")
    assert "tench, one of 1,000" in text
    bare = plain_text(dataclasses.replace(run, title="n01440764"))
    assert "n01440764" in bare


def test_every_recipe_is_told_with_its_sources():
    for name in {*RECIPES, "facet-statistics"}:
        note = recipe_note({"recipe": name})
        assert note.name == name
        assert note.about.endswith(".")
        assert any("Nguyen" in source for source in note.sources)
    statistics = " ".join(recipe_note({"recipe": "facet-statistics"}).sources)
    for source in ("mfvjax", "Nguyen", "Huang, Belongie 2017", "Gorgun et al. 2025", "Olah"):
        assert source in statistics
    assert recipe_note({"recipe": "mine"}).sources == ()
    assert recipe_note({"recipe": None}).name == ""
    text = plain_text(example_run())
    assert "pictures by the recipe release-mean-image." in text
    assert "arXiv 1602.03616" in text
    nameless = example_run(options={})
    assert "by the recipe" not in plain_text(nameless)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.0, "100 %"),
        (0.8, "80 %"),
        (0.0, "0 %"),
        (0.001, "0.1 %"),
        (0.0096, "1.0 %"),
        (0.0004, "< 0.1 %"),
        (float("nan"), "\N{EN DASH}"),
    ],
)
def test_shares_are_percent(value, shown):
    assert words.share(value) == shown


def test_a_judgement_of_one_facet_has_no_recall():
    run: Run = example_run(1, 12)
    judgement = made_up_judgement(run)
    nothing = dataclasses.replace(
        judgement.shown, recalled=np.full(1, np.nan), margin=np.full(1, np.nan)
    )
    judgement = dataclasses.replace(judgement, shown=nothing)
    text = plain_text(dataclasses.replace(run, judgements=(judgement,)))
    assert "Facets recalled by" not in text
    assert "Seen as its class by" in text


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Selenium's own sockets
@pytest.mark.parametrize("width", [1400, 390])
def test_the_page_works_in_a_browser(width, tmp_path):
    driver = chromium.start(tmp_path / "profile")
    try:
        browser = chromium.Browser(driver)
        browser.open(write_page(judged_run(), tmp_path / "page.html"), width=width)
        assert browser.log() == []
        assert browser.js("return document.documentElement.scrollWidth") <= width
        rows = "return [...document.querySelectorAll('#all tbody tr')].map(r => r.dataset.facet)"
        before = browser.js(rows)
        browser.js("document.querySelectorAll('#all thead button')[3].click()")
        ranks = judged_run().judgements[0].shown.rank
        assert [ranks[int(i)] for i in browser.js(rows)] == sorted(ranks)
        assert before == ["0", "1", "2"]
    finally:
        driver.quit()
