"""Passes over a pool: what is kept of each block, and that it does not matter who reads it."""

import errno
import json
import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mfvjax.atlas.passes
import mfvjax.atlas.pool_pass
from mfvjax.atlas import ChangedImageError, Share
from mfvjax.atlas.block import ENTRY, Block, BlockWriter, DamagedBlockError
from mfvjax.atlas.choice import Choice
from mfvjax.atlas.folder import AtlasFolder
from mfvjax.atlas.locks import UnitLocks
from mfvjax.atlas.passes import PassPlan, join_passes, mark_failed, remove_done_passes
from mfvjax.atlas.pool_pass import PoolPass
from mfvjax.atlas.wanted import Wanted, best
from mfvjax.facets.codes import compute_codes
from mfvjax.facets.top import top_images
from mfvjax.images import SkippedImage, open_images
from mfvjax.store import RunWriteError
from tests.small_atlas import FOLDERS, build, no_strays, same_units, shared_network
from tests.test_atlas_parts import make_plan

ONE_DEVICE = jax.devices("cpu")[:1]


def write_block(folder, columns, entries, codes, num_columns, skipped=(), hashes=None):
    """A block of one group, added in two parts."""
    folder.mkdir()
    with BlockWriter(folder, [num_columns]) as file:
        for part in np.array_split(np.arange(len(columns)), 2):
            rows, entries["row"][part] = np.unique(entries["row"][part], return_inverse=True)
            file.add(0, columns[part], entries[part], codes[rows])
        file.finish(skipped, hashes or {})


def held_block(by_column):
    """A block in memory, of one group."""
    starts = np.cumsum([0, *(len(entries) for entries in by_column)])
    return Block((), {}, [np.concatenate(by_column)], [starts], [np.zeros((0, 1), np.float32)])


@given(st.data())
def test_the_best_images_of_a_pool_read_in_blocks_are_those_that_sorting_finds(data):
    """In any order of the blocks; units by class keep the images of their class."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    num_units, total = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 200))
    count = data.draw(st.integers(1, total))
    by_class = data.draw(st.lists(st.booleans(), min_size=num_units, max_size=num_units))
    values = rng.integers(-6, 6, (total, num_units)).astype(np.float32)  # many are equal
    choices = [
        Choice(f"fc:{i}", "a", np.flatnonzero(rng.random(total) < 0.4))
        if is_class
        else Choice(f"fc:{i}", count=count)
        for i, is_class in enumerate(by_class)
    ]
    wanted = Wanted(0, choices)
    found = [[] for _ in choices]
    size = data.draw(st.integers(1, 70))
    blocks = [np.arange(total)[start : start + size] for start in range(0, total, size)]
    for indices in data.draw(st.permutations(blocks)):
        rows, columns = wanted.select(indices, values[indices])
        entries = np.zeros(len(rows), ENTRY)
        entries["image"], entries["value"] = indices[rows], values[indices[rows], columns]
        block = held_block([entries[columns == column] for column in range(num_units)])
        wanted.learn(block)
        for column in range(num_units):
            found[column].append(block.entries(0, column))
    for column, choice in enumerate(choices):
        entries = np.concatenate(found[column])
        np.testing.assert_array_equal(entries["value"], values[entries["image"], column])
        if choice.indices is None:
            expected = np.argsort(-values[:, column], kind="stable")[:count]
            np.testing.assert_array_equal(entries["image"][best(entries, count)], expected)
        else:
            np.testing.assert_array_equal(np.sort(entries["image"]), choice.indices)


def test_the_bar_spares_the_disk():
    """Of 40 blocks few images are kept once the bar is known; all of the first one are."""
    rng = np.random.default_rng(0)
    wanted, kept = Wanted(0, [Choice("fc:0", count=20)]), []
    for start in range(0, 4000, 100):
        indices = np.arange(start, start + 100)
        values = rng.normal(size=(100, 1)).astype(np.float32)
        rows, _ = wanted.select(indices, values)
        entries = np.zeros(len(rows), ENTRY)
        entries["value"] = values[rows, 0]
        wanted.learn(held_block([entries]))
        kept.append(len(rows))
    # Expected of block k are 20 / k; all together 20 (ln 40 + 0.58) after the first.
    assert kept[0] == 100
    assert sum(kept[1:]) < 100


def test_a_block_comes_back_as_it_was_written(tmp_path):
    rng = np.random.default_rng(0)
    columns = rng.integers(0, 5, 40)
    columns[columns == 3] = 4  # a unit without images
    entries = np.zeros(40, ENTRY)
    entries["image"] = rng.permutation(40)
    entries["value"] = rng.normal(size=40)
    entries["place"] = rng.integers(0, 9, 40)
    entries["row"] = rng.integers(0, 12, 40)
    codes = rng.normal(size=(12, 7)).astype(np.float32)
    expected = codes[entries["row"]]
    skipped = (SkippedImage(3, "3.png", "no image"),)
    write_block(tmp_path / "0", columns, entries, codes, 5, skipped, {1: "ab", 7: "cd"})
    block = Block.open(tmp_path / "0", [7])
    assert block.skipped == skipped
    assert block.hashes == {1: "ab", 7: "cd"}
    for column in range(5):
        which = np.flatnonzero(columns == column)
        which = which[np.argsort(entries["image"][which])]
        found = block.entries(0, column)
        for field in ("image", "value", "place"):
            np.testing.assert_array_equal(found[field], entries[field][which])
        np.testing.assert_array_equal(block.codes(0, found["row"]), expected[which])


def test_an_empty_block_is_a_block(tmp_path):
    write_block(tmp_path / "0", np.zeros(0, int), np.zeros(0, ENTRY), np.zeros((0, 3)), 2)
    block = Block.open(tmp_path / "0", [3])
    assert len(block.entries(0, 1)) == 0
    assert block.codes(0, np.zeros(0, int)).shape == (0, 3)


@pytest.mark.parametrize("name", ["block.json", "0.codes", "0.entries.npy", "0.starts.npy"])
@pytest.mark.parametrize("damage", ["changed", "short", "missing"])
def test_a_damaged_block_is_noticed(name, damage, tmp_path):
    entries = np.zeros(6, ENTRY)
    entries["image"] = entries["row"] = np.arange(6)
    write_block(tmp_path / "0", np.zeros(6, int), entries, np.ones((6, 4)), 1)
    path = tmp_path / "0" / name
    content = bytearray(path.read_bytes())
    if damage == "changed":
        content[0 if name == "block.json" else -3] ^= 64
    path.write_bytes(content if damage == "changed" else content[:-1])
    if damage == "missing":
        path.unlink()
    with pytest.raises(DamagedBlockError, match=f"{tmp_path}/0.* is damaged"):
        Block.open(tmp_path / "0", [4])


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


def read_pass(path, pool, *, images=16, progress=None, devices=ONE_DEVICE):
    """Everything that a pass over the small pool finds, as bytes."""
    source = open_images(pool)
    choices = small_choices(source)
    with UnitLocks(path) as locks:
        reading = PoolPass(
            PassPlan(path, (), images),
            shared_network(),
            source,
            choices,
            locks=locks,
            devices=devices,
        )
        reading.read(progress)
        found = []
        for choice in choices:
            codes, hashes = reading.codes(choice.unit)
            assert hashes == [source.fingerprint(index) for index in codes.indices.tolist()]
            found.append((codes.codes.tobytes(), codes.activations.tobytes(), codes.names))
        return found


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
    read, load = [], mfvjax.atlas.pool_pass.iterate_batches

    def count(source, *, indices, **options):
        read.extend(indices.tolist())
        return load(source, indices=indices, **options)

    monkeypatch.setattr(mfvjax.atlas.pool_pass, "iterate_batches", count)
    assert read_pass(tmp_path, small_pool) == in_one_block
    assert sorted(read) == [*range(16, 32), *range(48, 72)]
    assert not list(tmp_path.glob(".*"))


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
    monkeypatch.setattr(mfvjax.atlas.pool_pass, "iterate_batches", None)
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
