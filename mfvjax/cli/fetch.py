"""``mfvjax fetch``: a published network into the user's cache directory."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

if TYPE_CHECKING:
    from mfvjax.fetch.networks import ProgressOf

File = Optional[pathlib.Path]  # noqa: UP045  (typer reads the annotation at run time)


def command(
    name: Annotated[
        str,
        typer.Argument(help="caffenet, alexnet, googlenet, squeezenet_v1.1 or squeezenet_v1.0."),
    ],
    weights: Annotated[
        File, typer.Option("--from", help="Use this .caffemodel instead of a download.")
    ] = None,
    prototxt: Annotated[
        File, typer.Option("--prototxt", help="Use this definition instead of a download.")
    ] = None,
    class_names: Annotated[
        File, typer.Option("--class-names", help="Text file with one class per line.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Fetch and convert again what is there.")
    ] = False,
) -> None:
    """Fetch a published network, verify it, convert it, and keep it for `--network NAME`.

    A broken download goes on where it stopped when the command is run again.
    """
    from mfvjax.fetch import fetch

    with _progress_bars() as progress_of:
        fetched = fetch(
            name,
            weights=weights,
            definition=prototxt,
            class_names=class_names,
            force=force,
            progress_of=progress_of,
        )
    for note in fetched.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(str(fetched.path))


@contextmanager
def _progress_bars() -> Iterator[ProgressOf]:
    """One bar per file, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:

        def progress_of(remote: Any) -> Any:
            task = bars.add_task(remote.name, total=None)
            return lambda received, total: bars.update(task, completed=received, total=total)

        yield progress_of
