"""Atlases that something happens to: each fault is named, and nothing finished is lost."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from mfvjax.atlas import (
    AtlasBusyError,
    AtlasError,
    ChangedImageError,
    Share,
    UnitFailedWarning,
    join_processes,
    merge_atlas,
)
from mfvjax.store import RunWriteError
from tests.small_atlas import FOLDERS, UNITS, build, no_strays, same_units
from tests.tiny_network import tiny_network

ONE_DEVICE = jax.devices("cpu")[:1]


def test_other_arguments_are_refused_before_any_work(whole_atlas, small_pool):
    with pytest.raises(AtlasError, match=r"another atlas; hold: 1\.0 there, 0\.5 now"):
        build(whole_atlas[0], small_pool, hold=0.5)
    with pytest.raises(AtlasError, match=r"network\.fingerprint: \w+ there, \w+ now"):
        build(whole_atlas[0], small_pool, network=tiny_network(seed=1))
    no_strays(whole_atlas[0])


def test_an_image_added_to_the_pool_is_noticed(whole_atlas, small_pool, tmp_path):
    shutil.copytree(small_pool, tmp_path / "pool")
    shutil.copy(small_pool / "class_0" / "00.png", tmp_path / "pool" / "class_0" / "new.png")
    with pytest.raises(AtlasError, match=r"images.count: 72 there, 73 now; .*images.source"):
        build(whole_atlas[0], tmp_path / "pool")


def test_a_changed_image_is_named_and_the_rest_is_kept(
    atlas_copy, small_pool, tmp_path, monkeypatch
):
    """The image changes between the search for facets and the ascent."""
    from mfvjax.atlas import make as make_module

    shutil.rmtree(atlas_copy / "units" / "fc-0001")
    changed = small_pool / "class_1" / "03.png"
    before = changed.read_bytes()
    ascend = make_module.ascend_jobs

    def change_first(*arguments, **options):
        changed.write_bytes((small_pool / "class_2" / "03.png").read_bytes())
        return ascend(*arguments, **options)

    monkeypatch.setattr(make_module, "ascend_jobs", change_first)
    try:
        with pytest.raises(ChangedImageError, match=r"image 'class_1/03.png' has changed since"):
            build(atlas_copy, small_pool, devices=ONE_DEVICE)
    finally:
        changed.write_bytes(before)
    monkeypatch.undo()
    assert sorted(os.listdir(atlas_copy / "units")) == [FOLDERS[i] for i in (0, 2, 3)]
    assert build(atlas_copy, small_pool, devices=ONE_DEVICE).made == ("fc:1",)


def test_a_full_disk_is_explained_and_costs_only_what_was_being_written(
    whole_atlas, atlas_copy, small_pool, monkeypatch
):
    for name in FOLDERS[1:]:
        shutil.rmtree(atlas_copy / "units" / name)
    written = []

    def full(path, mode):
        written.append(path)
        later = "fc-0002" in str(path) and path.name == "arrays.npz"
        return open("/dev/full", "wb") if later else open(path, mode)

    monkeypatch.setattr("mfvjax.store.files.open", full, raising=False)
    with pytest.raises(RunWriteError, match=r"no space left in .*units: the run takes"):
        build(atlas_copy, small_pool, devices=ONE_DEVICE)
    monkeypatch.undo()
    assert sorted(os.listdir(atlas_copy / "units")) == FOLDERS[:2]
    assert sorted(os.listdir(atlas_copy / "found")) == ["fc-0002.npz", "fc-0003.npz"]
    steps = []
    build(atlas_copy, small_pool, devices=ONE_DEVICE, progress=lambda step, *_: steps.append(step))
    assert "reading images" not in steps  # the facets had been found already
    assert same_units(whole_atlas[0], atlas_copy)
    assert sorted(os.listdir(atlas_copy)) == ["atlas.json", "atlas.lock", "index.html", "units"]


def test_found_facets_that_are_damaged_are_found_again(whole_atlas, atlas_copy, small_pool):
    shutil.rmtree(atlas_copy / "units" / "fc-0002")
    (atlas_copy / "found").mkdir(exist_ok=True)
    (atlas_copy / "found" / "fc-0002.npz").write_bytes(b"half a file")
    (atlas_copy / "found" / "fc-0002.npz.0a.partial").write_bytes(b"half")
    assert build(atlas_copy, small_pool, devices=ONE_DEVICE).made == ("fc:2",)
    assert same_units(whole_atlas[0], atlas_copy)
    assert not (atlas_copy / "found").exists()


def test_what_only_unfinished_units_need_goes_with_the_last_one(atlas_copy, small_pool):
    """The process that was to remove it was killed."""
    (atlas_copy / "passes" / "old" / "000000").mkdir(parents=True)
    (atlas_copy / "found").mkdir()
    (atlas_copy / "found" / "fc-0002.npz").write_bytes(b"of a unit that is finished")
    assert build(atlas_copy, small_pool, devices=ONE_DEVICE).made == ()
    no_strays(atlas_copy)


def test_what_is_in_a_units_place_is_not_overwritten(atlas_copy, small_pool):
    for name in ("fc-0000", "fc-0001", "fc-0002"):
        shutil.rmtree(atlas_copy / "units" / name)
    shutil.copytree(atlas_copy / "units" / "fc-0003", atlas_copy / "units" / "fc-0001")
    with pytest.raises(AtlasError, match=r"fc-0001 holds a run of fc:3, not of fc:1; move it"):
        build(atlas_copy, small_pool)
    shutil.rmtree(atlas_copy / "units" / "fc-0001")
    (atlas_copy / "units" / "fc-0002").mkdir()
    (atlas_copy / "units" / "fc-0002" / "notes.txt").write_text("mine")
    with pytest.raises(AtlasError, match=r"fc-0002 is in the way: .* holds no run"):
        build(atlas_copy, small_pool)
    assert (atlas_copy / "units" / "fc-0002" / "notes.txt").read_text() == "mine"


def test_a_run_of_another_network_is_not_taken_for_a_unit(atlas_copy, small_pool):
    path = atlas_copy / "units" / "fc-0000" / "run.json"
    head = json.loads(path.read_text())
    head["network"]["fingerprint"] = "0"
    path.write_text(json.dumps(head))
    with pytest.raises(AtlasError, match="fc-0000 holds a run of another network; move it away"):
        build(atlas_copy, small_pool)


def test_a_read_only_folder_is_refused_before_any_work(read_only_folder):
    source = np.zeros((30, 24, 24, 3), np.uint8)
    with pytest.raises(RunWriteError, match=r"cannot be written to \(Permission denied\); choose"):
        build(read_only_folder / "atlas", source)
    with pytest.raises(RunWriteError, match="cannot be written to"):
        build(read_only_folder, source)


HOLD = """
import pathlib, sys
from mfvjax.atlas import AtlasFolder
from mfvjax.atlas.plan import read_plan
path = pathlib.Path(sys.argv[1])
with AtlasFolder(path, read_plan(path)) as folder:
    folder.lock(folder.plan.units[1::2])
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_on_the_same_units_is_refused(atlas_copy, small_pool):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(atlas_copy)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(AtlasBusyError, match=r"another process is working on fc:1 in .*atlas"):
        build(atlas_copy, small_pool)
    with pytest.raises(AtlasBusyError, match="working on fc:1"):
        merge_atlas(atlas_copy, [atlas_copy])
    # The other half is free.
    assert build(atlas_copy, small_pool, share=Share(0, 2)).units == ("fc:0", "fc:2")
    other.communicate()
    assert build(atlas_copy, small_pool).units == UNITS


def test_a_unit_without_facets_does_not_stop_the_others(small_pool, tmp_path):
    """All images of one class are the same one."""
    shutil.copytree(small_pool, tmp_path / "pool")
    for path in (tmp_path / "pool" / "class_1").iterdir():
        path.write_bytes((small_pool / "class_1" / "00.png").read_bytes())
    with pytest.warns(UnitFailedWarning, match="fc:1 is left out: all 24 images have the same co"):
        atlas = build(tmp_path / "atlas", tmp_path / "pool", devices=ONE_DEVICE)
    assert list(atlas.failed) == ["fc:1"]
    assert atlas.made == ("fc:0", "fc:2", "fc:3")
    assert atlas.missing == ("fc:1",)


@pytest.mark.parametrize("other", ["conv2:3", None])
def test_a_unit_that_no_image_activates_is_left_out(other, small_pool, tmp_path):
    network = tiny_network()

    def forward(params, net_input):
        out = dict(network.forward(params, net_input))
        return {**out, "conv2": out["conv2"].at[..., 1].set(0)}

    dead = dataclasses.replace(network, forward=forward)
    units = ("conv2:1",) if other is None else ("conv2:1", other)
    message = "conv2:1 is left out: no image of the pool activates conv2:1; at least 10 are"
    with pytest.warns(UnitFailedWarning, match=message):
        atlas = build(tmp_path / "a", small_pool, units=units, network=dead, devices=ONE_DEVICE)
    assert atlas.made == units[1:]
    assert atlas.missing == ("conv2:1",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": ["fc:9"]}, "fc"),
        ({"units": ["fc:0", "fc:0"]}, "unit fc:0 is asked for twice"),
        ({"top_fraction": 0.0}, "top_fraction=0.0 must be in"),
        ({"top_count": 5}, "top_count=5 must be from 10 to the 72 images"),
        ({"num_facets": 20}, "the pool has 72 images; at least 100 are needed"),
        ({"perplexities": 3}, "no option 'perplexities' of discovery; there are"),
        ({"positions": "border"}, 'positions must be "inside" or "all"'),
        ({"recipe": "best"}, "no recipe 'best'; there are"),
        ({"class_ids": ("a", "b")}, "2 identifiers for 7 classes"),
    ],
)
def test_errors_say_what_would_be_right(options, message, small_pool, tmp_path):
    with pytest.raises(ValueError, match=message):
        build(tmp_path / "atlas", small_pool, **options)


def test_processes_meet_before_anything_else():
    with pytest.raises(RuntimeError, match="must be called before"):
        join_processes("127.0.0.1:1", 2, 0)
