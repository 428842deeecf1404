"""The recipe of facet statistics: what a facet-step costs, beside the same in torch."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from benchmarks.candidates import NUM_FACETS, workload
from benchmarks.context import Context
from benchmarks.facets import LAYERS, FacetWork
from benchmarks.harness import interleaved, medians
from benchmarks.ours import Ours
from benchmarks.report import Table
from benchmarks.workload import zoom
from mfvjax.recipes.facet_statistics import FACET_STATISTICS

_STEPS = 8
SUBJECT = ("n03445777", 574)  # golf balls: their folder and their unit
OURS, BATCHED, ALONE = "mfvjax", "batched torch", "torch, one picture at a time"
PUBLISHED = "mfvjax, the first phase of release-mean-image"
# Each view of a step costs what a step of one view does: counted one by one.
_VIEWS = FACET_STATISTICS.phases[0].num_views
_RECIPE = FACET_STATISTICS.replace(num_steps=FACET_STATISTICS.num_steps * _VIEWS, num_views=1)


def run(context: Context) -> list[Table]:
    """Steps of ten facets in turn: ours, both torch ways, and ours with the published recipe."""
    work = FacetWork.of(context, NUM_FACETS, SUBJECT)
    steps = 2 if context.quick else _STEPS
    runs = runs_of(context, work, steps)
    seconds = medians(interleaved(runs, repeats=context.repeats))
    each = {name: 1e3 * value / NUM_FACETS / steps for name, value in seconds.items()}
    num_steps = dict.fromkeys((ALONE, BATCHED, OURS), _RECIPE.num_steps)
    num_steps[PUBLISHED] = workload(context).recipe.num_steps
    rows: list[list[Any]] = [
        [name, each[name], 1e-3 * count * each[name], f"{each[name] / each[OURS]:.2f}"]
        if name in each
        else [name, context.no_torch, None, None]
        for name, count in num_steps.items()
    ]
    columns = ["", "ms per facet-step", "whole run, s per facet", "times mfvjax"]
    return [Table("The recipe of facet statistics", columns, rows, notes_of(context, work, steps))]


def runs_of(context: Context, work: FacetWork, steps: int) -> dict[str, Callable[[], Any]]:
    """`steps` steps of each candidate."""
    phase = dataclasses.replace(_RECIPE.phases[0], num_steps=steps)
    canvases = zoom(work.starts, _RECIPE.canvas_sizes(context.network.input_size)[0])
    canvases = canvases.clip(0, 255)
    ours = Ours(context.network)
    ways: dict[str, Any] = {}
    if context.no_torch is None:
        from benchmarks.torch_views import TorchViews

        device = context.torch_device
        ways[ALONE] = TorchViews(context.network, device=device, together=1)
        ways[BATCHED] = TorchViews(context.network, device=device)
    ways[OURS] = ours
    runs: dict[str, Callable[[], Any]] = {
        name: functools.partial(way.run_phase, canvases, work.objectives, phase, 0)
        for name, way in ways.items()
    }
    release = workload(context)
    paper = dataclasses.replace(release.recipe.phases[0], num_steps=steps)
    runs[PUBLISHED] = functools.partial(ours.run_phase, release.starts, release.units, paper, 0)
    return runs


def notes_of(context: Context, work: FacetWork, steps: int) -> list[str]:
    """What the table is of."""
    layers = LAYERS[context.network_name]
    return [
        f"{context.network_name}, {NUM_FACETS} facets, statistics of {work.what} in "
        f"{len(layers)} layers ({layers[0]} to {layers[-1]}); median of {context.repeats} "
        f"interleaved runs of {steps} steps, projected to the recipes' "
        f"{_RECIPE.num_steps} and {workload(context).recipe.num_steps}.",
        "Torch: its own FFT, grid_sample, Adam; the network as in the other tables.",
    ]
