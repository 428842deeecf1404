"""``mfvjax run``: the main job."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence

import typer

from mfvjax.cli import _options as o

NEEDS_ARGUMENTS = False


def command(
    network: o.Network = "compact",
    weights: o.Weights = None,
    images: o.Images = None,
    directions: o.Directions = None,
    unit: o.Units = ["fc8:6"],  # noqa: B006  (never changed)
    facets: o.NumFacets = None,
    top: o.Top = None,
    mean_images: o.MeanImages = o.DEFAULT_MEAN_IMAGES,
    code: o.Code = o.DEFAULT_CODE,
    code_layer: o.CodeLayer = None,
    positions: o.Positions = o.DEFAULT_POSITIONS,
    recipe: o.RecipeOption = None,
    steps: o.Steps = 1.0,
    hold: o.Hold = None,
    controls: o.Controls = True,
    placebo: o.PlaceboOption = None,
    max_unreadable: o.MaxUnreadable = o.DEFAULT_MAX_UNREADABLE,
    max_pixels: o.MaxPixels = None,
    seed: o.Seed = 0,
    judge: o.Judge = None,
    judge_class: o.JudgeClass = None,
    device: o.Device = None,
    precision: o.Precision = "float32",
    out: o.Out = None,
    overwrite: o.Overwrite = False,
    figures: o.Figures = False,
    quiet: o.Quiet = False,
    as_json: o.AsJson = False,
) -> None:
    """Find a unit's facets, visualize each, score them, and write a page worth keeping.

    Without options: the bundled network, painted pictures of one of its classes, and a second
    bundled network as judge, so that you see what comes out, in half a minute. With your own:

        mfvjax run -n caffenet -i imagenet/n02992211 -u fc8:486 -k 10

    A hidden unit takes a pool of images, of which the top 2 % (at least 50) answer to it:

        mfvjax run -n caffenet -i imagenet/val -u conv5:12

    Several units, ``-u conv5:12 -u conv5:40``, have a run folder each. Run twice without --out, it
    makes another folder beside the first.
    """
    network = o.address(network, weights)
    o.choose_device(device)
    from mfvjax.cli._judging import judging
    from mfvjax.cli._output import print_run, run_report
    from mfvjax.cli._publishing import make_run
    from mfvjax.pipeline.sources import open_network, painted_class
    from mfvjax.store import check_run_folder

    opened = open_network(network, precision=precision, directions=directions)
    if network == "compact" and judge is None and judge_class is None:
        judge = "compact-resnet"
    judged = judging(judge, judge_class, opened)
    discovery = o.discovery(top, mean_images, code_layer, positions, code)
    options = {
        "num_facets": o.num_facets(facets or ("auto" if images is None else "10")),
        "recipe": recipe,
        "step_fraction": steps,
        "hold": hold,
        "controls": controls,
        "placebo": placebo,
        "max_unreadable": o.share(max_unreadable),
        "max_pixels": max_pixels,
        "seed": seed,
        "precision": precision,
        "directions": directions,
        **discovery,
    }
    units = list(dict.fromkeys(unit))
    folders = _folders(network, units, out, overwrite=overwrite)
    for one in units:  # of all of them, before the first one's work
        opened.resolve(one)
        check_run_folder(folders[one], overwrite=overwrite)
    sources = {one: images or painted_class(opened, one) for one in units}
    told = []
    try:
        for one in units:
            run = make_run(
                folders[one],
                network,
                sources[one],
                {"unit": one, **options},
                judged=judged,
                overwrite=overwrite,
                figures=figures,
                quiet=quiet or as_json,
            )
            if as_json:
                told.append(run_report(run, folders[one]))
            else:
                print_run(run, folders[one], as_json=False, quiet=quiet)
    finally:  # of those that are finished, where a later one fails
        if told:
            typer.echo(json.dumps(told[0] if len(units) == 1 else told, indent=1))


def _folders(
    network: str, units: Sequence[str], out: pathlib.Path | None, *, overwrite: bool
) -> dict[str, pathlib.Path]:
    """The run folder of each unit: by name, or the one that was asked for, or folders in that."""
    from mfvjax.cli._output import default_folder, free_folder

    default = {unit: default_folder(network, unit) for unit in units}
    if out is None:
        return default if overwrite else {u: free_folder(path) for u, path in default.items()}
    if len(units) == 1:
        return {units[0]: out}
    return {unit: out / path.name for unit, path in default.items()}
