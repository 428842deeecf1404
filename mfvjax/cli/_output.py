"""What a finished run says on the terminal, and how it is published."""

from __future__ import annotations

import json
import pathlib
import re
import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from mfvjax.judgement import Judgement
    from mfvjax.run import Controls, Run

_SHOWN = (
    "activation",
    "activation_ratio",
    "facet_recall",
    "color_distance",
    "color_distance_control",
)
_WIDE = 120


def default_folder(network: str, unit: str) -> pathlib.Path:
    """``mfv_runs/NETWORK_UNIT`` with the characters that file names should not have replaced."""
    stem = f"{pathlib.Path(network).stem}_{unit}"
    return pathlib.Path("mfv_runs") / re.sub(r"[^A-Za-z0-9._-]+", "-", stem)


def publish(run: Run, folder: pathlib.Path, *, figures: bool) -> None:
    """Writes the run, its page and, if wanted, its figures into an opened run folder."""
    from mfvjax.report import write_figures, write_page
    from mfvjax.store import write_run

    write_run(run, folder)
    write_page(run, folder / "report.html")
    if figures:
        write_figures(run, folder / "figures")


def describe(run: Run, folder: pathlib.Path) -> dict[str, Any]:
    """The run in numbers, ready for JSON; judges first."""
    return {
        "folder": str(folder),
        "page": str(folder / "report.html"),
        "unit": run.unit,
        "title": run.title,
        "num_facets": run.num_facets,
        "judgements": [_judgement(judgement) for judgement in run.judgements],
        "summary": run.summary,
        "scores": {name: values.tolist() for name, values in run.scores.items()},
        "controls": None if run.controls is None else _controls(run, run.controls),
        "top_classes": [names[0] if names else None for names in run.shown.top_class_names],
        "timings": run.timings,
    }


def _judgement(judgement: Judgement) -> dict[str, Any]:
    shown = judgement.shown
    return {
        "judge": judgement.judge,
        "class_index": judgement.class_index,
        "class_name": judgement.class_name,
        "class_by": judgement.class_by,
        "summary": judgement.summary,
        "facets": {
            "rank": shown.rank.tolist(),
            "probability": shown.probability.tolist(),
            "recalled": shown.recalled.tolist(),
            "margin": shown.margin.tolist(),
            "percentile": shown.percentile.tolist(),
            "seen_as": list(shown.seen_as),
        },
    }


def _controls(run: Run, controls: Controls) -> dict[str, Any]:
    from mfvjax.metrics import activation_ratio

    judged = {j.judge["name"]: j.controls for j in run.judgements if j.controls is not None}
    return {
        "facet": controls.facet,
        "names": list(controls.names),
        "about": list(controls.about),
        "activation": controls.activations.astype(float).tolist(),
        "activation_ratio": activation_ratio(
            controls.activations.astype(float), run.real.activations
        ).tolist(),
        "rank": {name: seen.rank.tolist() for name, seen in judged.items()},
        "recalled": {name: seen.recalled.tolist() for name, seen in judged.items()},
    }


def print_run(run: Run, folder: pathlib.Path, *, as_json: bool, quiet: bool) -> None:
    """A table of facets and the way to the page; or JSON; or nothing."""
    if as_json:
        typer.echo(json.dumps(_without_nan(describe(run, folder)), indent=1))
        return
    if quiet:
        return
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    console.print(_table(run))
    for judgement in run.judgements:
        console.print(in_words(judgement), highlight=False, markup=False)
    console.print(
        f"own recall {run.summary['recall']:.2f} (own network's code), "
        + ", ".join(f"{step} {seconds:.1f} s" for step, seconds in run.timings.items()),
        highlight=False,
    )
    console.print(f"Open {folder / 'report.html'}", highlight=False, markup=False, soft_wrap=True)


def in_words(judgement: Judgement) -> str:
    """In a line, what a judge says of a run, with what bounds it from above and below."""
    from mfvjax.report.words import number, share

    parts = []
    for key, title, write in (
        ("top_1", "class first", share),
        ("top_5", "among the first five", share),
        ("median_rank", "median rank", number),
        ("recall", "facets recalled", share),
        ("percentile", "median similarity percentile", number),
    ):
        shown, start, real, chance = (
            write(judgement.summary[part][key]) for part in ("shown", "start", "real", "chance")
        )
        beside = f"real images {real}, untouched start {start}"
        if key != "percentile":
            beside += f", chance {chance}"
        if judgement.summary["shown"][key] == judgement.summary["shown"][key]:
            parts.append(f"{title} {shown} ({beside})")
    name = f"judged by {judgement.judge['name']}"
    known = f"as {judgement.class_name}, " if judgement.class_name else ""
    return f"{name}, {known}{judgement.class_by}: {'; '.join(parts)}"


def _table(run: Run) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from mfvjax.metrics import METRICS
    from mfvjax.report.judges import columns
    from mfvjax.report.words import number

    judged = [columns(judgement, i) for i, judgement in enumerate(run.judgements)]
    numbers = {
        escape(column.title): values
        for one in judged
        for column, values in one.items()
        if column.name.rpartition(".")[2] in ("rank", "recalled")
    }
    numbers |= {METRICS[n].title: run.scores[n] for n in _SHOWN if n in run.scores}
    called = "" if run.unit.startswith(run.title) else f" ({run.title})"
    table = Table(title=escape(f"{run.unit}{called}: {run.num_facets} facets"), box=None)
    for heading in ("facet", "images", *numbers, "seen as"):
        table.add_column(heading, justify="right" if heading != "seen as" else "left")
    for k in range(run.num_facets):
        names = run.shown.top_class_names[k]
        values = (number(float(values[k])) for values in numbers.values())
        table.add_row(
            str(k + 1), str(run.facets.sizes[k]), *values, escape(names[0]) if names else ""
        )
    return table


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: it becomes null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value
