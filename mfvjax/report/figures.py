"""Figures of a run for papers, as PNG (300 per inch) or PDF, 7.5 inches wide."""

from __future__ import annotations

import os
import pathlib

from mfvjax.report.drawing import FORMATS, check_format
from mfvjax.report.sheets import map_sheet, progress_sheet, strip_sheet
from mfvjax.run import Run

NUM_REAL = 4  # real images of each facet in the strip


def facets_strip(
    run: Run, path: str | os.PathLike[str], *, num_real: int = NUM_REAL
) -> pathlib.Path:
    """One column per facet: its visualization, its mean image and the real images nearest to it.

    After Fig. 4 of the paper. More than ten facets continue below.

    Args:
      run: what to show.
      path: ends in ``.png`` or ``.pdf``.
      num_real: real images per facet, at least 0; fewer where a facet has fewer.

    Returns: the path.

    Raises:
      ValueError: another suffix, or `num_real` is negative.
    """
    path = check_format(path)
    return strip_sheet(run, _check_num_real(num_real)).save(path)


def map_figure(
    run: Run, path: str | os.PathLike[str], *, num_real: int | None = None
) -> pathlib.Path:
    """The 2-D map of thumbnails with the facets around it; below, each facet's real images.

    After Figs. 2, S5 and S6 of the paper. A row below holds the visualization, the mean image and
    the real images nearest to the centroid, nearest first.

    Args:
      run: what to show.
      path: ends in ``.png`` or ``.pdf``.
      num_real: real images per facet; all that the run holds if not given, none and no rows at 0.

    Returns: the path.

    Raises:
      ValueError: another suffix, or `num_real` is negative.
    """
    path = check_format(path)
    return map_sheet(run, None if num_real is None else _check_num_real(num_real)).save(path)


def progress_figure(run: Run, path: str | os.PathLike[str]) -> pathlib.Path:
    """One row per facet: its image at the end of each phase, and the objective by step.

    After Figs. 3 and S7 of the paper.

    Args:
      run: what to show.
      path: ends in ``.png`` or ``.pdf``.

    Returns: the path.

    Raises:
      ValueError: another suffix.
    """
    path = check_format(path)
    return progress_sheet(run).save(path)


def write_figures(run: Run, folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """Writes ``facets``, ``map`` and ``progress``, each as PNG and PDF; makes the folder.

    Returns: the six paths.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sheets = {
        "facets": strip_sheet(run, NUM_REAL),
        "map": map_sheet(run, None),
        "progress": progress_sheet(run),
    }
    return [
        sheet.save(folder / f"{name}{suffix}")
        for name, sheet in sheets.items()
        for suffix in FORMATS
    ]


def _check_num_real(num_real: int) -> int:
    if num_real < 0:
        raise ValueError(f"num_real must be at least 0, got {num_real}")
    return num_real
