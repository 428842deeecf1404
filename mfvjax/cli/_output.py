"""What a finished run says on the terminal, and how it is published."""

from __future__ import annotations

import json
import pathlib
import re
import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from mfvjax.run import Run

_SHOWN = (
    "activation",
    "activation_percentile",
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
    """The run in numbers, ready for JSON."""
    return {
        "folder": str(folder),
        "page": str(folder / "report.html"),
        "unit": run.unit,
        "title": run.title,
        "num_facets": run.num_facets,
        "summary": run.summary,
        "scores": {name: values.tolist() for name, values in run.scores.items()},
        "top_classes": [names[0] if names else None for names in run.shown.top_class_names],
        "timings": run.timings,
    }


def print_run(run: Run, folder: pathlib.Path, *, as_json: bool, quiet: bool) -> None:
    """A table of facets and the way to the page; or JSON; or nothing."""
    if as_json:
        typer.echo(json.dumps(_without_nan(describe(run, folder)), indent=1))
        return
    if quiet:
        return
    from rich.console import Console
    from rich.table import Table

    from mfvjax.metrics import METRICS

    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    called = "" if run.unit.startswith(run.title) else f" ({run.title})"
    table = Table(title=f"{run.unit}{called}: {run.num_facets} facets", box=None)
    shown = [name for name in _SHOWN if name in run.scores]
    for heading in ("facet", "images", *(METRICS[name].title for name in shown), "seen as"):
        table.add_column(heading, justify="right" if heading != "seen as" else "left")
    for k in range(run.num_facets):
        names = run.shown.top_class_names[k]
        values = (f"{run.scores[name][k]:.3g}" for name in shown)
        table.add_row(
            str(k + 1), str(run.facets.sizes[k]), *values, names[0] if names else "", style=None
        )
    console.print(table)
    console.print(
        f"facet recall {run.summary['recall']:.2f}, "
        + ", ".join(f"{step} {seconds:.1f} s" for step, seconds in run.timings.items()),
        highlight=False,
    )
    console.print(f"Open {folder / 'report.html'}", highlight=False, markup=False, soft_wrap=True)


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: it becomes null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value
