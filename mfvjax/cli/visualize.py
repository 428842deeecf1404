"""``mfvjax visualize``: the second half of the main job alone."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from mfvjax.cli import _options as o

if TYPE_CHECKING:
    from mfvjax.facets.origin import Origin


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
    from mfvjax.cli._output import default_folder, free_folder, print_run
    from mfvjax.cli._progress import progress_bars
    from mfvjax.cli._publishing import keep
    from mfvjax.facets.result import Facets
    from mfvjax.pipeline import run_facets
    from mfvjax.pipeline.sources import open_network, painted_class
    from mfvjax.store import open_run_folder

    found = Facets.load(facets)
    images = images or _images_of(found.origin)
    opened = open_network(network, precision=precision, directions=directions)
    judged = judging(judge, judge_class, opened)
    default = default_folder(network, str(found.unit))
    folder = out or (default if overwrite else free_folder(default))
    with open_run_folder(folder, overwrite=overwrite) as temporary:
        with progress_bars(quiet=quiet or as_json) as progress:
            run = run_facets(
                opened,
                images or painted_class(opened, found.unit),
                found,
                recipe=recipe,
                step_fraction=steps,
                hold=hold,
                controls=controls,
                placebo=placebo,
                seed=seed,
                progress=progress,
            )
        run, tell = keep(run, temporary, folder, judged=judged, figures=figures)
    tell()
    print_run(run, folder, as_json=as_json, quiet=quiet)


def _images_of(origin: Origin | None) -> str | None:
    """Where images of facets are, where it needs not be said again: painted ones.

    Raises:
      typer.BadParameter: it needs to be said.
    """
    from mfvjax.pipeline.sources import PAINTED

    if origin is None:  # of facets of version 0.1
        return None
    if origin.images is None or not origin.images.startswith(PAINTED):
        raise typer.BadParameter(
            f"the facets were found among {origin.num_images} images, of {origin.images_text}; "
            "name these images again",
            param_hint="--images",
        )
    return origin.images
