"""``mfvjax report``: the page and figures of a finished run, made again."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer


def command(
    folder: Annotated[
        pathlib.Path, typer.Argument(help="A finished run, or an atlas: all its units.")
    ],
    figures: Annotated[bool, typer.Option(help="Also the figures, as PNG and PDF.")] = True,
) -> None:
    """Write the page and the figures of a finished run again, with this version's looks.

    A unit of an atlas gets its covers too. Of an atlas, pages, covers and the gallery are written
    again, without figures.
    """
    from mfvjax.atlas.plan import PLAN_JSON
    from mfvjax.report import write_figures, write_page
    from mfvjax.store import load_run
    from mfvjax.store.names import PAGE

    if (folder / PLAN_JSON).exists():
        _report_atlas(folder)
        return
    run = load_run(folder)
    typer.echo(str(write_page(run, folder / PAGE)))
    if (folder.resolve().parents[1] / PLAN_JSON).exists():
        from mfvjax.atlas.cover import write_cover

        write_cover(run, folder)
    if figures:
        for path in write_figures(run, folder / "figures"):
            typer.echo(str(path))


def _report_atlas(folder: pathlib.Path) -> None:
    from mfvjax.atlas import AtlasFolder, write_index
    from mfvjax.atlas.pages import write_pages
    from mfvjax.atlas.plan import read_plan
    from mfvjax.store import load_run

    with AtlasFolder(folder, read_plan(folder)) as atlas:
        missing = set(atlas.unfinished())
        for unit in atlas.plan.units:
            if unit not in missing:
                write_pages(load_run(atlas.unit_path(unit)), atlas.unit_path(unit))
        typer.echo(str(write_index(atlas)))
