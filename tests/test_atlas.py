"""Atlases of a tiny network: what they hold and how they resume."""

import json
import os
import shutil

import jax
import numpy as np
import pytest

from mfvjax.atlas import AtlasError, DamagedUnitWarning, merge_atlas
from mfvjax.pipeline import largest_difference, replay, run_unit
from mfvjax.store import load_run
from tests.small_atlas import FOLDERS, UNITS, build, recipe, same_units, shared_network

ONE_DEVICE = jax.devices("cpu")[:1]


def test_the_folder_holds_every_unit_and_nothing_else(whole_atlas):
    out, atlas, _ = whole_atlas
    assert atlas.made == UNITS
    assert (atlas.missing, atlas.damaged, atlas.by_class) == ((), {}, 3)
    assert sorted(os.listdir(out)) == ["atlas.json", "atlas.lock", "index.html", "units"]
    assert sorted(os.listdir(out / "units")) == FOLDERS
    files = {"arrays.npz", "controls", "cover.jpg", "facets", "facets.jpg", "nearest", "run.json"}
    assert set(os.listdir(out / "units" / "fc-0000")) == files | {"report.html"}


def test_progress_is_told_step_by_step(whole_atlas):
    steps = whole_atlas[2]
    names = [step for step, _, _ in steps]
    order = ["reading images", "finding facets", "ascent", "units"]
    assert [names.index(step) for step in order] == sorted(names.index(step) for step in order)
    for step in order:
        assert steps[len(names) - 1 - names[::-1].index(step)][1:] in [(72, 72), (4, 4)]
    # One streaming pass: each of the 72 images is read once, for all four units.
    assert [s for s in steps if s[0] == "reading images"][-1][1:] == (72, 72)
    assert names.count("reading images") == 3


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 3])
def test_a_unit_is_what_the_main_job_makes(number, whole_atlas, small_pool):
    """Class 1 has images in the pool, class 3 has none and takes the top of it."""
    stored = load_run(whole_atlas[0] / "units" / FOLDERS[number])
    assert [images.dtype for images in stored.shown.phase_images] == [np.uint8] * 2
    images = small_pool / "class_1" if number == 1 else small_pool
    top = {} if number == 1 else {"top_count": 10}
    alone = run_unit(
        shared_network(),
        images,
        unit=f"fc:{number}",
        num_facets=2,
        num_mean_images=5,
        hold=1.0,
        recipe=recipe(),
        **top,
    )
    assert stored.options["discovery"] == alone.options["discovery"]
    assert sorted(name.split("/")[-1] for name in stored.real.names) == sorted(
        name.split("/")[-1] for name in alone.real.names
    )
    # Few steps: the difference of batch shapes has not grown yet.
    np.testing.assert_allclose(stored.shown.images, alone.shown.images, atol=0.05)
    np.testing.assert_array_equal(stored.facets.sizes, alone.facets.sizes)
    assert stored.scores.keys() == alone.scores.keys()


def test_a_unit_writes_down_where_its_images_came_from(whole_atlas, small_pool):
    options = load_run(whole_atlas[0] / "units" / "fc-0001").options
    assert options["images"] == f"class:class 1@{small_pool}"
    assert load_run(whole_atlas[0] / "units" / "fc-0003").options["images"] == str(small_pool)


@pytest.mark.slow
def test_units_replay_like_any_run(small_pool, tmp_path):
    """Class 1 with its images, class 3 with the top of the pool."""
    few = {"recipe": "small-image", "step_fraction": 0.05}
    build(tmp_path / "atlas", small_pool, units=("fc:1", "fc:3"), **few)
    for name in ("fc-0001", "fc-0003"):
        run = load_run(tmp_path / "atlas" / "units" / name)
        again = replay(run, network=shared_network())
        assert largest_difference(run, again) < 0.1


def test_again_nothing_is_done(whole_atlas, small_pool):
    out, _, _ = whole_atlas
    before = {path: path.stat().st_mtime_ns for path in (out / "units").rglob("*")}
    atlas = build(out, small_pool, devices=ONE_DEVICE)
    assert (atlas.made, atlas.missing) == ((), ())
    assert {path: path.stat().st_mtime_ns for path in (out / "units").rglob("*")} == before


def test_exactly_what_is_missing_or_damaged_is_made(whole_atlas, atlas_copy, small_pool):
    shutil.rmtree(atlas_copy / "units" / "fc-0001")
    image = atlas_copy / "units" / "fc-0003" / "facets" / "01.png"
    data = bytearray(image.read_bytes())
    data[len(data) // 2] ^= 1
    image.write_bytes(bytes(data))
    with pytest.warns(DamagedUnitWarning, match=r"facets/01.png is damaged: .*; it is made again"):
        atlas = build(atlas_copy, small_pool, devices=ONE_DEVICE)
    assert atlas.made == ("fc:1", "fc:3")
    assert list(atlas.damaged) == ["fc:3"]
    assert same_units(whole_atlas[0], atlas_copy)


def test_shards_in_folders_of_their_own_merge_into_the_same_atlas(
    whole_atlas, small_pool, tmp_path
):
    parts = [tmp_path / "a", tmp_path / "b"]
    for index, part in enumerate(parts):
        shutil.copytree(whole_atlas[0], part)
        for other in FOLDERS[1 - index :: 2]:
            shutil.rmtree(part / "units" / other)
    half = merge_atlas(tmp_path / "all", parts[:1])
    assert half.missing == ("fc:1", "fc:3")
    (parts[1] / "units" / "fc-0003" / "arrays.npz").unlink()
    merged = merge_atlas(tmp_path / "all", parts)
    assert (merged.added, merged.missing) == (("fc:1",), ("fc:3",))
    assert "arrays.npz is missing" in merged.damaged["fc:3"]
    shutil.copytree(
        whole_atlas[0] / "units" / "fc-0003", parts[1] / "units" / "fc-0003", dirs_exist_ok=True
    )
    assert merge_atlas(tmp_path / "all", parts).missing == ()
    assert same_units(whole_atlas[0], tmp_path / "all")
    assert build(tmp_path / "all", small_pool, devices=ONE_DEVICE).made == ()
    with pytest.raises(AtlasError, match="name at least one folder"):
        merge_atlas(tmp_path / "all", [])
    text = json.loads((parts[1] / "atlas.json").read_text())
    text["plan"]["seed"] = 7
    (parts[1] / "atlas.json").write_text(json.dumps(text))
    with pytest.raises(AtlasError, match="are not of one atlas; seed: 0 there, 7 now"):
        merge_atlas(tmp_path / "all", parts)


def test_an_interrupted_call_leaves_what_it_finished(whole_atlas, atlas_copy, small_pool):
    for name in FOLDERS[2:]:
        shutil.rmtree(atlas_copy / "units" / name)

    def stop(step, done, total):
        if step == "units":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(atlas_copy, small_pool, devices=ONE_DEVICE, progress=stop)
    assert sorted(os.listdir(atlas_copy / "units")) == FOLDERS[:3]
    assert "fc:3" in (atlas_copy / "index.html").read_text().partition("not finished")[2]
    build(atlas_copy, small_pool, devices=ONE_DEVICE)
    assert same_units(whole_atlas[0], atlas_copy)


def test_a_facet_does_not_depend_on_its_batch(whole_atlas, small_pool, tmp_path):
    """Other neighbors, another order, another place in the batch: the same bits."""
    atlas = build(tmp_path / "atlas", small_pool, units=("fc:3", "fc:1"), devices=ONE_DEVICE)
    assert atlas.missing == ()
    for name in ("fc-0003", "fc-0001"):
        a = load_run(whole_atlas[0] / "units" / name).shown
        b = load_run(tmp_path / "atlas" / "units" / name).shown
        assert a.images.tobytes() == b.images.tobytes()
        assert a.activations.tobytes() == b.activations.tobytes()
