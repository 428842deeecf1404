"""Which images of a pool the units of one group may need, told while the pool is being read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from mfvjax.atlas.block import Block
from mfvjax.atlas.choice import Choice


class Wanted:
    """What a group of units, whose codes are read together, keeps of the pool.

    A unit by class keeps the images of its class. A unit by rank keeps those that may be among the
    `Choice.count` that activate it most: at first all on which it is not 0, as it is where its ReLU
    is closed, then those that reach the bar, the lowest of the best seen so far. The bar only saves
    disk: what is kept too much is left out by `best`. Memory depends on the number of units and the
    count, not on the pool.

    Args:
      group: its number in a block.
      choices: of the units; their order is that of the columns.
    """

    def __init__(self, group: int, choices: Sequence[Choice]) -> None:
        self._group = group
        wanted = [
            (choice.indices, column)
            for column, choice in enumerate(choices)
            if choice.indices is not None
        ]
        images = np.concatenate([np.zeros(0, np.int64), *(indices for indices, _ in wanted)])
        columns = np.repeat(
            np.array([column for _, column in wanted], np.int64),
            [len(indices) for indices, _ in wanted],
        )
        order = np.argsort(images, kind="stable")
        self._images, self._columns = images[order], columns[order]
        self._by_rank = np.flatnonzero([choice.indices is None for choice in choices])
        self._best = [
            np.full(choices[column].count, -np.inf, np.float32) for column in self._by_rank.tolist()
        ]
        self._bars = np.full(len(self._by_rank), -np.inf, np.float32)

    def select(
        self, indices: Int[np.ndarray, " batch"], values: Float[np.ndarray, "batch units"]
    ) -> tuple[Int[np.ndarray, " entries"], Int[np.ndarray, " entries"]]:
        """The rows and columns of a batch that are kept.

        Args:
          indices: of the images, ascending.
          values: activations.
        """
        where = np.searchsorted(self._images, indices)
        until = np.searchsorted(self._images, indices, side="right")
        counts = until - where
        rows = np.repeat(np.arange(len(indices)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        columns = self._columns[np.repeat(where, counts) + within]
        by_rank = values[:, self._by_rank]
        high, ranked = np.nonzero((by_rank >= self._bars) & (by_rank != 0))
        return np.concatenate([rows, high]), np.concatenate([columns, self._by_rank[ranked]])

    def learn(self, block: Block) -> None:
        """Raises the bar by what a finished block has; each block counts once."""
        for i, column in enumerate(self._by_rank.tolist()):
            values = block.entries(self._group, column)["value"]
            values = values[values > self._bars[i]]
            if len(values):
                count = len(self._best[i])
                both = np.concatenate([self._best[i], values])
                self._best[i] = np.partition(both, len(both) - count)[-count:]
                self._bars[i] = self._best[i].min()


def best(entries: np.ndarray, count: int) -> Int[np.ndarray, " best"]:
    """The positions of the `count` largest values, best first; of equal ones the earlier image."""
    values = entries["value"] + np.float32(0)  # plus and minus zero are the same activation
    return np.lexsort((entries["image"], -values))[:count]
