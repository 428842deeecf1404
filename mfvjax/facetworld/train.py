"""Trains a bundled network, or shows how good it is.

python -m mfvjax.facetworld.train                # trains; minutes on two cores
python -m mfvjax.facetworld.train --evaluate     # scores of the bundled weights
python -m mfvjax.facetworld.train --network compact-resnet    # the other one
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time
from typing import Annotated

import jax
import typer
from flax import nnx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mfvjax.facetworld.designs import COMPACT, DESIGNS, PREPROCESSING, Design, Recipe
from mfvjax.facetworld.evaluate import ClassScore, score_classes
from mfvjax.facetworld.training import train
from mfvjax.facetworld.weights import load_weights, save_weights
from mfvjax.facetworld.world import FacetWorld, dataset

TEST_SEED = 1_000_003
"""Seed of the test pictures; training seeds are smaller."""
_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())


def main(
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Train nothing; show scores of the weights.")
    ] = False,
    network: Annotated[str, typer.Option(help="One of " + ", ".join(DESIGNS) + ".")] = COMPACT.name,
    weights: Annotated[
        pathlib.Path | None, typer.Option(help="File to evaluate, or to write; else the bundled.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Updates of the weights, if not the network's own.")
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, help="Training pictures per facet.")] = 150,
    test_pictures: Annotated[int, typer.Option(min=2, help="Test pictures per facet.")] = 30,
    seed: Annotated[
        int | None, typer.Option(min=0, max=TEST_SEED - 1, help="If not the network's own.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that paint.")] = os.cpu_count()
    or 0,
) -> None:
    """Trains a network that comes with mfvjax on painted pictures of known classes."""
    if network not in DESIGNS:
        raise typer.BadParameter(f"no network {network!r}; there are {', '.join(DESIGNS)}")
    console, design = Console(), DESIGNS[network]
    asked = {"num_steps": steps, "seed": seed}
    recipe = dataclasses.replace(
        design.recipe, **{name: value for name, value in asked.items() if value is not None}
    )
    weights = design.weights if weights is None else weights
    if not evaluate:
        console.print(f"painting {pictures} training pictures of every facet")
        world = dataset(pictures, seed=recipe.seed, num_workers=workers)
        _train(console, world, design, recipe, weights)
    console.print(f"painting {test_pictures} test pictures of every facet")
    world = dataset(test_pictures, seed=TEST_SEED, num_workers=workers)
    module, preprocessing, _ = load_weights(design, weights)
    scores = score_classes(design, module, preprocessing, world)
    console.print(_table(scores, design.code_layer))
    counts = [score.num_facets for score in scores]
    right = sum(s.accuracy * n for s, n in zip(scores, counts, strict=True))
    console.print(f"test accuracy {right / sum(counts):.4f} on {len(world.images)} new pictures")


def _train(
    console: Console, world: FacetWorld, design: Design, recipe: Recipe, path: pathlib.Path
) -> None:
    start = time.monotonic()
    with Progress(*_COLUMNS, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("training", total=recipe.num_steps)
        for number, loss, average in train(world, design, recipe):
            params = average
            if number % 10 == 0 or number == recipe.num_steps:
                label = f"training, loss {float(loss):.3f}"
                progress.update(task, completed=number, description=label)
    arrays = nnx.to_pure_dict(jax.device_get(params))
    names = world.class_names
    save_weights(path, arrays, design=design, class_names=names, preprocessing=PREPROCESSING)
    minutes = (time.monotonic() - start) / 60
    console.print(f"trained in {minutes:.1f} minutes; {path.stat().st_size / 1e6:.2f} MB in {path}")


def _table(scores: list[ClassScore], layer: str) -> Table:
    table = Table("class", "facets", "accuracy", f"facets found in {layer} (adjusted Rand index)")
    for score in scores:
        found = f"{score.agreement:.3f}" if score.num_facets > 1 else "-"
        table.add_row(score.class_name, str(score.num_facets), f"{score.accuracy:.3f}", found)
    return table


if __name__ == "__main__":
    typer.run(main)
