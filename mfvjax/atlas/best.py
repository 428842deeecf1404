"""The images that activate units most, kept while a pool streams by, with a row for each code."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


class Best:
    """The running best images of some units; memory depends on the units, not on the pool.

    Every kept image has a row, from 0, where something can be stored for it; the row is given to
    another image once it is known that this one is not among the best.

    Args:
      num_units: how many units.
      count: images to keep of each.
    """

    def __init__(self, num_units: int, count: int) -> None:
        self.count = count
        self.capacity = count + max(count // 4, 64)
        shape = (num_units, self.capacity)
        self._values = np.full(shape, -np.inf, np.float32)
        self._indices = np.zeros(shape, np.int32)
        self._places = np.zeros(shape, np.int32)
        self._rows = np.tile(np.arange(self.capacity, dtype=np.int32), (num_units, 1))
        self._lengths = np.zeros(num_units, np.int64)
        self._least = np.full(num_units, -np.inf, np.float32)

    def add(
        self,
        values: Float[np.ndarray, "batch units"],
        places: Int[np.ndarray, "batch units"],
        indices: Int[np.ndarray, " batch"],
    ) -> list[tuple[int, Int[np.ndarray, " some"], Int[np.ndarray, " some"]]]:
        """Takes a batch of images, later ones than those before.

        Args:
          values: activation of each unit on each image.
          places: where in the map each was read.
          indices: of the images, ascending.

        Returns: unit, images of the batch that may be among its best, and the row of each.
        """
        values = values + np.float32(0)  # plus and minus zero are the same activation
        # Of equal activations the earlier image is better, and is here already.
        candidates = values > self._least
        added = []
        for unit in np.flatnonzero(candidates.any(axis=0)).tolist():
            for start in range(0, len(values), self.capacity - self.count):
                chosen = np.flatnonzero(
                    candidates[start : start + self.capacity - self.count, unit]
                )
                if len(chosen):
                    chosen += start
                    added.append((unit, chosen, self._take(unit, chosen, values, places, indices)))
        return added

    def _take(
        self,
        unit: int,
        chosen: np.ndarray,
        values: np.ndarray,
        places: np.ndarray,
        indices: np.ndarray,
    ) -> np.ndarray:
        if self._lengths[unit] + len(chosen) > self.capacity:
            self._drop(unit)
        start = self._lengths[unit]
        new = slice(start, start + len(chosen))
        self._values[unit, new] = values[chosen, unit]
        self._places[unit, new] = places[chosen, unit]
        self._indices[unit, new] = indices[chosen]
        self._lengths[unit] = new.stop
        return self._rows[unit, new].copy()

    def _drop(self, unit: int) -> None:
        """Keeps the best `count`, in order, and learns what a new one must exceed."""
        kept = self._order(unit)[: self.count]
        others = np.setdiff1d(np.arange(self.capacity), kept)
        for array in (self._values, self._indices, self._places):
            array[unit, : len(kept)] = array[unit, kept]
        self._rows[unit] = self._rows[unit, np.concatenate([kept, others])]
        self._lengths[unit] = len(kept)
        if len(kept) == self.count:
            self._least[unit] = self._values[unit, self.count - 1]

    def _order(self, unit: int) -> np.ndarray:
        length = self._lengths[unit]
        return np.lexsort((self._indices[unit, :length], -self._values[unit, :length]))

    def result(
        self, unit: int
    ) -> tuple[
        Float[np.ndarray, " n"],
        Int[np.ndarray, " n"],
        Int[np.ndarray, " n"],
        Int[np.ndarray, " n"],
    ]:
        """Activations, image indices, places and rows of a unit's best, best first."""
        kept = self._order(unit)[: self.count]
        return (
            self._values[unit, kept],
            self._indices[unit, kept].astype(np.int64),
            self._places[unit, kept],
            self._rows[unit, kept].astype(np.int64),
        )
