"""Atlases of a tiny network: what they hold, how they resume, and what they say of faults."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import jax
import numpy as np
import pytest

from mfvjax.atlas import (
    AtlasBusyError,
    AtlasError,
    ChangedImageError,
    DamagedUnitWarning,
    Share,
    UnitFailedWarning,
    join_processes,
    merge_atlas,
)
from mfvjax.facets.codes import compute_codes
from mfvjax.facets.top import top_images
from mfvjax.pipeline import largest_difference, replay, run_unit
from mfvjax.store import RunWriteError, load_run
from tests.small_atlas import build, paint_pool, schedule, shared_network
from tests.tiny_network import tiny_network

UNITS = ("fc:0", "fc:1", "fc:2", "fc:3")
FOLDERS = ["fc-0000", "fc-0001", "fc-0002", "fc-0003"]
ONE_DEVICE = jax.devices("cpu")[:1]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return paint_pool(tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="module")
def whole(pool, tmp_path_factory):
    """An atlas made in one go, and what the call returned."""
    steps = []
    out = tmp_path_factory.mktemp("whole") / "atlas"
    atlas = build(out, pool, devices=ONE_DEVICE, progress=lambda *step: steps.append(step))
    return out, atlas, steps


@pytest.fixture
def out(whole, tmp_path):
    """A copy of it, to be damaged."""
    shutil.copytree(whole[0], tmp_path / "atlas")
    return tmp_path / "atlas"


def contents(folder):
    """Every file below a folder, with its bytes; of run.json only what is the same each time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
    for name in [name for name in found if name.endswith(("run.json", "report.html"))]:
        del found[name]
    return found


def same_units(one, other, names=FOLDERS):
    """Whether the units of two atlases are equal, bit for bit."""
    for name in names:
        a, b = load_run(one / "units" / name), load_run(other / "units" / name)
        assert (a.unit, a.title, a.options) == (b.unit, b.title, b.options)
        assert a.shown.images.tobytes() == b.shown.images.tobytes()
        assert a.real.map.tobytes() == b.real.map.tobytes()
        assert {k: v.tobytes() for k, v in a.scores.items()} == {
            k: v.tobytes() for k, v in b.scores.items()
        }
    return contents(one / "units") == contents(other / "units")


def test_the_folder_holds_every_unit_and_nothing_else(whole):
    out, atlas, _ = whole
    assert atlas.made == UNITS
    assert (atlas.missing, atlas.damaged, atlas.by_class) == ((), {}, 3)
    assert sorted(os.listdir(out)) == ["atlas.json", "atlas.lock", "index.html", "units"]
    assert sorted(os.listdir(out / "units")) == FOLDERS
    files = {"arrays.npz", "cover.jpg", "facets", "facets.jpg", "nearest", "report.html"}
    assert set(os.listdir(out / "units" / "fc-0000")) == files | {"run.json"}


def test_progress_is_told_step_by_step(whole):
    steps = whole[2]
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
def test_a_unit_is_what_the_main_job_makes(number, whole, pool):
    """Class 1 has images in the pool, class 3 has none and takes the top of it."""
    stored = load_run(whole[0] / "units" / FOLDERS[number])
    images = pool / "class_1" if number == 1 else pool
    top = {} if number == 1 else {"top_count": 10}
    alone = run_unit(
        shared_network(),
        images,
        unit=f"fc:{number}",
        num_facets=2,
        num_mean_images=5,
        hold=1.0,
        schedule=schedule(),
        **top,
    )
    assert stored.options["discovery"] == {"num_mean_images": 5, **top}
    assert sorted(name.split("/")[-1] for name in stored.real.names) == sorted(
        name.split("/")[-1] for name in alone.real.names
    )
    # Few steps: the difference of batch shapes has not grown yet.
    np.testing.assert_allclose(stored.shown.images, alone.shown.images, atol=0.05)
    np.testing.assert_array_equal(stored.facets.sizes, alone.facets.sizes)
    assert stored.scores.keys() == alone.scores.keys()


def test_a_unit_writes_down_where_its_images_came_from(whole, pool):
    options = load_run(whole[0] / "units" / "fc-0001").options
    assert options["images"] == f"class:class 1@{pool}"
    assert load_run(whole[0] / "units" / "fc-0003").options["images"] == str(pool)


@pytest.mark.slow
def test_units_replay_like_any_run(pool, tmp_path):
    """Class 1 with its images, class 3 with the top of the pool."""
    few = {"schedule": "small-image", "step_fraction": 0.05}
    build(tmp_path / "atlas", pool, units=("fc:1", "fc:3"), **few)
    for name in ("fc-0001", "fc-0003"):
        run = load_run(tmp_path / "atlas" / "units" / name)
        again = replay(run, network=shared_network())
        assert largest_difference(run, again) < 0.1


def test_the_pass_reads_what_single_passes_read(pool, tmp_path):
    """Codes and top images of classes and of a map's units against the functions for one unit."""
    from mfvjax.atlas.choice import Choice
    from mfvjax.atlas.scan import Scan
    from mfvjax.images import open_images

    network = shared_network()
    (pool / "class_0" / "broken.png").write_bytes(b"no image")
    source = open_images(pool)
    own = np.array([i for i, name in enumerate(source.names) if name.startswith("class_0")])
    choices = [
        Choice("fc:2", count=13),
        Choice("fc:0", "class 0", own),
        Choice("conv2:3", count=13),
        Choice("conv2:4@2,5", count=13),
    ]
    try:
        with Scan(network, source, choices, tmp_path) as scan:
            found = [scan.codes(row) for row in range(4)]
    finally:
        (pool / "class_0" / "broken.png").unlink()
    assert [s.name for s in found[0].skipped] == ["class_0/broken.png"]
    for choice, codes in zip(choices, found, strict=True):
        expected = compute_codes(network, source, unit=choice.unit)
        rows = {index: row for row, index in enumerate(expected.indices.tolist())}
        which = [rows[index] for index in codes.indices.tolist()]
        np.testing.assert_allclose(codes.codes, expected.codes[which], atol=1e-6)
        np.testing.assert_array_equal(codes.names, np.array(expected.names)[which])
        if choice.indices is None:
            (top,) = top_images(network, source, units=[choice.unit], count=13)
            np.testing.assert_array_equal(codes.indices, top.indices)
            np.testing.assert_allclose(codes.activations, top.activations, atol=1e-6)
            if top.positions is not None:
                np.testing.assert_array_equal(codes.positions, top.positions)
    assert len(found[1].names) == 24


def test_again_nothing_is_done(whole, pool):
    out, _, _ = whole
    before = {path: path.stat().st_mtime_ns for path in (out / "units").rglob("*")}
    atlas = build(out, pool, devices=ONE_DEVICE)
    assert (atlas.made, atlas.missing) == ((), ())
    assert {path: path.stat().st_mtime_ns for path in (out / "units").rglob("*")} == before


def test_exactly_what_is_missing_or_damaged_is_made(whole, out, pool):
    shutil.rmtree(out / "units" / "fc-0001")
    image = out / "units" / "fc-0003" / "facets" / "01.png"
    data = bytearray(image.read_bytes())
    data[len(data) // 2] ^= 1
    image.write_bytes(bytes(data))
    with pytest.warns(DamagedUnitWarning, match=r"facets/01.png is damaged: .*; it is made again"):
        atlas = build(out, pool, devices=ONE_DEVICE)
    assert atlas.made == ("fc:1", "fc:3")
    assert list(atlas.damaged) == ["fc:3"]
    assert same_units(whole[0], out)


def test_shards_in_folders_of_their_own_merge_into_the_same_atlas(whole, pool, tmp_path):
    parts = [tmp_path / "a", tmp_path / "b"]
    for index, part in enumerate(parts):
        shutil.copytree(whole[0], part)
        for other in FOLDERS[1 - index :: 2]:
            shutil.rmtree(part / "units" / other)
    half = merge_atlas(tmp_path / "all", parts[:1])
    assert half.missing == ("fc:1", "fc:3")
    (parts[1] / "units" / "fc-0003" / "arrays.npz").unlink()
    merged = merge_atlas(tmp_path / "all", parts)
    assert (merged.added, merged.missing) == (("fc:1",), ("fc:3",))
    assert "arrays.npz is missing" in merged.damaged["fc:3"]
    shutil.copytree(
        whole[0] / "units" / "fc-0003", parts[1] / "units" / "fc-0003", dirs_exist_ok=True
    )
    assert merge_atlas(tmp_path / "all", parts).missing == ()
    assert same_units(whole[0], tmp_path / "all")
    assert build(tmp_path / "all", pool, devices=ONE_DEVICE).made == ()
    with pytest.raises(AtlasError, match="name at least one folder"):
        merge_atlas(tmp_path / "all", [])
    text = json.loads((parts[1] / "atlas.json").read_text())
    text["plan"]["seed"] = 7
    (parts[1] / "atlas.json").write_text(json.dumps(text))
    with pytest.raises(AtlasError, match="are not of one atlas; seed: 0 there, 7 now"):
        merge_atlas(tmp_path / "all", parts)


def test_other_arguments_are_refused_before_any_work(whole, pool):
    with pytest.raises(AtlasError, match=r"another atlas; hold: 1\.0 there, 0\.5 now"):
        build(whole[0], pool, hold=0.5)
    with pytest.raises(AtlasError, match=r"units: 4 of them, fc:0 to fc:3 there, \['fc:0'\] now"):
        build(whole[0], pool, units=["fc:0"])
    with pytest.raises(AtlasError, match=r"network\.fingerprint: \w+ there, \w+ now"):
        build(whole[0], pool, network=tiny_network(seed=1))


def test_an_image_added_to_the_pool_is_noticed(whole, pool, tmp_path):
    shutil.copytree(pool, tmp_path / "pool")
    shutil.copy(pool / "class_0" / "00.png", tmp_path / "pool" / "class_0" / "new.png")
    with pytest.raises(AtlasError, match=r"images.count: 72 there, 73 now; .*images.source"):
        build(whole[0], tmp_path / "pool")


def test_a_changed_image_is_named_and_the_rest_is_kept(out, pool, tmp_path, monkeypatch):
    """The image changes between the search for facets and the ascent."""
    from mfvjax.atlas import build as build_module

    shutil.rmtree(out / "units" / "fc-0001")
    changed = pool / "class_1" / "03.png"
    before = changed.read_bytes()
    ascend = build_module.ascend_jobs

    def change_first(*arguments, **options):
        changed.write_bytes((pool / "class_2" / "03.png").read_bytes())
        return ascend(*arguments, **options)

    monkeypatch.setattr(build_module, "ascend_jobs", change_first)
    try:
        with pytest.raises(ChangedImageError, match=r"image 'class_1/03.png' has changed since"):
            build(out, pool, devices=ONE_DEVICE)
    finally:
        changed.write_bytes(before)
    monkeypatch.undo()
    assert sorted(os.listdir(out / "units")) == [FOLDERS[i] for i in (0, 2, 3)]
    assert build(out, pool, devices=ONE_DEVICE).made == ("fc:1",)


def test_a_full_disk_is_explained_and_costs_only_what_was_being_written(
    whole, out, pool, monkeypatch
):
    for name in FOLDERS[1:]:
        shutil.rmtree(out / "units" / name)
    written = []

    def full(path, mode):
        written.append(path)
        later = "fc-0002" in str(path) and path.name == "arrays.npz"
        return open("/dev/full", "wb") if later else open(path, mode)

    monkeypatch.setattr("mfvjax.store.files.open", full, raising=False)
    with pytest.raises(RunWriteError, match=r"no space left in .*units: the run takes"):
        build(out, pool, devices=ONE_DEVICE)
    monkeypatch.undo()
    assert sorted(os.listdir(out / "units")) == FOLDERS[:2]
    assert sorted(os.listdir(out / "found")) == ["fc-0002.npz", "fc-0003.npz"]
    steps = []
    build(out, pool, devices=ONE_DEVICE, progress=lambda step, *_: steps.append(step))
    assert "reading images" not in steps  # the facets had been found already
    assert same_units(whole[0], out)
    assert sorted(os.listdir(out)) == ["atlas.json", "atlas.lock", "index.html", "units"]


def test_found_facets_that_are_damaged_are_found_again(whole, out, pool):
    shutil.rmtree(out / "units" / "fc-0002")
    (out / "found").mkdir(exist_ok=True)
    (out / "found" / "fc-0002.npz").write_bytes(b"half a file")
    (out / "found" / "fc-0002.npz.0a.partial").write_bytes(b"half")
    assert build(out, pool, devices=ONE_DEVICE).made == ("fc:2",)
    assert same_units(whole[0], out)
    assert not (out / "found").exists()


def test_what_is_in_a_units_place_is_not_overwritten(out, pool):
    for name in ("fc-0000", "fc-0001", "fc-0002"):
        shutil.rmtree(out / "units" / name)
    shutil.copytree(out / "units" / "fc-0003", out / "units" / "fc-0001")
    with pytest.raises(AtlasError, match=r"fc-0001 holds a run of fc:3, not of fc:1; move it"):
        build(out, pool)
    shutil.rmtree(out / "units" / "fc-0001")
    (out / "units" / "fc-0002").mkdir()
    (out / "units" / "fc-0002" / "notes.txt").write_text("mine")
    with pytest.raises(AtlasError, match=r"fc-0002 is in the way: .* holds no run"):
        build(out, pool)
    assert (out / "units" / "fc-0002" / "notes.txt").read_text() == "mine"


def test_a_run_of_another_network_is_not_taken_for_a_unit(out, pool):
    path = out / "units" / "fc-0000" / "run.json"
    head = json.loads(path.read_text())
    head["network"]["fingerprint"] = "0"
    path.write_text(json.dumps(head))
    with pytest.raises(AtlasError, match="fc-0000 holds a run of another network; move it away"):
        build(out, pool)


@pytest.fixture
def read_only_folder():
    """A folder that this process cannot write to, even where tests run as root."""
    folder = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o555)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        yield folder
    finally:
        os.seteuid(user)
        folder.chmod(0o755)
        shutil.rmtree(folder)


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


def test_a_second_process_on_the_same_units_is_refused(out, pool):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(AtlasBusyError, match=r"another process is working on fc:1 in .*atlas"):
        build(out, pool)
    with pytest.raises(AtlasBusyError, match="working on fc:1"):
        merge_atlas(out, [out])
    # The other half is free.
    assert build(out, pool, share=Share(0, 2)).units == ("fc:0", "fc:2")
    other.communicate()
    assert build(out, pool).units == UNITS


def test_an_interrupted_call_leaves_what_it_finished(whole, out, pool):
    for name in FOLDERS[2:]:
        shutil.rmtree(out / "units" / name)

    def stop(step, done, total):
        if step == "units":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(out, pool, devices=ONE_DEVICE, progress=stop)
    assert sorted(os.listdir(out / "units")) == FOLDERS[:3]
    assert "fc:3" in (out / "index.html").read_text().partition("not finished")[2]
    build(out, pool, devices=ONE_DEVICE)
    assert same_units(whole[0], out)


def test_a_facet_does_not_depend_on_its_batch(whole, pool, tmp_path):
    """Other neighbors, another order, another place in the batch: the same bits."""
    atlas = build(tmp_path / "atlas", pool, units=("fc:3", "fc:1"), devices=ONE_DEVICE)
    assert atlas.missing == ()
    for name in ("fc-0003", "fc-0001"):
        a = load_run(whole[0] / "units" / name).shown
        b = load_run(tmp_path / "atlas" / "units" / name).shown
        assert a.images.tobytes() == b.images.tobytes()
        assert a.activations.tobytes() == b.activations.tobytes()


def test_a_unit_without_facets_does_not_stop_the_others(pool, tmp_path):
    """All images of one class are the same one."""
    shutil.copytree(pool, tmp_path / "pool")
    for path in (tmp_path / "pool" / "class_1").iterdir():
        path.write_bytes((pool / "class_1" / "00.png").read_bytes())
    with pytest.warns(UnitFailedWarning, match="fc:1 is left out: all 24 images have the same co"):
        atlas = build(tmp_path / "atlas", tmp_path / "pool", devices=ONE_DEVICE)
    assert list(atlas.failed) == ["fc:1"]
    assert atlas.made == ("fc:0", "fc:2", "fc:3")
    assert atlas.missing == ("fc:1",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": ["fc:9"]}, "fc"),
        ({"units": ["fc:0", "fc:0"]}, "unit fc:0 is asked for twice"),
        ({"top_fraction": 0.0}, "top_fraction=0.0 must be in"),
        ({"top_count": 5}, "top_count=5 must be from 10 to the 72 images"),
        ({"num_facets": 20}, "the pool has 72 images; at least 100 are needed"),
        ({"perplexities": 3}, "no option 'perplexities' of discovery; there are"),
        ({"schedule": "best"}, "no schedule 'best'; presets"),
        ({"class_ids": ("a", "b")}, "2 identifiers for 7 classes"),
    ],
)
def test_errors_say_what_would_be_right(options, message, pool, tmp_path):
    with pytest.raises(ValueError, match=message):
        build(tmp_path / "atlas", pool, **options)


def test_processes_meet_before_anything_else():
    with pytest.raises(RuntimeError, match="must be called before"):
        join_processes("127.0.0.1:1", 2, 0)
