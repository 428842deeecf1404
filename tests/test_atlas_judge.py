"""Atlases and judges: each unit judged as it is made, or all later; the gallery sorts by it."""

import dataclasses
import json
import os
import shutil

import jax
import numpy as np
import pytest

import mfvjax.cli
from mfvjax.atlas import AtlasError, judge_atlas
from mfvjax.atlas.folder import AtlasFolder
from mfvjax.atlas.index import read_entries, render_index
from mfvjax.atlas.plan import read_plan
from mfvjax.judging import is_judged, judge_run
from mfvjax.network import Network
from mfvjax.store import load_run
from tests import small_atlas
from tests.report_runs import Page
from tests.test_judging import small_judge
from tests.test_store import assert_same, files_of

NAMES = tuple(f"class_{index}" for index in range(7))


@pytest.fixture(scope="module")
def judge():
    return small_judge(names=NAMES, classes=7)


def units_of(path):
    plan = read_plan(path)
    return {unit: path / "units" / name for unit, name in plan.folders().items()}


def test_units_are_judged_as_they_are_made(small_pool, whole_atlas, judge, tmp_path):
    devices = jax.devices("cpu")[:1]
    atlas = small_atlas.build(tmp_path / "atlas", small_pool, devices=devices, judge=judge)
    assert len(atlas.made) == len(small_atlas.UNITS) - len(atlas.failed)
    for unit, path in units_of(tmp_path / "atlas").items():
        run = load_run(path)
        [judgement] = run.judgements
        assert_same(judgement, judge_run(run, judge))
        assert is_judged(path, judge)
        # A judge changes nothing else.
        other = load_run(units_of(whole_atlas[0])[unit])
        np.testing.assert_array_equal(run.shown.images, other.shown.images)
        assert run.options == other.options


def test_a_judge_that_comes_later_judges_what_is_there(atlas_copy, small_pool, judge):
    before = {unit: load_run(path) for unit, path in units_of(atlas_copy).items()}
    again = small_atlas.build(atlas_copy, small_pool, judge=judge)
    assert again.made == ()
    for unit, path in units_of(atlas_copy).items():
        found = load_run(path)
        assert len(found.judgements) == 1
        assert_same(dataclasses.replace(found, judgements=()), before[unit])


def test_judging_goes_on_where_it_was_ended(atlas_copy, judge, monkeypatch):
    import mfvjax.atlas.judge as module

    paths = list(units_of(atlas_copy).values())
    real, calls = module.judge_folder, []

    def interrupted(path, judge):
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(path, judge)

    monkeypatch.setattr(module, "judge_folder", interrupted)
    with pytest.raises(KeyboardInterrupt):
        judge_atlas(atlas_copy, judge)
    assert [is_judged(path, judge) for path in paths] == [True, True, False, False]
    assert "small judge" in (atlas_copy / "index.html").read_text()
    monkeypatch.setattr(module, "judge_folder", real)
    done = judge_atlas(atlas_copy, judge)
    assert (len(done.judged), len(done.before), done.missing, done.damaged) == (2, 2, (), {})
    kept = {name: path.stat().st_mtime_ns for name, path in files_of(atlas_copy / "units").items()}
    assert judge_atlas(atlas_copy, judge).judged == ()
    now = {name: path.stat().st_mtime_ns for name, path in files_of(atlas_copy / "units").items()}
    assert now == kept


def test_a_page_that_was_not_written_again_is_noticed(atlas_copy, judge):
    path = next(iter(units_of(atlas_copy).values()))
    judge_atlas(atlas_copy, judge)
    old = (path / "run.json").stat().st_mtime_ns - 10**9
    os.utime(path / "report.html", ns=(old, old))
    assert not is_judged(path, judge)
    assert len(judge_atlas(atlas_copy, judge).judged) == 1
    assert is_judged(path, judge)


def test_missing_and_damaged_units_are_named(atlas_copy, judge):
    units = units_of(atlas_copy)
    first, second = list(units)[:2]
    shutil.rmtree(units[first])
    data = bytearray((units[second] / "arrays.npz").read_bytes())
    data[100] ^= 1
    (units[second] / "arrays.npz").write_bytes(data)
    done = judge_atlas(atlas_copy, judge)
    assert done.missing == (first,)
    assert list(done.damaged) == [second]
    assert "SHA-256 differs" in done.damaged[second]
    assert len(done.judged) == len(units) - 2


def test_what_is_no_atlas_or_no_judge_is_refused(atlas_copy, small_pool, judge, tmp_path):
    with pytest.raises(AtlasError, match="holds no atlas"):
        judge_atlas(tmp_path, judge)
    fingerprint = read_plan(atlas_copy).network["fingerprint"]
    own = dataclasses.replace(judge)
    own.__dict__["fingerprint"] = fingerprint
    with pytest.raises(ValueError, match="the network that the pictures were made for"):
        judge_atlas(atlas_copy, own)
    with pytest.raises(ValueError, match="the network that the pictures were made for"):
        small_atlas.build(tmp_path / "new", small_pool, judge=own)
    assert not (tmp_path / "new").exists()


def test_the_gallery_sorts_by_what_the_judge_says(atlas_copy, judge):
    judge_atlas(atlas_copy, judge)
    with AtlasFolder(atlas_copy, read_plan(atlas_copy)) as folder:
        entries = read_entries(folder)
        page = Page(render_index(folder, entries))
    titles = page.text.split("Sort by")[1]
    assert titles.index("Facets recalled by small judge") < titles.index("Own recall")
    assert "Mean facets recalled by small judge" in page.text
    for unit, path in units_of(atlas_copy).items():
        summary = load_run(path).judgements[0].shown.summary
        for key in ("top_1", "recall", "median_rank", "percentile"):
            np.testing.assert_equal(
                entries[unit]["scores"][f"judged:{key}:small judge"], summary[key]
            )


def test_a_damaged_judgement_leaves_the_rest_of_the_gallery(atlas_copy, judge):
    judge_atlas(atlas_copy, judge)
    path = next(iter(units_of(atlas_copy).values())) / "run.json"
    head = json.loads(path.read_text())
    head["judgements"] = [{"judge": "nobody"}]
    path.write_text(json.dumps(head))
    with AtlasFolder(atlas_copy, read_plan(atlas_copy)) as folder:
        assert len(read_entries(folder)) == len(small_atlas.UNITS)


@pytest.fixture
def run(command_line):
    """The command line."""
    return command_line


def test_the_command_takes_an_atlas(run, atlas_copy, judge, monkeypatch):
    monkeypatch.setattr(Network, "load", lambda path: judge)
    code, out, _ = run("judge", atlas_copy, "name")
    assert code == 0
    assert "4 units judged, 0 had been before" in out
    facts = json.loads(run("judge", atlas_copy, "name", "--json")[1])
    assert (facts["judged"], len(facts["before"])) == ([], 4)
    code, _, err = run("judge", atlas_copy, "name", "--judge-class", "1")
    assert code == 2
    assert "a class each" in err


def test_the_judge_of_the_atlas_command_is_asked_for(run, monkeypatch, tmp_path):
    calls = []

    def build_atlas(network, images, **options):
        calls.append(options)
        raise AtlasError("enough")

    monkeypatch.setattr(mfvjax.atlas, "build_atlas", build_atlas)
    assert run("atlas", "-i", "pool", "-o", tmp_path / "a", "--judge", "other")[0] == 1
    assert run("atlas", "-i", "pool", "-o", tmp_path / "a")[0] == 1
    assert [call["judge"] for call in calls] == ["other", None]
