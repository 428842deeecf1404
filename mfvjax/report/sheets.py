"""What stands where on the sheet of each figure."""

from __future__ import annotations

import numpy as np

from mfvjax.domain import Domain
from mfvjax.report.colors import facet_color
from mfvjax.report.drawing import DPI, Sheet
from mfvjax.report.layout import fit_map, ring
from mfvjax.report.looks import legend, pictured
from mfvjax.report.mosaic import mosaic
from mfvjax.report.vector import curve_limits, draw_curve
from mfvjax.run import Run

WIDTH = 7.5  # inches
HEIGHT = 9.5  # where rows can be made smaller
SPACE = 0.06  # between pictures
PLOT = 2.3  # width of a curve
PER_ROW = 10  # facets of the strip
NOTE = 0.2  # height of the line that says what images are


def strip_sheet(run: Run, num_real: int) -> Sheet:
    """See `mfvjax.report.facets_strip`."""
    domain, run = run.domain, pictured(run)
    label, head = 0.8, 0.25
    per_row = min(run.num_facets, PER_ROW)
    cell = min((WIDTH - label - SPACE) / per_row, 1.4)
    shown = min(num_real, run.facets.nearest.shape[1])
    names = ("visualization", "mean image", "real images")[: 2 + shown]
    block = head + cell * (2 + shown) + SPACE
    height = block * -(-run.num_facets // per_row)
    sheet = Sheet(label + cell * per_row + SPACE, height + _note_height(domain))
    for facet in range(run.num_facets):
        row, column = divmod(facet, per_row)
        left, top = label + column * cell, row * block + head
        sheet.badge(facet, (left + (cell - SPACE) / 2, top - head / 2))
        places = [(left, top + i * cell) for i in range(2 + shown)]
        _draw_facet(sheet, run, facet, places, cell - SPACE)
        for i, name in enumerate(names if column == 0 else ()):
            sheet.text(name, (label - 0.08, top + (i + 0.5) * cell - SPACE / 2), ha="right")
    _write_note(sheet, domain)
    return sheet


def map_sheet(run: Run, num_real: int | None) -> Sheet:
    """See `mfvjax.report.map_figure`."""
    domain, run = run.domain, pictured(run)
    held = run.facets.nearest.shape[1]
    shown = held if num_real is None else min(num_real, held)
    label = 0.3
    cell = min((WIDTH - label) / (2 + shown), 0.8)
    around = ring(fit_map(run.real.map, run.facets.centroids)[1])
    side = (WIDTH - 2 * SPACE) / around.size[0]  # of the map
    top = around.size[1] * side + 2 * SPACE
    rows = 0.25 + cell * run.num_facets if shown else 0
    sheet = Sheet(WIDTH, top + rows + _note_height(domain))
    _draw_ring(sheet, run, side)
    for facet in range(run.num_facets if shown else 0):
        row = top + 0.2 + facet * cell
        sheet.badge(facet, (label / 2, row + (cell - SPACE / 2) / 2))
        places = [(label + i * cell, row) for i in range(2 + shown)]
        _draw_facet(sheet, run, facet, places, cell - SPACE / 2)
    _write_note(sheet, domain)
    return sheet


def progress_sheet(run: Run) -> Sheet:
    """See `mfvjax.report.progress_figure`."""
    domain, run = run.domain, pictured(run)
    ends = run.shown.phase_ends
    label, head, foot = 0.35, 0.4, 0.3
    cell = min(
        (WIDTH - label - PLOT - 0.6) / len(ends),
        max((HEIGHT - head - foot) / run.num_facets, 0.5),
        1.1,
    )
    sheet = Sheet(
        label + cell * len(ends) + 0.6 + PLOT,
        head + cell * run.num_facets + foot + _note_height(domain),
    )
    for phase, num_steps in enumerate(np.diff((0, *ends))):
        place = label + (phase + 0.5) * cell - SPACE / 2, head / 2
        sheet.text(f"phase {phase + 1}\n{num_steps} steps", place)
    for facet in range(run.num_facets):
        top = head + facet * cell
        sheet.badge(facet, (label / 2, top + (cell - SPACE) / 2))
        for phase, images in enumerate(run.shown.phase_images):
            sheet.picture(images[facet], (label + phase * cell, top), cell - SPACE)
        _draw_course(sheet, run, facet, top + 0.12, cell - 0.24)
    _write_note(sheet, domain)
    return sheet


def _note_height(domain: Domain) -> float:
    return 0 if legend(domain) is None else NOTE


def _write_note(sheet: Sheet, domain: Domain) -> None:
    """The axes and the range of the images, at the foot of the sheet; nothing for RGB."""
    known = legend(domain)
    if known is None:
        return
    axes = "" if known.axes is None else f"→ {known.axes[0]}    ↑ {known.axes[1]}    "
    ends = ("black", "white") if domain.is_picture else ("dark", "bright")
    text = f"{axes}{ends[0]}: {known.low}    {ends[1]}: {known.high}"
    sheet.text(text, (sheet.size[0] / 2, sheet.size[1] - NOTE / 2), size=6)


def _draw_facet(
    sheet: Sheet, run: Run, facet: int, places: list[tuple[float, float]], side: float
) -> None:
    """The visualization, the mean image and the real images, as many as there are places."""
    held = int((run.facets.nearest[facet] >= 0).sum())
    real = run.facets.nearest_images[facet, :held]
    pictures = [run.shown.images[facet], run.facets.mean_images[facet], *real]
    for i, (place, image) in enumerate(zip(places, pictures, strict=False)):
        sheet.picture(image, place, side, frame=facet_color(facet) if i == 0 else None)


def _draw_course(sheet: Sheet, run: Run, facet: int, top: float, height: float) -> None:
    """The objective by step at the right edge; the last facet's plot names the axis."""
    axes = sheet.plot((sheet.size[0] - PLOT - 0.05, top), (PLOT, height))
    draw_curve(
        axes,
        run.shown.activations[facet],
        phase_ends=run.shown.phase_ends,
        color=facet_color(facet),
        ink="#333333",
        numbered=False,
    )
    axes.set_ylim(*curve_limits(run.shown.activations))
    last = facet == run.num_facets - 1
    axes.tick_params(labelsize=6, labelbottom=last)
    if last:
        axes.set_xlabel("step", fontsize=7, color="#333333", labelpad=1)


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
