"""Small pictures of a finished unit for the gallery, kept in its folder."""

from __future__ import annotations

import pathlib

import numpy as np

from mfvjax.report.embed import as_uint8, jpeg, resize
from mfvjax.report.files import write_whole
from mfvjax.report.looks import pictured
from mfvjax.run import Run
from mfvjax.store.names import COVER, STRIP

COVER_PX, CELL_PX = 192, 96
PER_ROW = 5


def write_cover(run: Run, folder: pathlib.Path) -> None:
    """Writes the largest facet's visualization, and all of them on one sheet, largest first.

    Each file is written whole, in place of one that is there.
    """
    images = as_uint8(pictured(run).shown.images)
    # The gallery cuts the rest of what is not square; other images than pictures are squeezed.
    cover = images[0] if run.domain.is_picture else resize(images[0], (COVER_PX, COVER_PX))
    write_whole(folder / COVER, jpeg(cover, max_side=COVER_PX))
    write_whole(folder / STRIP, jpeg(sheet([resize(i, (CELL_PX, CELL_PX)) for i in images])))


def sheet(cells: list[np.ndarray]) -> np.ndarray:
    """Equal pictures in rows of `PER_ROW`; the rest of the last row is white."""
    rows = -(-len(cells) // PER_ROW)
    side = cells[0].shape[0]
    whole = np.full((rows * side, min(len(cells), PER_ROW) * side, 3), 255, np.uint8)
    for i, cell in enumerate(cells):
        row, column = divmod(i, PER_ROW)
        whole[row * side : (row + 1) * side, column * side : (column + 1) * side] = cell
    return whole
