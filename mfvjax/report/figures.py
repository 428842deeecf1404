"""Figures of a run for papers, as PNG (300 per inch) or PDF, 7.5 inches wide."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import numpy as np

from mfvjax.report.colors import facet_color
from mfvjax.report.drawing import DPI, Sheet, check_format
from mfvjax.report.layout import fit_map, ring
from mfvjax.report.mosaic import mosaic
from mfvjax.report.vector import draw_curve
from mfvjax.run import Run

WIDTH = 7.5  # inches
HEIGHT = 9.5  # where rows can be made smaller
SPACE = 0.06  # between pictures
PER_ROW = 10  # facets of the strip


def facets_strip(run: Run, path: str | os.PathLike[str], *, num_real: int = 4) -> pathlib.Path:
    """One column per facet: its visualization, its mean image and the real images nearest to it.

    After Fig. 4 of the paper. More than ten facets continue below.

    Args:
      run: what to show.
      path: ends in ``.png`` or ``.pdf``.
      num_real: real images per facet, at least 0; fewer where a facet has fewer.

    Raises:
      ValueError: another suffix, or `num_real` is negative.
    """
    path = check_format(path)
    if num_real < 0:
        raise ValueError(f"num_real must be at least 0, got {num_real}")
    label, head = 0.8, 0.25
    per_row = min(run.num_facets, PER_ROW)
    cell = min((WIDTH - label - SPACE) / per_row, 1.4)
    shown = min(num_real, run.facets.nearest.shape[1])
    block = head + cell * (2 + shown) + SPACE
    sheet = Sheet(label + cell * per_row + SPACE, block * -(-run.num_facets // per_row))
    for facet in range(run.num_facets):
        row, column = divmod(facet, per_row)
        left, top = label + column * cell, row * block + head
        sheet.badge(facet, (left + (cell - SPACE) / 2, top - head / 2))
        pictures = [run.shown.images[facet], run.facets.mean_images[facet]]
        for place, image in enumerate([*pictures, *_real(run, facet, shown)]):
            frame = facet_color(facet) if place == 0 else None
            sheet.picture(image, (left, top + place * cell), cell - SPACE, frame=frame)
        if column == 0:
            for place, name in enumerate(
                ("visualization", "mean image", "real images")[: 2 + shown]
            ):
                middle = top + (place + 0.5) * cell - SPACE / 2
                sheet.text(name, (label - 0.08, middle), ha="right")
    return sheet.save(path)


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

    Raises:
      ValueError: another suffix, or `num_real` is negative.
    """
    path = check_format(path)
    if num_real is not None and num_real < 0:
        raise ValueError(f"num_real must be at least 0, got {num_real}")
    held = run.facets.nearest.shape[1]
    shown = held if num_real is None else min(num_real, held)
    label = 0.3
    cell = min((WIDTH - label) / (2 + shown), 0.8)
    around = ring(fit_map(run.real.map, run.facets.centroids)[1])
    side = (WIDTH - 2 * SPACE) / around.size[0]  # of the map
    top = around.size[1] * side + 2 * SPACE
    sheet = Sheet(WIDTH, top + (0.25 + cell * run.num_facets if shown else 0))
    _draw_ring(sheet, run, side)
    for facet in range(run.num_facets if shown else 0):
        row = top + 0.2 + facet * cell
        sheet.badge(facet, (label / 2, row + (cell - SPACE / 2) / 2))
        pictures = [run.shown.images[facet], run.facets.mean_images[facet]]
        for place, image in enumerate([*pictures, *_real(run, facet, shown)]):
            frame = facet_color(facet) if place == 0 else None
            sheet.picture(image, (label + place * cell, row), cell - SPACE / 2, frame=frame)
    return sheet.save(path)


def progress_figure(run: Run, path: str | os.PathLike[str]) -> pathlib.Path:
    """One row per facet: its image at the end of each phase, and the objective by step.

    After Figs. 3 and S7 of the paper.

    Args:
      run: what to show.
      path: ends in ``.png`` or ``.pdf``.

    Raises:
      ValueError: another suffix.
    """
    path = check_format(path)
    ends = run.shown.phase_ends
    label, head, foot, plot = 0.35, 0.4, 0.3, 2.3
    cell = min(
        (WIDTH - label - plot - 0.6) / len(ends),
        max((HEIGHT - head - foot) / run.num_facets, 0.5),
        1.1,
    )
    width, height = label + cell * len(ends) + 0.6 + plot, head + cell * run.num_facets + foot
    sheet = Sheet(width, height)
    for phase, num_steps in enumerate(np.diff((0, *ends))):
        place = label + (phase + 0.5) * cell - SPACE / 2, head / 2
        sheet.text(f"phase {phase + 1}\n{num_steps} steps", place)
    finite = run.shown.activations[np.isfinite(run.shown.activations)]
    limits = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    for facet in range(run.num_facets):
        top = head + facet * cell
        sheet.badge(facet, (label / 2, top + (cell - SPACE) / 2))
        for phase, images in enumerate(run.shown.phase_images):
            sheet.picture(images[facet], (label + phase * cell, top), cell - SPACE)
        box = (1 - (plot + 0.05) / width, 1 - (top + cell - 0.12) / height)
        axes = sheet.figure.add_axes((*box, plot / width, (cell - 0.24) / height))
        color = facet_color(facet)
        draw_curve(
            axes, run.shown.activations[facet], phase_ends=ends, color=color, ink="#333333",
            numbered=False,
        )  # fmt: skip
        room = 0.05 * (limits[1] - limits[0]) or 1.0
        axes.set_ylim(limits[0] - room, limits[1] + room)
        axes.tick_params(labelsize=6, labelbottom=facet == run.num_facets - 1)
        if facet == run.num_facets - 1:
            axes.set_xlabel("step", fontsize=7, color="#333333", labelpad=1)
    return sheet.save(path)


def write_figures(run: Run, folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """Writes ``facets``, ``map`` and ``progress``, each as PNG and PDF; makes the folder.

    Returns: the six paths.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Callable[[Run, pathlib.Path], pathlib.Path]] = {
        "facets": facets_strip,
        "map": map_figure,
        "progress": progress_figure,
    }
    return [
        draw(run, folder / f"{name}{suffix}")
        for name, draw in figures.items()
        for suffix in (".png", ".pdf")
    ]


def _real(run: Run, facet: int, count: int) -> list[np.ndarray]:
    held = int((run.facets.nearest[facet] >= 0).sum())
    return list(run.facets.nearest_images[facet, : min(count, held)])


def _draw_ring(sheet: Sheet, run: Run, side: float) -> None:
    """The map, `side` inches wide, lines to the centroids, and the facets around it."""
    points, centroids = fit_map(run.real.map, run.facets.centroids)
    around = ring(centroids)
    corner = np.array(around.map_corner) * side + SPACE
    for facet, joint in enumerate(around.joints * side + SPACE):
        ends = zip(joint, corner + centroids[facet] * side, strict=True)
        sheet.axes.plot(*ends, color=facet_color(facet), linewidth=0.8, zorder=1)
    picture = mosaic(run.real.thumbnails, points, run.real.assignment, size=round(side * DPI))
    sheet.picture(picture, (float(corner[0]), float(corner[1])), side)
    for facet, tile in enumerate(around.corners * side + SPACE):
        x, y = (float(v) for v in tile)
        color = facet_color(facet)
        sheet.picture(run.shown.images[facet], (x, y), around.tile * side, frame=color)
        sheet.badge(facet, (x + 0.11, y + 0.11))
        middle = corner + centroids[facet] * side
        sheet.badge(facet, (float(middle[0]), float(middle[1])))
