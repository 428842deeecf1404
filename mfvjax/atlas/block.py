"""What was read from one block of a pool: a folder, whole or not there.

::

    0.entries.npy  of the first group of units: `ENTRY` rows, by column (unit), then by image
    0.starts.npy   where the entries of each column start, and where the last ones end
    0.codes        float32 rows; an entry says which is its own
    block.json     checksums of these files, images that could not be read, hashes of the others
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from mfvjax.images import SkippedImage

BLOCK_JSON = "block.json"
ENTRY = np.dtype([("image", "<i4"), ("value", "<f4"), ("place", "<i4"), ("row", "<i4")])
"""An image that a unit may need: its index in the pool, the unit's activation and where in its map
that was read, and the row of its code."""


class DamagedBlockError(ValueError):
    """A file of a block is missing, or is not what was written."""


class BlockWriter:
    """Writes a block into an empty folder, batch by batch; a context that closes its files.

    Codes go to disk at once; in memory are the entries.

    Args:
      folder: to write into.
      num_columns: units of each group.
    """

    def __init__(self, folder: pathlib.Path, num_columns: Sequence[int]) -> None:
        self._folder = folder
        self._num_columns = num_columns
        self._files = [open(folder / f"{g}.codes", "xb") for g in range(len(num_columns))]  # noqa: SIM115
        self._rows = [0] * len(num_columns)
        self._entries: list[list[np.ndarray]] = [[] for _ in num_columns]
        self._columns: list[list[np.ndarray]] = [[] for _ in num_columns]

    def __enter__(self) -> BlockWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def add(
        self,
        group: int,
        columns: Int[np.ndarray, " entries"],
        entries: np.ndarray,
        codes: Float[np.ndarray, "rows features"],
    ) -> None:
        """Adds entries, whose rows count within `codes`, and these codes.

        Raises:
          OSError: no space left, say.
        """
        entries = entries.copy()
        entries["row"] += self._rows[group]
        self._entries[group].append(entries)
        self._columns[group].append(columns)
        self._files[group].write(np.ascontiguousarray(codes, "<f4").data)
        self._rows[group] += len(codes)

    def finish(self, skipped: Sequence[SkippedImage], hashes: dict[int, str]) -> None:
        """Writes the entries and, last of all, `BLOCK_JSON`.

        Args:
          skipped: images that could not be read.
          hashes: of every image that an entry names, by its index.

        Raises:
          OSError: no space left, say.
        """
        for group, file in enumerate(self._files):
            file.close()
            columns = np.concatenate([*self._columns[group], np.zeros(0, np.int64)])
            entries = np.concatenate([*self._entries[group], np.zeros(0, ENTRY)])
            order = np.lexsort((entries["image"], columns))
            starts = np.searchsorted(columns[order], np.arange(self._num_columns[group] + 1))
            np.save(self._folder / f"{group}.entries.npy", entries[order])
            np.save(self._folder / f"{group}.starts.npy", starts.astype(np.int64))
        text = {
            "files": {path.name: checksum(path) for path in sorted(self._folder.iterdir())},
            "skipped": [dataclasses.astuple(image) for image in skipped],
            "hashes": {str(index): text for index, text in hashes.items()},
        }
        (self._folder / BLOCK_JSON).write_text(json.dumps(text), encoding="utf-8")

    def images(self) -> list[int]:
        """Indices of all images that an entry names so far, ascending."""
        parts = [entries["image"] for group in self._entries for entries in group]
        return np.unique(np.concatenate([*parts, np.zeros(0, "<i4")])).tolist()


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """A finished block; entries and codes stay on disk, mapped into memory.

    Attributes:
      skipped: images that could not be read.
      hashes: of the images that an entry names, by their index.
    """

    skipped: tuple[SkippedImage, ...]
    hashes: dict[int, str]
    _entries: list[np.ndarray]
    _starts: list[np.ndarray]
    _codes: list[np.ndarray]
    _unchecked: dict[int, tuple[pathlib.Path, str]] = dataclasses.field(default_factory=dict)

    @classmethod
    def open(cls, folder: pathlib.Path, num_features: Sequence[int]) -> Block:
        """Opens a block, its files compared with their checksums; codes, the bulk, by size only.

        Args:
          folder: of the block.
          num_features: of the codes of each group.

        Raises:
          DamagedBlockError: a file is missing, or is not what was written.
        """
        try:
            text = json.loads((folder / BLOCK_JSON).read_text(encoding="utf-8"))
            for name, expected in text["files"].items():
                _check(folder / name, expected, by_size=name.endswith(".codes"))
            return cls(
                skipped=tuple(SkippedImage(*image) for image in text["skipped"]),
                hashes={int(index): value for index, value in text["hashes"].items()},
                _entries=[_load(folder / f"{g}.entries.npy") for g in range(len(num_features))],
                _starts=[np.load(folder / f"{g}.starts.npy") for g in range(len(num_features))],
                _codes=[
                    _map_rows(folder / f"{g}.codes", count) for g, count in enumerate(num_features)
                ],
                _unchecked={
                    g: (folder / f"{g}.codes", text["files"][f"{g}.codes"])
                    for g in range(len(num_features))
                },
            )
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise DamagedBlockError(f"{folder} is damaged: {error}") from error

    def entries(self, group: int, column: int) -> np.ndarray:
        """`ENTRY` rows of one unit, by image."""
        starts = self._starts[group]
        return self._entries[group][int(starts[column]) : int(starts[column + 1])]

    def codes(self, group: int, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n features"]:
        """The codes in these rows.

        Raises:
          DamagedBlockError: they are not what was written; seen at the first use of a group.
        """
        if group in self._unchecked:
            _check(*self._unchecked[group])
            del self._unchecked[group]
        return np.asarray(self._codes[group][rows])


def checksum(path: pathlib.Path) -> str:
    """Size and CRC-32 of a file: against half-written files and bad disks, not against anyone."""
    code = 0
    with open(path, "rb") as file:
        while part := file.read(2**22):
            code = zlib.crc32(part, code)
    return f"{os.path.getsize(path)} {code:08x}"


def _check(path: pathlib.Path, expected: str, *, by_size: bool = False) -> None:
    size, _, _ = expected.partition(" ")
    if str(os.path.getsize(path)) != size or not (by_size or checksum(path) == expected):
        raise DamagedBlockError(f"{path} is damaged")


def _load(path: pathlib.Path) -> Any:
    # What is empty cannot be mapped.
    return np.load(path, mmap_mode="r" if path.stat().st_size > 256 else None)


def _map_rows(path: pathlib.Path, num_columns: int) -> np.ndarray:
    if not path.stat().st_size:
        return np.zeros((0, num_columns), "<f4")
    return np.memmap(path, "<f4", "r").reshape(-1, num_columns)
