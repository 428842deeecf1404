"""``mfvjax atlas``: whole layers, and ``mfvjax atlas merge``: one atlas from shards."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from mfvjax.cli import _options as o
from mfvjax.cli._once import OnceCommand, OnceGroup

if TYPE_CHECKING:
    from mfvjax.atlas import Atlas

app = typer.Typer(no_args_is_help=True, invoke_without_command=True, cls=OnceGroup)

_Text = Optional[str]  # noqa: UP045  (typer reads the annotation at run time)
_Number = Optional[int]  # noqa: UP045


def _unless_subcommand(function: Callable[..., None]) -> Callable[..., None]:
    """The function as an app's own command, which is not to run when one below it does."""

    @functools.wraps(function)
    def wrapper(context, **options):  # type: ignore[no-untyped-def]  # typer's classes vary
        if context.invoked_subcommand is None:
            function(**options)

    about = inspect.signature(function, eval_str=True)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    first = inspect.Parameter("context", kind, annotation=typer.Context)
    parameters = [first, *about.parameters.values()]
    wrapper.__signature__ = about.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


@app.callback()
@_unless_subcommand
def command(
    network: o.Network = "compact",
    weights: o.Weights = None,
    images: Annotated[
        _Text,
        typer.Option(
            "--images",
            "-i",
            help="The pool: a folder, with folders of classes if there are any; tfds:NAME/SPLIT; "
            "facetworld:all.",
        ),
    ] = None,
    directions: o.Directions = None,
    layer: Annotated[
        _Text, typer.Option("--layer", "-l", help="Whose units; by default the classes.")
    ] = None,
    units: Annotated[
        str, typer.Option("--units", "-u", help="0-999, or 3,7,20-29, or 900-, or names, or all.")
    ] = "all",
    facets: o.NumFacets = None,
    top: o.Top = None,
    mean_images: o.MeanImages = o.DEFAULT_MEAN_IMAGES,
    code: o.Code = o.DEFAULT_CODE,
    code_layer: o.CodeLayer = None,
    positions: o.Positions = o.DEFAULT_POSITIONS,
    recipe: o.RecipeOption = None,
    steps: o.Steps = 1.0,
    hold: o.Hold = None,
    controls: Annotated[
        bool,
        typer.Option(
            "--controls", help="Also the pictures that tell what each part of the objective does."
        ),
    ] = False,
    max_unreadable: o.MaxUnreadable = o.DEFAULT_MAX_UNREADABLE,
    max_pixels: o.MaxPixels = None,
    seed: o.Seed = 0,
    judge: o.Judge = None,
    device: o.Device = None,
    precision: o.Precision = "float32",
    out: Annotated[
        Optional[pathlib.Path],  # noqa: UP045
        typer.Option("--out", "-o", help="Folder of the atlas; the same again to go on."),
    ] = None,
    class_ids: Annotated[
        Optional[pathlib.Path],  # noqa: UP045
        typer.Option(
            "--class-ids",
            help="Text file whose lines begin with the classes' identifiers (synset_words.txt), "
            "where the pool's folders have these for names.",
        ),
    ] = None,
    facets_per_device: Annotated[
        _Number, typer.Option(help="In one batch of the ascent; by default as many as fit.")
    ] = None,
    writers: Annotated[
        _Number,
        typer.Option(
            help="Processes that write finished units; by default none beside a CPU's ascent, up "
            "to 12 beside an accelerator's."
        ),
    ] = None,
    shard: Annotated[
        str, typer.Option("--shard", help="Only this part of the units: 3/16 is the third.")
    ] = "1/1",
    together: Annotated[
        bool,
        typer.Option(
            "--together",
            help="All shards have the same --out, and read the pool between them.",
        ),
    ] = False,
    distributed: Annotated[
        bool,
        typer.Option(
            "--distributed", help="Share the work with the job's other processes, found by JAX."
        ),
    ] = False,
    coordinator: Annotated[
        _Text, typer.Option(help="HOST:PORT of the first process, where JAX cannot find out.")
    ] = None,
    processes: Annotated[_Number, typer.Option(help="How many processes, likewise.")] = None,
    process: Annotated[_Number, typer.Option(help="Which one this is, from 0, likewise.")] = None,
    quiet: o.Quiet = False,
    as_json: o.AsJson = False,
) -> None:
    """Find and show the facets of many units, with a gallery of all of them.

    Started again with the same options, it makes what is missing, and with more units these too:

        mfvjax atlas -n caffenet -i imagenet/train -l fc8 -u 0-999 -k 10 -o fc8-atlas
    """
    if images is None:
        raise typer.BadParameter("name the pool of images", param_hint="--images")
    if top == "all":
        raise typer.BadParameter("an atlas takes a share, as 100%, or a number", param_hint="--top")
    if coordinator is None and not (processes is None and process is None):
        raise typer.BadParameter(
            "--processes and --process go with --coordinator HOST:PORT", param_hint="--coordinator"
        )
    from mfvjax.atlas import Share, build_atlas, join_processes, parse_units

    share = Share.parse(shard)
    if together:
        share = dataclasses.replace(share, team=Share())
    if distributed or coordinator is not None:
        share = join_processes(coordinator, processes, process).within(share)
    o.choose_device(device)
    from mfvjax.cli._output import default_folder
    from mfvjax.cli._progress import progress_bars
    from mfvjax.images.classes import read_class_ids
    from mfvjax.network.units import find_layer
    from mfvjax.pipeline.sources import open_network

    network = o.address(network, weights)
    opened = open_network(network, precision=precision, directions=directions)
    name = layer or opened.logits_layer
    info = find_layer(opened.layers, name)
    folder = out or default_folder(network, f"{name}-atlas")
    with _way_back(folder), progress_bars(quiet=quiet or as_json) as progress:
        atlas = build_atlas(
            network,
            images,
            units=parse_units(name, info.num_units, units, names=info.unit_names),
            out=folder,
            num_facets=o.num_facets(facets or "10"),
            recipe=recipe,
            step_fraction=steps,
            hold=hold,
            controls=controls,
            max_unreadable=o.share(max_unreadable),
            max_pixels=max_pixels,
            seed=seed,
            precision=precision,
            directions=directions,
            class_ids=None if class_ids is None else read_class_ids(class_ids),
            facets_per_device=facets_per_device,
            share=share,
            writers=writers,
            judge=judge,
            progress=progress,
            **o.discovery(top, mean_images, code_layer, positions, code),
        )
    _print_atlas(atlas, share=str(share), as_json=as_json, quiet=quiet)


@app.command(no_args_is_help=True, cls=OnceCommand)
def merge(
    out: Annotated[pathlib.Path, typer.Argument(help="Folder of the whole atlas.")],
    parts: Annotated[list[pathlib.Path], typer.Argument(help="Folders of the shards.")],
    quiet: o.Quiet = False,
    as_json: o.AsJson = False,
) -> None:
    """Copy the finished units of several shards into one atlas; can be repeated."""
    from mfvjax.atlas import merge_atlas
    from mfvjax.cli._progress import progress_bars

    with progress_bars(quiet=quiet or as_json) as progress:
        merged = merge_atlas(out, parts, progress=progress)
    facts = {
        "folder": str(out),
        "index": str(merged.index),
        "added": list(merged.added),
        "missing": list(merged.missing),
        "damaged": merged.damaged,
    }
    for reason in merged.damaged.values():
        typer.echo(f"mfvjax: warning: left out: {reason}", err=True)
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
    elif not quiet:
        typer.echo(f"{len(merged.added)} units added, {len(merged.missing)} missing")
        typer.echo(f"Open {merged.index}")


@contextlib.contextmanager
def _way_back(folder: pathlib.Path) -> Iterator[None]:
    """After Ctrl-C: what is there and how to go on; the exit code is the interrupt's."""
    try:
        yield
    except KeyboardInterrupt:
        done = len(list(folder.glob("units/[!.]*/run.json")))
        typer.echo(
            f"stopped: {done} units are finished in {folder}; the same command goes on", err=True
        )
        raise


def _print_atlas(atlas: Atlas, *, share: str, as_json: bool, quiet: bool) -> None:
    facts = {
        "folder": str(atlas.folder),
        "index": str(atlas.index),
        "share": share,
        "units": len(atlas.units),
        "made": list(atlas.made),
        "by_class": atlas.by_class,
        "failed": atlas.failed,
        "damaged": atlas.damaged,
        "missing": list(atlas.missing),
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
    elif not quiet:
        by_rank = len(atlas.made) - atlas.by_class
        how = f" ({atlas.by_class} from images of their class, {by_rank} from the top of the pool)"
        typer.echo(
            f"{len(atlas.made)} units made{how if atlas.made else ''}, "
            f"{len(atlas.missing)} of the atlas missing"
        )
        typer.echo(f"Open {atlas.index}")
