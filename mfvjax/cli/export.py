"""``mfvjax export``: finished runs as a table."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from mfvjax.cli import _options as o

if TYPE_CHECKING:
    from mfvjax.run import Run


def command(
    folders: Annotated[
        list[pathlib.Path], typer.Argument(help="Finished runs, or atlases: all their units.")
    ],
    out: Annotated[pathlib.Path, typer.Option("--out", "-o", help="A .csv or .json file.")],
    quiet: o.Quiet = False,
) -> None:
    """Write the numbers of finished runs as a table: a row for each picture.

    The untouched starts, real images, controls and chance have rows of their own, so that no score
    stands without its bounds. A file that is there is replaced.
    """
    from mfvjax.cli._progress import progress_bars
    from mfvjax.report import write_table
    from mfvjax.report.export import check_suffix

    check_suffix(out)
    runs = [run for folder in folders for run in _run_folders(folder)]
    with progress_bars(quiet=quiet) as progress:

        def read() -> Iterator[Run]:
            from mfvjax.store import load_run

            for done, folder in enumerate(runs, 1):
                yield load_run(folder)
                progress("reading runs", done, len(runs))

        write_table(read(), out)
    if not quiet:
        typer.echo(f"{len(runs)} run{'' if len(runs) == 1 else 's'} in {out}")


def _run_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """The run itself, or the finished ones of an atlas; of the others it says how many they are."""
    from mfvjax.atlas.folder import UNITS
    from mfvjax.atlas.plan import PLAN_JSON, read_plan
    from mfvjax.store import is_finished

    if not (folder / PLAN_JSON).exists():
        return [folder]
    names = read_plan(folder).folders().values()
    finished = [path for path in (folder / UNITS / name for name in names) if is_finished(path)]
    if len(finished) < len(names):
        left = f"{len(names) - len(finished)} of {len(names)} units are not finished"
        typer.echo(f"mfvjax: warning: {folder}: {left}; the table is without them", err=True)
    return finished
