"""``mfvjax replay``: does a stored run come out the same?"""

from __future__ import annotations

import pathlib
from typing import Annotated, Optional

import typer

from mfvjax.cli import _options as o


def command(
    folder: Annotated[pathlib.Path, typer.Argument(help="A finished run.")],
    network: Annotated[
        Optional[str],  # noqa: UP045  (typer reads the annotation at run time)
        typer.Option("--network", "-n", help="Where the network is now, if it has moved."),
    ] = None,
    images: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--images", "-i", help="Where the images are now, if they have moved."),
    ] = None,
    directions: Annotated[
        Optional[pathlib.Path],  # noqa: UP045
        typer.Option("--directions", help="Where the file of directions is now, likewise."),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="Largest difference of a pixel, in the units of the images.")
    ] = 0.0,
    device: o.Device = None,
    quiet: o.Quiet = False,
) -> None:
    """Do a run again from what it wrote down, and compare the images.

    Exit code 1 if they differ by more than the tolerance. On the same machine and versions they
    are equal; other devices sum in another order, and whole runs amplify that.
    """
    o.choose_device(device)
    from mfvjax.cli._progress import progress_bars
    from mfvjax.pipeline import largest_difference, replay
    from mfvjax.store import load_run

    run = load_run(folder)
    places = {"network": network, "images": images, "directions": directions}
    moved = {name: place for name, place in places.items() if place is not None}
    with progress_bars(quiet=quiet) as progress:
        again = replay(run, progress=progress, **moved)
    difference = largest_difference(run, again)
    if not quiet:
        unit = "grey levels" if run.domain.is_8bit else f"in {run.domain}"
        typer.echo(f"largest difference: {difference:g} {unit}")
    if not difference <= tolerance:
        changed = [
            f"{name} {old} -> {again.versions.get(name)}"
            for name, old in run.versions.items()
            if again.versions.get(name) != old
        ]
        why = f"; since then: {', '.join(changed)}" if changed else ""
        raise RuntimeError(f"{folder} does not replay: images differ by {difference:g}{why}")
