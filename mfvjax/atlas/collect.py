"""Taking from each batch of a pass what belongs to each unit of one layer."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from mfvjax.atlas.best import Best
from mfvjax.atlas.choice import Choice
from mfvjax.atlas.spool import Spool


class Collected(NamedTuple):
    """The images of one unit; n images."""

    codes: Float[np.ndarray, "n features"]
    activations: Float[np.ndarray, " n"]
    places: Int[np.ndarray, " n"]
    indices: Int[np.ndarray, " n"]


class Collector:
    """Gathers the images of units whose codes are read together; a context that closes the file.

    Args:
      choices: of the units, in the order of the columns that `add` gets.
      path: of the file of codes to be made.
      num_features: of a code.
    """

    def __init__(self, choices: Sequence[Choice], path: pathlib.Path, num_features: int) -> None:
        self._by_class = [i for i, choice in enumerate(choices) if choice.indices is not None]
        self._by_rank = [i for i, choice in enumerate(choices) if choice.indices is None]
        count = max((choices[i].count for i in self._by_rank), default=1)
        self._best = Best(len(self._by_rank), count)
        wanted = [np.asarray(choices[i].indices) for i in self._by_class]
        sizes = [len(indices) for indices in wanted]
        # Rows of the file: those of each class, then those of each unit by rank.
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._wanted = np.concatenate([*wanted, np.zeros(0, np.int64)])
        self._columns = np.repeat(np.array(self._by_class, np.int64), sizes)
        self._order = np.argsort(self._wanted, kind="stable")
        self._ascending = self._wanted[self._order]
        self._values = np.zeros(len(self._wanted), np.float32)
        self._places = np.zeros(len(self._wanted), np.int32)
        self._seen = np.zeros(len(self._wanted), bool)
        self._spool = Spool(path, num_features)

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def add(
        self,
        indices: Int[np.ndarray, " batch"],
        codes: Float[np.ndarray, "batch *units features"],
        values: Float[np.ndarray, "batch units"],
        places: Int[np.ndarray, "batch units"],
    ) -> None:
        """Takes a batch; `indices` of its images ascend, from batch to batch too."""
        if not len(indices):
            return
        first, last = np.searchsorted(self._ascending, [indices[0], indices[-1] + 1])
        rows = self._order[first:last]
        where = np.searchsorted(indices, self._wanted[rows])
        there = indices[where] == self._wanted[rows]  # others could not be read
        rows, where = rows[there], where[there]
        columns = self._columns[rows]
        self._values[rows] = values[where, columns]
        self._places[rows] = places[where, columns]
        self._seen[rows] = True
        by_row = np.argsort(rows)
        self._write(rows[by_row], codes, where[by_row], columns[by_row])
        if self._by_rank:
            best = self._best.add(values[:, self._by_rank], places[:, self._by_rank], indices)
            for unit, chosen, kept in best:
                column = np.full(len(chosen), self._by_rank[unit])
                self._write(self._row(unit, kept), codes, chosen, column)

    def _row(self, unit: int, kept: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        return self._starts[-1] + unit * self._best.capacity + kept.astype(np.int64)

    def _write(
        self, rows: np.ndarray, codes: np.ndarray, images: np.ndarray, columns: np.ndarray
    ) -> None:
        if len(rows):
            self._spool.write(rows, codes[images] if codes.ndim == 2 else codes[images, columns])

    def result(self, column: int) -> Collected:
        """What belongs to one unit: images of its class in their order, others best first."""
        if column in self._by_rank:
            unit = self._by_rank.index(column)
            values, indices, places, kept = self._best.result(unit)
            return Collected(self._spool.read(self._row(unit, kept)), values, places, indices)
        which = self._by_class.index(column)
        rows = np.arange(self._starts[which], self._starts[which + 1])
        rows = rows[self._seen[rows]]
        return Collected(
            self._spool.read(rows), self._values[rows], self._places[rows], self._wanted[rows]
        )
