"""A run in a notebook: one line of HTML per facet, small enough to stay in the file."""

from __future__ import annotations

import math
from typing import Any

from mfvjax.class_names import without_id
from mfvjax.judgement import Judgement
from mfvjax.report import words
from mfvjax.report.colors import facet_color
from mfvjax.report.embed import jpeg_uri
from mfvjax.report.judges import judge_view
from mfvjax.report.looks import pictured
from mfvjax.report.page import TEMPLATES, environment
from mfvjax.run import Run

SIDE = 128  # pixels
NUM_REAL = 4  # real images of each facet
MOST_FACETS = 12


def notebook_html(run: Run) -> str:
    """A table of the facets: nearest real images, mean image, visualization, and what judges say.

    Every name is escaped; it holds no script, and colors are left to the notebook. Some 20 kB a
    facet, of which `MOST_FACETS` are shown at most; the page (`write_page`) shows all there is.
    """
    template = environment(TEMPLATES).get_template("notebook.html.j2")
    return template.render(notebook_view(run))


def notebook_view(run: Run) -> dict[str, Any]:
    """Everything the template asks for, by name."""
    run = pictured(run)
    shown = min(run.num_facets, MOST_FACETS)
    return {
        "title": without_id(run.title) or run.title,
        "unit": run.unit,
        "network": run.network.get("name", ""),
        "facets": words.count(run.num_facets, "facet"),
        "images": words.count(len(run.real.names), "image"),
        "recipe": run.options.get("recipe", ""),
        "judges": [_judge(judgement) for judgement in run.judgements],
        "judge_names": [judgement.judge["name"] for judgement in run.judgements],
        "rows": [_row(run, facet) for facet in range(shown)],
        "left_out": words.count(run.num_facets - shown, "further facet"),
        "is_whole": shown == run.num_facets,
    }


def _judge(judgement: Judgement) -> list[str]:
    """Its cards as lines: the number first, its bounds behind it."""
    cards = judge_view(judgement)["cards"]
    return [f"{card['title']}: {card['text']} ({card['beside']})" for card in cards]


def _row(run: Run, facet: int) -> dict[str, Any]:
    nearest = [
        run.facets.nearest_images[facet, place]
        for place, index in enumerate(run.facets.nearest[facet])
        if index >= 0
    ]
    ratios = run.scores.get("activation_ratio")
    ratio = math.nan if ratios is None else float(ratios[facet])
    return {
        "number": facet + 1,
        "color": facet_color(facet),
        "size": words.count(int(run.facets.sizes[facet]), "image"),
        "real": [jpeg_uri(image, max_side=SIDE) for image in nearest[:NUM_REAL]],
        "mean": jpeg_uri(run.facets.mean_images[facet], max_side=SIDE),
        "picture": jpeg_uri(run.shown.images[facet], max_side=SIDE),
        "ratio": words.number(ratio),
        "judged": [_said(judgement, facet) for judgement in run.judgements],
    }


def _said(judgement: Judgement, facet: int) -> str:
    rank, recalled = judgement.shown.rank[facet], judgement.shown.recalled[facet]
    parts = []
    if math.isfinite(rank):
        parts.append(f"rank {words.number(float(rank))}")
    if math.isfinite(recalled):
        parts.append("facet recalled" if recalled else "facet not recalled")
    return ", ".join(parts)
