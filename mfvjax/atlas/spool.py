"""Codes on disk while facets are sought: a file of rows, written in any order."""

from __future__ import annotations

import pathlib

import numpy as np
from jaxtyping import Float, Int

from mfvjax.store.errors import FULL, explain


class Spool:
    """Float32 rows of one length in one file, which is not mapped: a full disk is an error then.

    Args:
      path: of the file; must not exist.
      num_columns: of each row.
    """

    def __init__(self, path: pathlib.Path, num_columns: int) -> None:
        self._file = open(path, "xb+", buffering=0)  # noqa: SIM115  (kept open)
        self._folder = path.parent.parent
        self._num_columns = num_columns

    def close(self) -> None:
        """Ends the use of the file, which stays."""
        self._file.close()

    def write(self, rows: Int[np.ndarray, " n"], values: Float[np.ndarray, "n columns"]) -> None:
        """Puts values into rows; neighboring rows in one go.

        Raises:
          RunWriteError: no space left.
        """
        values = np.ascontiguousarray(values, np.float32)
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        try:
            for start, stop in zip([0, *breaks], [*breaks, len(rows)], strict=True):
                self._file.seek(int(rows[start]) * self._num_columns * 4)
                view = values[start:stop].data.cast("B")
                while view:
                    view = view[self._file.write(view) :]
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise explain(error, self._folder) from error

    def read(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n columns"]:
        """The values of rows that were written."""
        values = np.empty((len(rows), self._num_columns), np.float32)
        for i, row in enumerate(rows.tolist()):
            self._file.seek(row * self._num_columns * 4)
            self._file.readinto(values[i].data.cast("B"))
        return values
