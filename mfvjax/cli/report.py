"""``mfvjax report``: the page and figures of a finished run, made again."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer


def command(
    folder: Annotated[pathlib.Path, typer.Argument(help="A finished run.")],
    figures: Annotated[bool, typer.Option(help="Also the figures, as PNG and PDF.")] = True,
) -> None:
    """Write the page and the figures of a finished run again, with this version's looks."""
    from mfvjax.report import write_figures, write_page
    from mfvjax.store import load_run

    run = load_run(folder)
    typer.echo(str(write_page(run, folder / "report.html")))
    if figures:
        for path in write_figures(run, folder / "figures"):
            typer.echo(str(path))
