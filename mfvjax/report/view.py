"""What the page shows, taken from a run: plain values for the template, no markup but plots."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from mfvjax.class_names import without_id
from mfvjax.domain import RGB, Domain
from mfvjax.report import judges, words
from mfvjax.report.colors import facet_color, ink_on
from mfvjax.report.embed import jpeg_uri, png_uri, thumbnail_sheet, webp_uri
from mfvjax.report.layout import Ring, fit_map, ring
from mfvjax.report.looks import legend, pictured
from mfvjax.report.mosaic import mosaic, thumbnail_side
from mfvjax.report.sources import recipe_note
from mfvjax.report.vector import curve_limits, curve_svg, map_svg
from mfvjax.run import Run

SMALL_SIDE = 240  # pixels: tiles of the ring and snapshots of phases are shown small
PRINTED_SIDE = 1400  # pixels: the map on paper, about 300 per inch


def page_view(run: Run) -> dict[str, Any]:
    """Everything the template asks for, by name."""
    domain, run = run.domain, pictured(run)
    points, centroids = fit_map(run.real.map, run.facets.centroids)
    around = ring(centroids)
    table = _table(run, domain)
    columns = list(table)
    summary = [(words.column(name, domain), words.number(v)) for name, v in run.summary.items()]
    return {
        "title": without_id(run.title) or run.title,
        "unit": run.unit,
        "network": run.network,
        "domain": "" if domain == RGB else str(domain),
        "legend": legend(domain),
        "stretched": not domain.is_picture,
        "counts": (
            words.count(run.num_facets, "facet"),
            words.count(len(run.real.names), "image"),
        ),
        "unreadable": words.unreadable(run.options.get("unreadable")),
        "summary": summary,
        "map": _map(run, points, around),
        "facets": [_facet(run, facet, around, centroids[facet]) for facet in range(run.num_facets)],
        "judges": [judges.judge_view(judgement) for judgement in run.judgements],
        "controls": judges.control_views(run),
        "recipe": recipe_note(run.options),
        "columns": columns,
        "own_columns": [i for i, c in enumerate(columns) if i > 1 and c.name in run.scores],
        "rows": [_row(table, facet) for facet in range(run.num_facets)],
        "definitions": [c for c in (*columns, *(c for c, _ in summary)) if c.definition],
        "options": json.dumps(run.options, indent=2, ensure_ascii=False),
        "replayable": all(run.options.get(name) for name in ("network", "images")),
        "versions": run.versions,
        "timings": {name: words.seconds(value) for name, value in run.timings.items()},
        "total_time": words.seconds(sum(run.timings.values())),
        "data": _data(run, points),
    }


def _map(run: Run, points: Float[np.ndarray, "n 2"], around: Ring) -> dict[str, Any]:
    sheet = thumbnail_sheet(run.real.thumbnails)
    printed = mosaic(run.real.thumbnails, points, run.real.assignment, size=PRINTED_SIDE)
    groups: list[list[dict[str, Any]]] = [[] for _ in range(run.num_facets)]
    for i, (x, y) in enumerate(points):
        row, column = divmod(i, sheet.columns)
        place = {"x": f"{100 * x:.2f}", "y": f"{100 * y:.2f}", "column": column, "row": row}
        groups[run.real.assignment[i]].append(place)
    return {
        "sheet": sheet,
        "printed": webp_uri(printed),
        "side": f"{100 * thumbnail_side(len(points)):.2f}",
        "groups": groups,
        "svg": map_svg(points, run.real.assignment),
        "width": around.size[0],
        "height": around.size[1],
        "left": around.map_corner[0],
        "top": around.map_corner[1],
        "tile": around.tile,
    }


def _facet(run: Run, facet: int, around: Ring, centroid: Float[np.ndarray, " 2"]) -> dict[str, Any]:
    color = facet_color(facet)
    size = int(run.facets.sizes[facet])
    homogeneity = float(run.facets.homogeneity[facet])
    stopped_at = int(run.shown.stopped_at[facet])
    return {
        "index": facet,
        "number": facet + 1,
        "color": color,
        "ink": ink_on(color),
        "size": words.count(size, "image"),
        "share": f"{100 * size / len(run.real.names):.0f} %",
        "homogeneity": words.number(homogeneity) if math.isfinite(homogeneity) else None,
        "corner": around.corners[facet],
        "joint": around.joints[facet],
        "centroid": centroid,
        "image": png_uri(run.shown.images[facet]),
        "tile": jpeg_uri(run.shown.images[facet], max_side=SMALL_SIDE),
        "mean": jpeg_uri(run.facets.mean_images[facet]),
        "nearest": _nearest(run, facet),
        "phases": _phases(run, facet),
        "curve": _curve(run, facet),
        "stopped_at": stopped_at if stopped_at >= 0 else None,
        "final_activation": words.number(float(run.shown.final_activations[facet])),
        "classes": _classes(run, facet),
        "mistaken": _mistaken(run, facet),
        "judged": [judges.facet_views(judgement, facet) for judgement in run.judgements],
    }


def _nearest(run: Run, facet: int) -> list[dict[str, Any]]:
    return [
        {
            "index": int(index),
            "name": run.real.names[index],
            "uri": jpeg_uri(run.facets.nearest_images[facet, place]),
            "activation": words.number(float(run.real.activations[index])),
        }
        for place, index in enumerate(run.facets.nearest[facet])
        if index >= 0
    ]


def _phases(run: Run, facet: int) -> list[dict[str, Any]]:
    steps = np.diff((0, *run.shown.phase_ends))
    return [
        {
            "number": phase,
            "steps": words.count(int(num_steps), "step"),
            "uri": jpeg_uri(images[facet], max_side=SMALL_SIDE),
        }
        for phase, (images, num_steps) in enumerate(
            zip(run.shown.phase_images, steps, strict=True), 1
        )
    ]


def _curve(run: Run, facet: int) -> str:
    activations = run.shown.activations
    return curve_svg(
        activations[facet],
        phase_ends=run.shown.phase_ends,
        limits=curve_limits(activations),
        salt=f"curve {facet}",
    )


def _classes(run: Run, facet: int) -> list[dict[str, Any]]:
    own = _own_class(run)
    shown = run.shown
    return [
        {"name": without_id(name), "score": words.number(float(score)), "own": int(index) == own}
        for index, name, score in zip(
            shown.top_classes[facet],
            shown.top_class_names[facet],
            shown.top_scores[facet],
            strict=True,
        )
    ]


def _mistaken(run: Run, facet: int) -> str | None:
    """The class that the network prefers to the unit's own; nothing where it is its own."""
    own = _own_class(run)
    if own is None or not run.shown.top_classes.shape[1]:
        return None
    if int(run.shown.top_classes[facet, 0]) == own:
        return None
    return without_id(run.shown.top_class_names[facet][0])


def _own_class(run: Run) -> int | None:
    """Index of the unit's class; other units have no title but their own text, or are added."""
    if "base" in run.network or run.title in (run.unit, run.unit.partition("@")[0]):
        return None
    return int(run.unit.rpartition(":")[2].partition("@")[0])


def _table(run: Run, domain: Domain) -> dict[words.Column, np.ndarray]:
    """Columns with one value per facet: size and homogeneity, what judges say, own scores."""
    first = {"size": run.facets.sizes, "homogeneity": run.facets.homogeneity}
    own = {name: values for name, values in run.scores.items() if name not in first}
    table = {words.column(name, domain): values for name, values in first.items()}
    for number, judgement in enumerate(run.judgements):
        table |= judges.columns(judgement, number)
    return table | {words.column(name, domain): values for name, values in own.items()}


def _row(table: dict[words.Column, np.ndarray], facet: int) -> list[dict[str, Any]]:
    """Cells of the table: the text, and the value to sort by (none where it is not finite)."""
    values = [float(values[facet]) for values in table.values()]
    return [
        {"text": words.number(value), "value": value if math.isfinite(value) else None}
        for value in values
    ]


def _data(run: Run, points: Float[np.ndarray, "n 2"]) -> dict[str, Any]:
    """What the script needs, as JSON."""
    activations = (words.number(float(a)) for a in run.real.activations)
    return {
        "points": np.round(points, 4).tolist(),
        "facets": run.real.assignment.tolist(),
        "names": list(run.real.names),
        "activations": list(activations),
    }
