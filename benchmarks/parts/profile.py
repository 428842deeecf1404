"""Where a step's time goes: by leaving out TV, and then the network."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.candidates import NUM_FACETS, isotropic, our_tv, tv_cases, workload
from benchmarks.context import Context
from benchmarks.harness import interleaved, medians
from benchmarks.ours import Ours
from benchmarks.report import Table
from benchmarks.workload import tv_of, without_tv
from mfvjax.network import Network
from mfvjax.recipe import Phase

_STEPS = 4


def run(context: Context) -> list[Table]:
    """Ten facets, four steps over the ramps of the first two phases, for both rules."""
    work = workload(context)
    paper = isotropic(work.recipe, "ours", our_tv, tv_cases(context))
    whole, hollow = Ours(context.network), Ours(without_network(context.network))
    runs: dict[str, Callable[[], Any]] = {}

    def add(name: str, way: Ours, phase: Phase) -> None:
        phase = dataclasses.replace(phase, num_steps=_STEPS)
        runs[name] = functools.partial(way.run_phase, work.starts, work.units, phase, 0)

    phases = {
        f"{rule}, phase {number + 1}": recipe.phases[number]
        for rule, recipe in (("isotropic", paper), ("release's rule", work.recipe))
        for number in (0, 1)
    }
    for name, phase in phases.items():
        add(name, whole, phase)
    bare = without_tv(next(iter(phases.values())))
    add("no TV", whole, bare)
    add("neither", hollow, bare)
    seconds = medians(interleaved(runs, repeats=2 * context.repeats))
    each = {name: 1e3 * value / NUM_FACETS / _STEPS for name, value in seconds.items()}
    network = each["no TV"] - each["neither"]
    sweeps = {name: tv.num_sweeps for name, phase in phases.items() if (tv := tv_of(phase))}
    rows = [
        [name, each[name], network, each[name] - each["no TV"], each["neither"], sweeps[name]]
        for name in phases
    ]
    note = (
        f"{context.network_name}, {NUM_FACETS} facets, {_STEPS} steps over the ramp of each phase. "
        "Network and TV: what the step loses without them; rest: crops, masks, normalizing, "
        "writing back, starting the loop."
    )
    columns = ["ms per facet-step", "whole step", "network", "TV", "rest", "sweeps at most"]
    return [Table("Where the time goes", columns, rows, [note])]


def without_network(network: Network) -> Network:
    """A network of the same layers whose activations are all the image's mean, for nothing."""
    shapes = {name: layer.shape for name, layer in network.layers.items()}

    def forward(params: Any, net_input: jax.Array) -> dict[str, jax.Array]:
        means = net_input.mean((1, 2, 3))
        return {
            name: jnp.broadcast_to(means.reshape(-1, *[1] * len(shape)), (len(means), *shape))
            for name, shape in shapes.items()
        }

    return dataclasses.replace(network, forward=forward)
