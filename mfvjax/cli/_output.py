"""What a finished run says on the terminal, and how it is published."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import re
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import typer

from mfvjax.store.names import PAGE

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


def free_folder(folder: pathlib.Path) -> pathlib.Path:
    """The folder, or the first of ``NAME-2``, ``NAME-3``, ... that nothing is in."""
    number, free = 1, folder
    while os.path.lexists(free) and not (free.is_dir() and not any(free.iterdir())):
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free


def publish(
    run: Run, temporary: pathlib.Path, folder: pathlib.Path, *, figures: bool
) -> Callable[[], None]:
    """Writes the run, its page and, if wanted, its figures into an opened run folder.

    The run is worth more than its page: where that fails, on a full disk say, the run stays.

    Args:
      run: finished.
      temporary: the folder as opened.
      folder: where it will be.
      figures: whether they are wanted.

    Returns: to be called when the run is in its place: tells of a page or figures that are missing.
    """
    from mfvjax.report import write_figures, write_page
    from mfvjax.store import write_run

    write_run(run, temporary)
    try:
        write_page(run, temporary / PAGE)
        if figures:
            write_figures(run, temporary / "figures")
    except Exception as error:  # whatever it is, hours of work shall not go with it
        return functools.partial(_tell_unwritten, folder, error)
    return lambda: None


def _tell_unwritten(folder: pathlib.Path, error: Exception) -> None:
    raise RuntimeError(
        f"the run is whole in {folder}, but not its page or figures ({type(error).__name__}: "
        f"{error}); make them again with: mfvjax report {shlex.quote(str(folder))}"
    ) from error


def check_facets_file(file: pathlib.Path) -> None:
    """Refuses, before any work, a file that facets cannot be saved to.

    Raises:
      typer.BadParameter: something other than facets is there, or there is no such folder.
    """
    from mfvjax.facets.result import DamagedFacetsError, Facets

    if not file.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {file.parent} to write {file.name} into")
    if not os.access(file.parent, os.W_OK):
        raise typer.BadParameter(f"the folder {file.parent} cannot be written to")
    if not os.path.lexists(file):
        return
    try:
        Facets.load(file)
    except (OSError, DamagedFacetsError):
        raise typer.BadParameter(
            f"{file} is there and holds no facets; it is left as it is: choose another name"
        ) from None


def run_report(run: Run, folder: pathlib.Path) -> dict[str, Any]:
    """What ``--json`` tells of a run."""
    from mfvjax.report import run_facts

    return {"folder": str(folder), "page": str(folder / PAGE), **run_facts(run)}


def print_run(run: Run, folder: pathlib.Path, *, as_json: bool, quiet: bool) -> None:
    """A table of facets and the way to the page; or JSON; or nothing."""
    if as_json:
        typer.echo(json.dumps(run_report(run, folder), indent=1))
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
        table.add_column(escape(heading.lower()), justify="right" if i else "left")
    for line in view["lines"]:
        table.add_row(escape(line["title"].lower()), *map(escape, line["values"]))
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
