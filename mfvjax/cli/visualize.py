"""``mfvjax visualize``: the second half of the main job alone."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from mfvjax.cli import _options as o


def command(
    facets: Annotated[pathlib.Path, typer.Argument(help="A file that `mfvjax facets` wrote.")],
    network: o.Network = "compact",
    weights: o.Weights = None,
    images: o.Images = None,
    directions: o.Directions = None,
    recipe: o.RecipeOption = None,
    steps: o.Steps = 1.0,
    hold: o.Hold = None,
    controls: o.Controls = True,
    placebo: o.PlaceboOption = None,
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
    """Visualize facets that were found before, score them, and write the page.

    The network, its directions and the images are those that the facets were found with.
    """
    network = o.address(network, weights)
    o.choose_device(device)
    from mfvjax.cli._judging import judging
    from mfvjax.cli._output import default_folder, print_run, publish
    from mfvjax.cli._progress import progress_bars
    from mfvjax.facets.result import Facets
    from mfvjax.pipeline import run_facets
    from mfvjax.pipeline.sources import open_network, painted_class
    from mfvjax.store import open_run_folder

    found = Facets.load(facets)
    opened = open_network(network, precision=precision, directions=directions)
    judged = judging(judge, judge_class, opened)
    folder = out or default_folder(network, str(found.unit))
    with open_run_folder(folder, overwrite=overwrite) as temporary:
        with progress_bars(quiet=quiet or as_json) as progress:
            run = run_facets(
                opened,
                images or painted_class(opened, str(found.unit)),
                found,
                recipe=recipe,
                step_fraction=steps,
                hold=hold,
                controls=controls,
                placebo=placebo,
                seed=seed,
                progress=progress,
            )
        run = judged(run)
        publish(run, temporary, figures=figures)
    print_run(run, folder, as_json=as_json, quiet=quiet)
