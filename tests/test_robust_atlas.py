"""Atlases that grow, are planned again, or lost their pages; merges of folders of somebody else."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from mfvjax.atlas import AtlasBusyError, AtlasError, AtlasFolder, merge_atlas
from mfvjax.atlas.pages import restore_pages
from mfvjax.atlas.passes import _passes, join_passes
from mfvjax.atlas.plan import read_plan
from mfvjax.cli import report
from mfvjax.store import load_run
from mfvjax.store.names import COVER, PAGE, STRIP
from tests.small_atlas import FOLDERS, UNITS, build, no_strays, same_units
from tests.test_atlas_parts import make_plan

ONE_DEVICE = jax.devices("cpu")[:1]


def test_more_units_are_added_and_finished_ones_stay(atlas_copy, whole_atlas, small_pool):
    before = (atlas_copy / "units" / "fc-0000" / "run.json").stat().st_mtime_ns
    for name in FOLDERS[2:]:
        shutil.rmtree(atlas_copy / "units" / name)
    plan = read_plan(atlas_copy)
    text = json.loads((atlas_copy / "atlas.json").read_text())
    text["plan"]["units"] = list(UNITS[:2])
    (atlas_copy / "atlas.json").write_text(json.dumps(text))
    atlas = build(atlas_copy, small_pool, devices=ONE_DEVICE)
    assert atlas.made == UNITS[2:]
    assert read_plan(atlas_copy) == plan
    assert (atlas_copy / "units" / "fc-0000" / "run.json").stat().st_mtime_ns == before
    assert same_units(whole_atlas[0], atlas_copy)
    no_strays(atlas_copy)
    fewer = build(atlas_copy, small_pool, units=UNITS[1:2], devices=ONE_DEVICE)
    assert (fewer.units, fewer.made, fewer.missing) == (UNITS[1:2], (), ())
    assert read_plan(atlas_copy).units == UNITS
    assert "fc:3" in (atlas_copy / "index.html").read_text()


def test_folders_beside_may_be_added_to_the_pool(atlas_copy, small_pool, tmp_path):
    """Of other classes than those of finished units: fc:3 is of the top of the pool."""
    shutil.copytree(small_pool, tmp_path / "pool")
    shutil.copytree(small_pool / "class_2", tmp_path / "pool" / "class_5")
    text = json.loads((atlas_copy / "atlas.json").read_text())
    text["plan"]["images"]["source"] = str(tmp_path / "pool")
    (atlas_copy / "atlas.json").write_text(json.dumps(text))
    with pytest.raises(AtlasError, match=r"count: 72 there, 96 now; .*; fc:3 is of the top of"):
        build(atlas_copy, tmp_path / "pool", devices=ONE_DEVICE)
    shutil.rmtree(atlas_copy / "units" / "fc-0003")
    before = (atlas_copy / "units" / "fc-0000" / "run.json").stat().st_mtime_ns
    units = (*UNITS[:3], "fc:5")
    atlas = build(atlas_copy, tmp_path / "pool", units=units, devices=ONE_DEVICE)
    assert (atlas.made, atlas.missing) == (("fc:5",), ("fc:3",))
    assert (atlas_copy / "units" / "fc-0000" / "run.json").stat().st_mtime_ns == before
    assert read_plan(atlas_copy).images["count"] == 96
    image = tmp_path / "pool" / "class_1" / "new.png"
    shutil.copy(tmp_path / "pool" / "class_1" / "00.png", image)
    with pytest.raises(AtlasError, match="the images of fc:1 are not those that it was made of"):
        build(atlas_copy, tmp_path / "pool", devices=ONE_DEVICE)


def test_a_plan_that_made_nothing_binds_nobody(tmp_path):
    AtlasFolder(tmp_path, make_plan()).__exit__()
    (tmp_path / "passes" / "old").mkdir(parents=True)
    other = make_plan(("fc8:5",), hold=0.5)
    with AtlasFolder(tmp_path, other) as folder:
        assert folder.plan == other
    assert read_plan(tmp_path) == other
    assert not (tmp_path / "passes").exists()
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "fc8-0005.npz").write_bytes(b"facets")
    with pytest.raises(AtlasError, match=r"another atlas; hold: 0.5 there, 1.0 now"):
        AtlasFolder(tmp_path, make_plan(("fc8:5",)))
    (tmp_path / "found" / "fc8-0005.npz").unlink()
    with AtlasFolder(tmp_path, other) as folder:
        folder.lock(["fc8:5"])
        with pytest.raises(AtlasError, match="another atlas; hold"):  # it is being made
            AtlasFolder(tmp_path, make_plan())


def test_an_atlas_with_a_relative_path_goes_on_where_it_was_begun(tmp_path, monkeypatch):
    """As those of version 0.1 have it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool").mkdir()
    begun = make_plan()
    assert begun.images["source"] == "pool"
    AtlasFolder(tmp_path / "a", begun).__exit__()
    text = (tmp_path / "a" / "atlas.json").read_text()
    (tmp_path / "a" / "found").mkdir()
    (tmp_path / "a" / "found" / "fc8-0000.npz").write_bytes(b"facets")
    now = make_plan(images={**begun.images, "source": str(tmp_path / "pool")})
    with AtlasFolder(tmp_path / "a", now) as folder:
        folder.lock(["fc8:0"])
    assert (tmp_path / "a" / "atlas.json").read_text() == text
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(AtlasError, match=r"images\.source: pool there, .*/pool now"):
        AtlasFolder(tmp_path / "a", now)


def test_who_opened_the_folder_before_another_plan_does_not_work_on_it(tmp_path):
    with AtlasFolder(tmp_path, make_plan()) as first:
        with AtlasFolder(tmp_path, make_plan(hold=0.5)) as second:
            assert second.plan.hold == 0.5
        with pytest.raises(AtlasBusyError, match="has just begun another atlas"):
            first.lock(first.plan.units)


TRY = """
import pathlib, sys
from mfvjax.atlas import AtlasBusyError, AtlasFolder
from mfvjax.atlas.plan import read_plan
path = pathlib.Path(sys.argv[1])
with AtlasFolder(path, read_plan(path)) as folder:
    for unit in folder.plan.units:
        try:
            folder.lock([unit])
            print("free")
        except AtlasBusyError:
            print("busy")
"""


def others_view(path):
    done = subprocess.run(
        [sys.executable, "-c", TRY, str(path)], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_two_folders_in_one_process_keep_their_locks(tmp_path):
    first = AtlasFolder(tmp_path, make_plan())
    first.lock(["fc8:0"])
    second = AtlasFolder(tmp_path, make_plan())
    with pytest.raises(AtlasBusyError, match=r"this process is working on fc8:0 in .* already"):
        second.lock(["fc8:0"])
    second.lock(["fc8:1"])
    with first.locks.block("pass", 3) as free, second.locks.block("pass", 3) as also:
        assert (free, also) == (True, False)
    assert others_view(tmp_path) == ["busy", "busy"]
    second.__exit__()  # closing a file would drop all locks of the process
    second.__exit__()
    assert others_view(tmp_path) == ["busy", "free"]
    with AtlasFolder(tmp_path, make_plan()) as third:
        third.lock(["fc8:1"])
    assert others_view(tmp_path) == ["busy", "free"]
    first.__exit__()
    assert others_view(tmp_path) == ["free", "free"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"version": 2}',
        '{"version": 2, "units": "fc8:0", "block_images": 5}',
        '{"version": 2, "units": ["fc8:77"], "block_images": 5}',
        '{"version": 2, "units": ["fc8:0"], "block_images": 0}',
        '{"version": 2, "units": ["fc8:0"], "block_images": true}',
    ],
)
def test_a_damaged_pass_is_removed_and_begun_again(tmp_path, text):
    with AtlasFolder(tmp_path, make_plan()) as folder:
        damaged = tmp_path / "passes" / "0123"
        damaged.mkdir(parents=True)
        (damaged / "pass.json").write_text(text)
        assert _passes(folder) == []
        (plan,) = join_passes(folder, ["fc8:0"], ["fc8:0"], lambda units: [units])
        assert plan.units == ("fc8:0",)
        assert not damaged.exists()
        assert plan.path.is_dir()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"facets_per_device": -5}, "facets_per_device=-5 must be a whole number from 1"),
        ({"facets_per_device": 0}, "facets_per_device=0 must be"),
        ({"writers": -1}, "writers=-1 must be a whole number from 0"),
        ({"hold": float("inf")}, "hold=inf must be a finite number"),
        ({"step_fraction": 0.0}, "step_fraction=0.0 must be above 0"),
        ({"seed": -1}, "seed=-1 must be a whole number from 0"),
        ({"perplexity": float("nan")}, "perplexity=nan must be a finite"),
        ({"max_facets": 0}, "max_facets=0 must be a whole number from 1"),
    ],
)
def test_options_are_refused_before_anything_is_opened(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        build(tmp_path / "atlas", "no such pool", **options)
    assert not (tmp_path / "atlas").exists()


def spoil(path, how):
    if how == "deleted":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "cut off":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        other = path.with_name("other")
        shutil.copy(path, other)
        path.unlink()
        path.symlink_to(other)


@pytest.mark.parametrize("how", ["deleted", "empty", "cut off", "linked"])
def test_pages_and_covers_are_made_again(atlas_copy, how):
    unit = atlas_copy / "units" / "fc-0001"
    before = {name: (unit / name).read_bytes() for name in (PAGE, COVER, STRIP)}
    with AtlasFolder(atlas_copy, read_plan(atlas_copy)) as folder:
        assert restore_pages(folder, UNITS) == []
        for name, data in before.items():
            spoil(unit / name, how)
            assert restore_pages(folder, UNITS) == ["fc:1"]
            assert (unit / name).read_bytes() == data
            assert not (unit / name).is_symlink()


def test_the_same_command_makes_pages_again(atlas_copy, small_pool):
    for name in (PAGE, COVER, STRIP):
        (atlas_copy / "units" / "fc-0002" / name).unlink()
    assert build(atlas_copy, small_pool, devices=ONE_DEVICE).made == ()
    no_strays(atlas_copy)
    assert {PAGE, COVER, STRIP} <= set(os.listdir(atlas_copy / "units" / "fc-0002"))


def test_report_makes_pages_and_covers_again(atlas_copy, capsys):
    unit = atlas_copy / "units" / "fc-0002"
    before = {name: (unit / name).read_bytes() for name in (PAGE, COVER, STRIP)}
    gallery = atlas_copy / "index.html"
    for folder, written in ((unit, unit / PAGE), (atlas_copy, gallery)):
        for name in before:
            (unit / name).write_bytes(b"damaged")
        gallery.unlink(missing_ok=True)
        report.command(folder, figures=False)
        assert capsys.readouterr().out == f"{written}\n"
        assert {name: (unit / name).read_bytes() for name in before} == before
    assert "fc:2" in gallery.read_text()


def test_a_merge_copies_what_runs_recorded_and_nothing_else(atlas_copy, whole_atlas, tmp_path):
    (tmp_path / "secret").write_text("a secret")
    units = atlas_copy / "units"
    (units / "fc-0000" / "notes").symlink_to(tmp_path / "secret")
    (units / "fc-0000" / "private.txt").write_text("not recorded")
    (units / "fc-0000" / PAGE).unlink()
    (units / "fc-0000" / PAGE).symlink_to(tmp_path / "secret")
    (units / "fc-0001" / COVER).write_bytes(b"of somebody else")
    arrays = units / "fc-0002" / "arrays.npz"
    shutil.move(arrays, tmp_path / "arrays.npz")
    arrays.symlink_to(tmp_path / "arrays.npz")
    shutil.move(units / "fc-0003", tmp_path / "moved")
    (units / "fc-0003").symlink_to(tmp_path / "moved")
    merged = merge_atlas(tmp_path / "all", [atlas_copy])
    assert merged.added == ("fc:0", "fc:1")
    assert merged.missing == ("fc:2", "fc:3")
    assert "arrays.npz is a link, which no run has; it is not followed" in merged.damaged["fc:2"]
    assert "fc-0003 is a link" in merged.damaged["fc:3"]
    for path in (tmp_path / "all").rglob("*"):
        assert not path.is_symlink()
        assert path.is_dir() or b"secret" not in path.read_bytes()
    assert same_units(whole_atlas[0], tmp_path / "all", names=FOLDERS[:2])
    assert not (tmp_path / "all" / "units" / "fc-0000" / "private.txt").exists()


def test_a_merge_has_the_units_of_all_folders(atlas_copy, whole_atlas, tmp_path):
    """Of two atlases that differ in nothing but their units."""
    parts = [tmp_path / "a", tmp_path / "b"]
    for part, chosen in zip(parts, (UNITS[:2], UNITS[1:]), strict=True):
        shutil.copytree(atlas_copy, part)
        text = json.loads((part / "atlas.json").read_text())
        text["plan"]["units"] = list(chosen)
        (part / "atlas.json").write_text(json.dumps(text))
        for unit, name in zip(UNITS, FOLDERS, strict=True):
            if unit not in chosen:
                shutil.rmtree(part / "units" / name)
    merged = merge_atlas(tmp_path / "all", parts)
    assert (merged.added, merged.missing) == (UNITS, ())
    assert same_units(whole_atlas[0], tmp_path / "all")


def test_files_of_somebody_in_a_damaged_unit_are_told_of_first(atlas_copy, small_pool):
    unit = atlas_copy / "units" / "fc-0001"
    (unit / "arrays.npz").unlink()
    (unit / "notes.txt").write_text("of the user")
    with pytest.raises(AtlasError, match=r"made again, but also holds notes.txt, which no run"):
        build(atlas_copy, small_pool, devices=ONE_DEVICE)
    assert (unit / "notes.txt").read_text() == "of the user"


def test_a_unit_that_was_tampered_with_is_not_merged(atlas_copy, tmp_path):
    path = atlas_copy / "units" / "fc-0000" / "run.json"
    head = json.loads(path.read_text())
    head["shown"]["phase_ends"] = [2, 1]
    path.write_text(json.dumps(head))
    merged = merge_atlas(tmp_path / "all", [atlas_copy])
    assert "shown.phase_ends is [2, 1]" in merged.damaged["fc:0"]
    assert load_run(tmp_path / "all" / "units" / "fc-0001").unit == "fc:1"


def test_options_of_recipes_are_refused_before_work(small_pool, tmp_path):
    from mfvjax.recipes import MEAN_IMAGE

    with pytest.raises(ValueError, match="a margin of"):
        build(tmp_path / "a", small_pool, recipe=dataclasses.replace(MEAN_IMAGE, design_size=None))
    assert np.all([not path.name.startswith("units") for path in tmp_path.rglob("*")])
