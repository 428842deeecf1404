"""The order in which facets enter batches: those of one group side by side, in blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Int

from mfvjax.objective import Objective


@dataclasses.dataclass(frozen=True, eq=False)
class Arrangement:
    """Rows of batches; where groups are of different sizes, shorter ones are filled up.

    Attributes:
      together: rows of a block; no batch, device or core cuts a block apart.
      indices: ``(rows,)``, the facet of each row.
      groups: ``(rows,)``; a row that fills up is a group of its own.
      is_real: ``(rows,)``, false for rows that fill up.
    """

    together: int
    indices: Int[np.ndarray, " rows"]
    groups: Int[np.ndarray, " rows"]
    is_real: Bool[np.ndarray, " rows"]

    @classmethod
    def of(
        cls, objectives: Sequence[Objective], groups: Sequence[int] | np.ndarray | None
    ) -> Arrangement:
        """Blocks of whole groups where an objective has joint terms; else single facets.

        Args:
          objectives: one per facet.
          groups: one per facet; ``None`` for one group of all.

        Raises:
          ValueError: there is not one group per facet.
        """
        count = len(objectives)
        ids = np.zeros(count, int) if groups is None else np.asarray(groups)
        if ids.shape != (count,) or ids.dtype.kind not in "iu":
            raise ValueError(
                f"groups must be one whole number per start image, {count} in all, "
                f"not {ids.dtype} of shape {ids.shape}"
            )
        if not any(term.is_joint for objective in objectives for term in objective.terms):
            return cls(1, np.arange(count), ids, np.ones(count, bool))
        members = [np.flatnonzero(ids == one) for one in dict.fromkeys(ids.tolist())]
        together = max(map(len, members))
        rows: list[int] = []
        names: list[int] = []
        real: list[bool] = []
        for number, of_one in enumerate(members):
            spare = together - len(of_one)
            rows += [*of_one.tolist(), *[int(of_one[-1])] * spare]
            first = len(members) + len(names)  # no group's number, nor that of another filling row
            names += [*[number] * len(of_one), *range(first, first + spare)]
            real += [*[True] * len(of_one), *[False] * spare]
        return cls(together, np.array(rows), np.array(names), np.array(real))

    def batches(
        self, size: int
    ) -> Iterator[tuple[Int[np.ndarray, " size"], Int[np.ndarray, " size"], int]]:
        """Rows of each batch, their groups, and how many of them count.

        The last block is repeated to fill the last batch; repeated rows are groups of their own.
        """
        count = len(self.indices)
        for first in range(0, count, size):
            rows = np.arange(first, first + size)
            chosen = np.where(rows < count, rows, count - self.together + rows % self.together)
            groups = np.where(rows < count, self.groups[chosen], -1 - rows)
            yield chosen, groups, min(size, count - first)
