"""Passes over a pool: it does not matter who reads which block, how often interrupted."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

import mfvjax.atlas.passes
import mfvjax.atlas.scan
from mfvjax.atlas import ChangedImageError, Share
from mfvjax.atlas.block import BlockWriter
from mfvjax.atlas.choice import Choice
from mfvjax.atlas.folder import AtlasFolder
from mfvjax.atlas.locks import UnitLocks
from mfvjax.atlas.passes import PassPlan, join_passes, mark_failed, remove_done_passes
from mfvjax.atlas.pool_pass import PoolPass
from mfvjax.facets.codes import compute_codes
from mfvjax.facets.top import top_images
from mfvjax.images import open_images
from mfvjax.store import RunWriteError
from tests.small_atlas import FOLDERS, build, no_strays, same_units, shared_network
from tests.test_atlas_parts import make_plan

ONE_DEVICE = jax.devices("cpu")[:1]


def test_the_pass_reads_what_single_passes_read(small_pool, tmp_path):
    """Codes and top images of classes and of a map's units against the functions for one unit."""
    network = shared_network()
    (small_pool / "class_0" / "broken.png").write_bytes(b"no image")
    source = open_images(small_pool)
    own = np.array([i for i, name in enumerate(source.names) if name.startswith("class_0")])
    choices = [
        Choice("fc:2", count=13),
        Choice("fc:0", "class 0", own),
        Choice("conv2:3", count=13),
        Choice("conv2:4@2,5", count=13),
    ]
    try:
        with UnitLocks(tmp_path) as locks:
            reading = PoolPass(PassPlan(tmp_path, (), 16), network, source, choices, locks=locks)
            reading.read()
            found = [reading.codes(choice.unit)[0] for choice in choices]
    finally:
        (small_pool / "class_0" / "broken.png").unlink()
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


def small_choices(source):
    own = np.array([i for i, name in enumerate(source.names) if name.startswith("class_0")])
    return [
        Choice("fc:0", "class 0", own),
        Choice("fc:2", count=13),
        Choice("conv2:3", count=13),
    ]


@contextlib.contextmanager
def small_pass(path, pool, *, images=16, devices=ONE_DEVICE):
    """A pass over the small pool, for one class and two units by rank."""
    source = open_images(pool)
    with UnitLocks(path) as locks:
        yield PoolPass(
            PassPlan(path, (), images),
            shared_network(),
            source,
            small_choices(source),
            locks=locks,
            devices=devices,
        )


def found_in(reading, pool):
    """Everything that a pass found, as bytes."""
    source, found = open_images(pool), []
    for choice in small_choices(source):
        codes, hashes = reading.codes(choice.unit)
        assert hashes == [source.fingerprint(index) for index in codes.indices.tolist()]
        found.append((codes.codes.tobytes(), codes.activations.tobytes(), codes.names))
    return found


def read_pass(path, pool, *, progress=None, **options):
    with small_pass(path, pool, **options) as reading:
        reading.read(progress)
        return found_in(reading, pool)


@pytest.fixture(scope="module")
def in_one_block(small_pool, tmp_path_factory):
    return read_pass(tmp_path_factory.mktemp("pass"), small_pool, images=512)


@pytest.mark.parametrize("devices", [1, 3])
def test_blocks_and_devices_do_not_matter(devices, in_one_block, small_pool, tmp_path):
    found = read_pass(tmp_path, small_pool, devices=jax.devices("cpu")[:devices])
    assert found == in_one_block
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == [
        f"{number:06d}" for number in range(5)
    ]


class StopError(Exception):
    pass


def test_an_interrupted_pass_goes_on_where_it_was(in_one_block, small_pool, tmp_path, monkeypatch):
    def stop(done, total):
        assert total == 72
        if done >= 48:
            raise StopError

    with pytest.raises(StopError):
        read_pass(tmp_path, small_pool, progress=stop)
    there = sorted(p.name for p in tmp_path.iterdir() if p.is_dir())
    assert there == ["000000", "000001", "000002"]
    # One of the three is damaged meanwhile; another process left half a block.
    damaged = tmp_path / "000001" / "0.codes"
    damaged.write_bytes(damaged.read_bytes()[:-4])
    (tmp_path / ".000003.writing-1-dead").mkdir()
    read, load = [], mfvjax.atlas.scan.iterate_batches

    def count(source, *, indices, **options):
        read.extend(indices.tolist())
        return load(source, indices=indices, **options)

    monkeypatch.setattr(mfvjax.atlas.scan, "iterate_batches", count)
    assert read_pass(tmp_path, small_pool) == in_one_block
    assert sorted(read) == [*range(16, 32), *range(48, 72)]
    assert not list(tmp_path.glob(".*"))


def test_codes_that_a_bad_disk_changed_are_read_again(in_one_block, small_pool, tmp_path):
    assert read_pass(tmp_path, small_pool) == in_one_block
    changed = tmp_path / "000002" / "1.codes"
    content = bytearray(changed.read_bytes())
    content[-3] ^= 64
    changed.write_bytes(content)
    assert read_pass(tmp_path, small_pool) == in_one_block
    assert changed.read_bytes() != content


def test_blocks_that_go_bad_one_after_another_are_read_again(in_one_block, small_pool, tmp_path):
    """In the middle of one process's work; what it learned of a block, it does not learn twice."""
    with small_pass(tmp_path, small_pool) as reading:
        reading.read()
        damaged = [path for path in tmp_path.glob("0*/*.codes") if path.stat().st_size]
        assert len(damaged) > 5
        for path in damaged:
            content = bytearray(path.read_bytes())
            content[-3] ^= 64
            path.write_bytes(content)
        assert found_in(reading, small_pool) == in_one_block


READ = """
import pathlib, sys
from tests.test_atlas_pass import read_pass
def tell(done, total):
    print(done, flush=True)
    sys.stdin.readline()
read_pass(pathlib.Path(sys.argv[1]), sys.argv[2], progress=tell)
"""


@pytest.mark.parametrize("end", ["killed", "alive"])
def test_two_processes_read_a_pool_between_them(end, in_one_block, small_pool, tmp_path):
    """The other one holds a block: it is waited for, or read here once the other is dead."""
    other = subprocess.Popen(
        [sys.executable, "-c", READ, tmp_path, small_pool],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XLA_FLAGS": ""},
    )
    try:
        assert other.stdout.readline() == "16\n"  # block 0 is done, and the other at block 1
        shared = []

        def release(done, total):
            shared.append(done)
            if done == 64:  # all but the other's block
                if end == "killed":
                    other.kill()
                else:
                    other.stdin.write("\n" * 9)
                    other.stdin.flush()

        assert read_pass(tmp_path, small_pool, progress=release) == in_one_block
        assert 64 in shared
        assert shared[-1] == 72
    finally:
        other.kill()
        other.communicate()


def test_a_full_disk_in_a_pass_costs_one_block(in_one_block, small_pool, tmp_path, monkeypatch):
    finish = BlockWriter.finish

    def full(self, *arguments):
        if self._folder.name.startswith(".000002"):
            raise OSError(errno.ENOSPC, "No space left on device")
        finish(self, *arguments)

    monkeypatch.setattr(BlockWriter, "finish", full)
    with pytest.raises(RunWriteError, match=r"no space left in .*; free some or write elsewhere"):
        read_pass(tmp_path, small_pool)
    monkeypatch.undo()
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["000000", "000001"]
    assert read_pass(tmp_path, small_pool) == in_one_block


def test_an_image_that_changes_between_two_calls_is_noticed(
    whole_atlas, small_pool, tmp_path, monkeypatch
):
    """It was read before the interruption; what is found afterwards would not be its own."""
    monkeypatch.setattr(mfvjax.atlas.passes, "BLOCK_IMAGES", 16)
    pool, out = tmp_path / "pool", tmp_path / "atlas"
    shutil.copytree(small_pool, pool)

    def stop(step, done, total):
        if done >= 48:
            raise StopError

    with pytest.raises(StopError):
        build(out, pool, devices=ONE_DEVICE, progress=stop)
    assert len(list((out / "passes").glob("*/00000?"))) == 3
    changed = pool / "class_0" / "03.png"
    before = changed.read_bytes()
    changed.write_bytes((pool / "class_2" / "03.png").read_bytes())
    with pytest.raises(ChangedImageError, match=r"'class_0/03.png' has changed since it was read"):
        build(out, pool, devices=ONE_DEVICE)
    changed.write_bytes(before)
    assert len(build(out, pool, devices=ONE_DEVICE).made) == 4
    for name in FOLDERS:  # the pool's path is in the options
        a, b = (p / "units" / name / "facets.jpg" for p in (whole_atlas[0], out))
        assert a.read_bytes() == b.read_bytes()
    no_strays(out)


def test_a_team_reads_each_image_once(whole_atlas, small_pool, tmp_path, monkeypatch):
    """The second of two shares finds the pool read, and makes its units of what is there."""
    out, steps, team = tmp_path / "atlas", [], Share()
    build(out, small_pool, share=Share(0, 2, team), devices=ONE_DEVICE)
    assert len(list((out / "passes").iterdir())) == 1
    monkeypatch.setattr(mfvjax.atlas.scan, "iterate_batches", None)
    report = lambda *step: steps.append(step)  # noqa: E731
    build(out, small_pool, share=Share(1, 2, team), devices=ONE_DEVICE, progress=report)
    assert [step for step in steps if step[0] == "reading images"] == [("reading images", 72, 72)]
    assert same_units(whole_atlas[0], out) == 4
    no_strays(out)


def test_passes_are_joined_and_removed(tmp_path):
    units = [f"fc8:{i}" for i in range(6)]

    def divide(wanted):
        return [wanted[:3], wanted[3:]] if len(wanted) > 3 else [wanted]

    with AtlasFolder(tmp_path, make_plan(tuple(units))) as folder:
        folder.lock(units)
        folder.found_path("fc8:1").touch()  # its facets are found already
        (first, second) = join_passes(folder, ["fc8:2", "fc8:5"], units, divide)
        assert {first.units, second.units} == {("fc8:0", "fc8:2", "fc8:3"), ("fc8:4", "fc8:5")}
        # Others of the team, and whoever comes later, find themselves in the same passes.
        assert join_passes(folder, ["fc8:4"], units, divide) == [
            one for one in (first, second) if "fc8:4" in one.units
        ]
        # A unit whose facets were lost is in none of them.
        folder.found_path("fc8:1").unlink()
        (third,) = join_passes(folder, ["fc8:1"], units, divide)
        assert third.units == ("fc8:1",)
        for unit in ("fc8:0", "fc8:3"):
            folder.found_path(unit).touch()
        remove_done_passes(folder)
        assert len(list((tmp_path / "passes").iterdir())) == 3
        path = next(one.path for one in (first, second) if "fc8:0" in one.units)
        mark_failed(folder, path, "fc8:2")
        text = json.loads((third.path / "pass.json").read_text())
        (third.path / "pass.json").write_text(json.dumps({**text, "version": 0}))
        remove_done_passes(folder)
        assert [p.name for p in (tmp_path / "passes").iterdir()] == [
            next(one.path.name for one in (first, second) if "fc8:4" in one.units)
        ]
