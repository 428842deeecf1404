"""Blocks of a pool: which images are kept, and how they come back from disk."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfvjax.atlas.block import ENTRY, Block, BlockWriter, DamagedBlockError
from mfvjax.atlas.choice import Choice
from mfvjax.atlas.wanted import Wanted, best
from mfvjax.images import SkippedImage


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
            order = np.argsort(-values[:, column], kind="stable")
            expected = order[values[order, column] != 0][:count]  # 0 is not active
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
        Block.open(tmp_path / "0", [4]).codes(0, np.arange(6))
