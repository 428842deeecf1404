"""The main job: every facet of one unit, from images to a `Run`."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from mfvjax.ascent import visualize
from mfvjax.facets.discover import discover_facets
from mfvjax.facets.result import Facets
from mfvjax.network import Network
from mfvjax.pipeline.assemble import assemble_run, read_pictures
from mfvjax.pipeline.provenance import Stopwatch
from mfvjax.pipeline.scoring import score
from mfvjax.pipeline.sources import Imageish, open_network, open_source, written_down
from mfvjax.pipeline.targets import plan_ascent
from mfvjax.recipe import Recipe
from mfvjax.recipes import default_recipe, find_recipe
from mfvjax.run import Run
from mfvjax.types import Unit

ProgressFn: TypeAlias = Callable[[str, int, int], None]

# On SqueezeNet's golf balls (ten facets, 0.3 of MEAN_IMAGE's steps) 1 held 8 of 10, 5 all ten, and
# 20 nine at lower activations.
DEFAULT_HOLD = 5.0


def run_unit(
    network: Network | str | os.PathLike[str],
    images: Imageish,
    *,
    unit: Unit | str,
    num_facets: int | Literal["auto"] = 10,
    recipe: Recipe | str | None = None,
    step_fraction: float = 1.0,
    hold: float = DEFAULT_HOLD,
    seed: int = 0,
    precision: str = "float32",
    progress: ProgressFn | None = None,
    **discovery: Any,
) -> Run:
    """Finds the facets of a unit among images and visualizes each of them.

    Algorithm 1 of the paper: codes, PCA, t-SNE, k-means, mean images, then activation maximization
    from each mean image, all facets in one compiled call per phase; then scores, with one more
    visualization started from noise as a control.

    Args:
      network: whose unit it is: a `Network`, or a file or name that `Network.load` takes.
      images: those that activate the unit, of a class, say: a folder, files, arrays,
        ``"tfds:NAME/SPLIT"`` (see `mfvjax.images.open_images`) or ``"facetworld:CLASS"``. With
        ``top_fraction`` or ``top_count`` a pool, of which those that activate the unit most are
        taken.
      unit: ``"fc8:945"``, ``"conv4:12"``.
      num_facets: k, or "auto".
      recipe: a `Recipe`, or the name of one of `mfvjax.recipes`; if ``None``, the one that suits
        the size of what is shown, see `mfvjax.recipes.default_recipe`.
      step_fraction: of the recipe's steps that are taken in each phase, in (0, 1].
      hold: weight of the term that holds each code near its facet; 0 for the paper's objective;
        see `mfvjax.pipeline.targets.plan_ascent`.
      seed: of everything random; the same seed gives the same run.
      precision: "float32", "tensorfloat32" or "bfloat16"; see `Network.with_precision`.
      progress: called with (step, done, in all).
      **discovery: further options of `mfvjax.facets.discover.discover_facets`.

    Raises:
      ValueError: an option, the unit, or the images do not fit; the message says what would.
    """
    watch = Stopwatch()
    opened = open_network(network, precision=precision)
    source = open_source(images, network=opened)
    with watch("discovery"):
        facets = discover_facets(
            opened,
            source,
            unit=unit,
            num_facets=num_facets,
            seed=seed,
            progress=_step(progress, "reading codes"),
            **discovery,
        )
    run = run_facets(
        opened,
        source,
        facets,
        recipe=recipe,
        step_fraction=step_fraction,
        hold=hold,
        seed=seed,
        progress=progress,
    )
    options = {
        "network": written_down(network),
        "images": written_down(images),
        "unit": str(unit),
        "num_facets": num_facets,
        "discovery": discovery,
        **run.options,
    }
    return dataclasses.replace(run, options=options, timings={**watch.seconds, **run.timings})


def run_facets(
    network: Network,
    images: Imageish,
    facets: Facets,
    *,
    recipe: Recipe | str | None = None,
    step_fraction: float = 1.0,
    hold: float = DEFAULT_HOLD,
    seed: int = 0,
    progress: ProgressFn | None = None,
) -> Run:
    """Visualizes facets that were found before; `images` are those they were found among.

    Options as `run_unit`.
    """
    watch = Stopwatch()
    source = open_source(images, network=network)
    plan = plan_ascent(network, facets, hold=hold, seed=seed)
    if recipe is None:
        height, width = plan.starts.shape[1:3]
        recipe = default_recipe((height, width), network.preprocessing.domain)
    elif isinstance(recipe, str):
        recipe = find_recipe(recipe)
    with watch("reading images"):
        pictures = read_pictures(network, source, facets)
    with watch("ascent"):
        result = visualize(
            network,
            plan.objectives,
            plan.starts,
            recipe=recipe if step_fraction == 1 else recipe.shortened(step_fraction),
            key=seed,
            region=plan.region,
            groups=plan.groups,
            progress=_step(progress, "ascent"),
        )
    with watch("scores"):
        scores = score(network, facets, plan, result, pictures.nearest)
    return assemble_run(
        network,
        facets,
        plan,
        pictures,
        result,
        scores,
        options={
            "recipe": recipe.name,
            "recipe_sha256": recipe.sha256,
            "step_fraction": step_fraction,
            "hold": hold,
            "seed": seed,
        },
        timings=dict(watch.seconds),
    )


def _step(progress: ProgressFn | None, step: str) -> Callable[[int, int], None] | None:
    return None if progress is None else functools.partial(progress, step)
