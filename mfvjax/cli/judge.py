"""``mfvjax judge``: what another network sees in finished runs."""

from __future__ import annotations

import json
import pathlib
from typing import Annotated

import typer

from mfvjax.cli import _options as o


def command(
    folder: Annotated[
        pathlib.Path, typer.Argument(help="A finished run, or an atlas: all its units.")
    ],
    judge: Annotated[
        str,
        typer.Argument(
            help="Another network: a .safetensors file, or a name as for run --network."
        ),
    ],
    judge_class: o.JudgeClass = None,
    device: o.Device = None,
    quiet: o.Quiet = False,
    as_json: o.AsJson = False,
) -> None:
    """Have another network judge a finished run, and write its page again.

    The judgement is kept in the run's folder; a former one by the same judge is replaced. Of an
    atlas, the units are judged that this judge has not seen: the same command goes on where it was
    ended.
    """
    o.choose_device(device)
    from mfvjax.atlas.plan import PLAN_JSON

    if (folder / PLAN_JSON).exists():
        if judge_class is not None:
            raise typer.BadParameter(
                "the units of an atlas have a class each", param_hint="--judge-class"
            )
        _judge_atlas(folder, judge, quiet=quiet, as_json=as_json)
        return
    from mfvjax.cli._output import print_run
    from mfvjax.judging import judge_folder

    run = judge_folder(folder, judge, judge_class=judge_class)
    print_run(run, folder, as_json=as_json, quiet=quiet)


def _judge_atlas(folder: pathlib.Path, judge: str, *, quiet: bool, as_json: bool) -> None:
    from mfvjax.atlas import judge_atlas
    from mfvjax.cli._progress import progress_bars

    with progress_bars(quiet=quiet or as_json) as progress:
        done = judge_atlas(folder, judge, progress=progress)
    for reason in done.damaged.values():
        typer.echo(f"mfvjax: warning: not judged: {reason}", err=True)
    facts = {
        "folder": str(folder),
        "index": str(done.index),
        "judged": list(done.judged),
        "before": list(done.before),
        "missing": list(done.missing),
        "damaged": done.damaged,
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
    elif not quiet:
        typer.echo(f"{len(done.judged)} units judged, {len(done.before)} had been before")
        typer.echo(f"Open {done.index}")
