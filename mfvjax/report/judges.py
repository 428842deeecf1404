"""What the page shows of judges and of controls: plain values for the template."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from mfvjax.class_names import without_id
from mfvjax.judgement import Judged, Judgement
from mfvjax.report import words
from mfvjax.report.embed import jpeg_uri
from mfvjax.report.words import Column, number, share
from mfvjax.run import Run

CONTROL_SIDE = 240  # pixels; controls are shown small
PARTS = {"shown": "Visualizations", "start": "Untouched start", "real": "Real images"}
_CONTROLS = {
    "start": "Untouched start",
    "unit": "Unit alone",
    "statistics": "Statistics alone",
    "placebo": "Placebo",
    "noise": "From noise",
}

_ON_PLACEBO = (
    "The statistics set the scene, and the unit decides within it. The placebo has the statistics "
    "of other images: what of the unit is still seen in it is the unit's own part."
)


@dataclasses.dataclass(frozen=True)
class _Line:
    """One number of a judge's summary: its key, what it is called, how it is written."""

    key: str
    title: str
    write: Any
    better: str
    of_class: bool


_LINES = (
    _Line("top_1", "Class is first", share, "higher", True),
    _Line("top_5", "Class is among the first five", share, "higher", True),
    _Line("median_rank", "Median rank of the class", number, "lower", True),
    _Line("probability", "Mean probability of the class", share, "higher", True),
    _Line("recall", "Facet is recalled", share, "higher", False),
    _Line("percentile", "Similarity percentile, median", number, "higher", False),
)
_CARDS = {"top_1": "Seen as its class by {}", "recall": "Facets recalled by {}"}


def judge_view(judgement: Judgement) -> dict[str, Any]:
    """One judge: who it is, cards for the head of the page, and its table."""
    summary, chance = judgement.summary, judgement.chance
    name = judgement.judge["name"]
    known = [line for line in _LINES if math.isfinite(summary["shown"][line.key])]
    lines = [
        {
            "title": line.title,
            "arrow": words.ARROWS[line.better],
            "values": [line.write(summary[part][line.key]) for part in (*PARTS, "chance")],
        }
        for line in known
    ]
    cards = [
        {
            "title": _CARDS[line.key].format(name),
            "text": line.write(summary["shown"][line.key]),
            "beside": f"real images {line.write(summary['real'][line.key])}, untouched start "
            f"{line.write(summary['start'][line.key])}, chance {line.write(chance[line.key])}",
        }
        for line in known
        if line.key in _CARDS
    ]
    return {
        "name": name,
        "class_name": without_id(judgement.class_name),
        "class_by": judgement.class_by,
        "num_classes": f"{judgement.judge['num_classes']:,}",
        "code_layer": judgement.judge["code_layer"],
        "columns": [*PARTS.values(), "Chance"],
        "lines": lines,
        "cards": cards,
    }


def facet_views(judgement: Judgement, facet: int) -> dict[str, Any]:
    """What one judge says of one facet: visualization, start, and the median real image of it."""
    shown, start = judgement.shown.take([facet]), judgement.start.take([facet])
    real = judgement.real.take(judgement.real_facets == facet)
    lines = [
        ("Rank of the class", [_median(part.rank) for part in (shown, start, real)], number),
        ("Its probability", [_median(part.probability) for part in (shown, start, real)], share),
        ("Facet recalled", [_mean(part.recalled) for part in (shown, start, real)], share),
        ("Similarity percentile", [_median(p.percentile) for p in (shown, start, real)], number),
    ]
    return {
        "name": judgement.judge["name"],
        "lines": [
            {"title": title, "values": [_answer(title, i, v, write) for i, v in enumerate(values)]}
            for title, values, write in lines
            if math.isfinite(values[0])
        ],
        "seen_as": without_id(judgement.shown.seen_as[facet]),
        "start_seen_as": without_id(judgement.start.seen_as[facet]),
        "own": bool(shown.rank[0] == 1),
    }


def columns(judgement: Judgement, number: int) -> dict[Column, Float[np.ndarray, " k"]]:
    """The judge's columns of the table of all facets, those without any number left out."""
    name, shown = judgement.judge["name"], judgement.shown
    found = {
        Column(
            f"judge{number}.rank",
            f"Rank by {name}",
            "",
            "lower",
            "Place of the class among the judge's classes, 1 for the first.",
        ): shown.rank,
        Column(
            f"judge{number}.probability",
            f"Probability by {name}",
            "",
            "higher",
            "Of the class, after softmax, by the judge.",
        ): shown.probability,
        Column(
            f"judge{number}.recalled",
            f"Recalled by {name}",
            "",
            "higher",
            "1 if the judge's code of the visualization is nearest to the mean code of its own "
            "facet's real images, else 0.",
        ): shown.recalled,
        Column(
            f"judge{number}.margin",
            f"Margin by {name}",
            "",
            "higher",
            "Distance of the judge's code to the nearest other facet less that to its own, over "
            "the distance between the two: 1 on its own mean, -1 on the other.",
        ): shown.margin,
        Column(
            f"judge{number}.percentile",
            f"Similarity percentile by {name}",
            "%",
            "higher",
            "Percentage of the facet's real images that are, by the judge's codes, less similar to "
            "the mean of the others than the visualization is to that of all.",
        ): shown.percentile,
    }
    return {column: values for column, values in found.items() if np.isfinite(values).any()}


def control_views(run: Run) -> dict[str, Any] | None:
    """The controls of a run beside the picture of their facet; ``None`` where it has none."""
    controls = run.controls
    if controls is None:
        return None
    largest = float(run.real.activations.max())
    first = f"Facet {controls.facet + 1} as it is shown."
    pictures: list[tuple[int | None, str, str]] = [(None, "Visualization", first)]
    pictures += [
        (i, _CONTROLS.get(name, name), about)
        for i, (name, about) in enumerate(zip(controls.names, controls.about, strict=True))
    ]
    shown = []
    for i, title, about in pictures:
        images = run.shown.images if i is None else controls.images
        activations = run.shown.final_activations if i is None else controls.activations
        row = controls.facet if i is None else i
        ratio = float(activations[row]) / largest if largest > 0 else math.nan
        shown.append(
            {
                "title": title,
                "about": about,
                "uri": jpeg_uri(images[row], max_side=CONTROL_SIDE),
                "activation": number(float(activations[row])),
                "ratio": number(ratio) if math.isfinite(ratio) else None,
                "judged": [_said(j, i, controls.facet) for j in run.judgements],
                "is_facet": i is None,
            }
        )
    return {
        "facet": controls.facet,
        "number": controls.facet + 1,
        "pictures": shown,
        "note": _ON_PLACEBO if "placebo" in controls.names else "",
    }


def _said(judgement: Judgement, control: int | None, facet: int) -> str:
    """In a line, what a judge says of a control, or of the facet itself."""
    name = judgement.judge["name"]
    judged: Judged | None = judgement.shown if control is None else judgement.controls
    if judged is None:
        return ""
    row = facet if control is None else control
    parts = []
    if math.isfinite(judged.rank[row]):
        parts.append(f"rank {number(judged.rank[row])}, {share(judged.probability[row])}")
    if math.isfinite(judged.recalled[row]):
        parts.append("facet recalled" if judged.recalled[row] else "facet not recalled")
    return f"{name}: {'; '.join(parts)}" if parts else ""


def _answer(title: str, place: int, value: float, write: Any) -> str:
    """Yes or no of a single picture, the number of everything else."""
    if title == "Facet recalled" and place < 2 and math.isfinite(value):
        return "yes" if value else "no"
    return write(value)


def _median(values: Float[np.ndarray, " n"]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else math.nan


def _mean(values: Float[np.ndarray, " n"]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan
