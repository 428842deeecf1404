"""What a finished run says on the terminal, and how it is published."""

from __future__ import annotations

import json
import pathlib
import re
import sys
from typing import TYPE_CHECKING, Literal

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from mfvjax.judgement import Judgement
    from mfvjax.run import Run

_SHOWN = (
    "activation_ratio",
    "facet_recall",
    "color_distance",
    "color_distance_control",
)
_WIDE = 120


def default_folder(network: str, unit: str) -> pathlib.Path:
    """``mfv_runs/NETWORK_UNIT`` with the characters that file names should not have replaced."""
    stem = f"{pathlib.Path(network).name.removesuffix('.safetensors')}_{unit}"
    return pathlib.Path("mfv_runs") / re.sub(r"[^A-Za-z0-9._-]+", "-", stem)


def publish(run: Run, folder: pathlib.Path, *, figures: bool) -> None:
    """Writes the run, its page and, if wanted, its figures into an opened run folder."""
    from mfvjax.report import write_figures, write_page
    from mfvjax.store import write_run

    write_run(run, folder)
    write_page(run, folder / "report.html")
    if figures:
        write_figures(run, folder / "figures")


def print_run(run: Run, folder: pathlib.Path, *, as_json: bool, quiet: bool) -> None:
    """A table of facets and the way to the page; or JSON; or nothing."""
    if as_json:
        from mfvjax.report import run_facts

        where = {"folder": str(folder), "page": str(folder / "report.html")}
        typer.echo(json.dumps({**where, **run_facts(run)}, indent=1))
        return
    if quiet:
        return
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    console.print(_table(run))
    for judgement in run.judgements:
        console.print(_judged(judgement))
    console.print(
        f"own recall {run.summary['recall']:.2f} (own network's code"
        + _beside_recall(run)
        + "), "
        + ", ".join(f"{step} {seconds:.1f} s" for step, seconds in run.timings.items()),
        highlight=False,
    )
    console.print(f"Open {folder / 'report.html'}", highlight=False, markup=False, soft_wrap=True)


def _beside_recall(run: Run) -> str:
    """Untouched start and chance; runs of version 0.1 do not know their start's."""
    start = run.summary.get("recall_start")
    known = "" if start is None else f"; untouched start {start:.2f}"
    return f"{known}; chance {1 / run.num_facets:.2f}"


def _judged(judgement: Judgement) -> Table:
    """What a judge says of all pictures, with what bounds it from above and below."""
    from rich.markup import escape
    from rich.table import Table

    from mfvjax.report.judges import judge_view

    view = judge_view(judgement)
    known = f"as {view['class_name']}, {view['class_by']}" if view["class_name"] else ""
    title = f"judged by {view['name']}: {known or view['class_by']}"
    table = Table(title=escape(title), box=None, title_justify="left")
    for i, heading in enumerate(("", *view["columns"])):
        table.add_column(heading.lower(), justify="right" if i else "left")
    for line in view["lines"]:
        table.add_row(line["title"].lower(), *line["values"])
    return table


def _table(run: Run) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from mfvjax.class_names import without_id
    from mfvjax.metrics import METRICS
    from mfvjax.report.judges import columns
    from mfvjax.report.words import number

    judged = [columns(judgement, i) for i, judgement in enumerate(run.judgements)]
    numbers = {
        escape(column.title.lower()): values
        for one in judged
        for column, values in one.items()
        if column.name.rpartition(".")[2] in ("rank", "recalled")
    }
    shown = [name for name in _SHOWN if name in run.scores]
    if judged and "color_distance_control" in shown:  # on the page; here is not room for all
        shown.remove("color_distance_control")
    numbers |= {METRICS[name].title: run.scores[name] for name in shown}
    called = "" if run.unit.startswith(run.title) else f" ({without_id(run.title)})"
    table = Table(title=escape(f"{run.unit}{called}: {run.num_facets} facets"), box=None)
    for heading in ("facet", "images", *numbers, "seen as"):
        side: Literal["left", "right"] = "left" if heading == "seen as" else "right"
        longest = max(map(len, heading.split()))  # a judge may have a long name
        table.add_column(heading, justify=side, overflow="fold", min_width=min(longest, 20))
    for k in range(run.num_facets):
        names = run.shown.top_class_names[k]
        values = (number(float(values[k])) for values in numbers.values())
        table.add_row(
            str(k + 1),
            str(run.facets.sizes[k]),
            *values,
            escape(without_id(names[0])) if names else "",
        )
    return table
