"""What a facet-step costs as more facets step together, and how many fit."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from benchmarks.candidates import isotropic, our_tv, tv_cases, workload
from benchmarks.context import Context
from benchmarks.harness import interleaved, medians
from benchmarks.ours import Ours
from benchmarks.report import Table
from benchmarks.workload import tv_of
from mfvjax.device_memory import device_memory_bytes
from mfvjax.recipe import Phase

_STEPS = 2
_MIB = 2**20


def run(context: Context) -> list[Table]:
    """Steps of the first phase with 1 to 50 facets (1000 on an accelerator)."""
    phase = first_phase(context)
    ours = Ours(context.network)
    runs, memory = {}, {}
    for batch in batches(context):
        work = workload(context, batch)
        runs[str(batch)] = functools.partial(ours.run_phase, work.starts, work.units, phase, 0)
        memory[batch] = ours.program(work.starts.shape, work.units, phase).memory_bytes / _MIB
    seconds = medians(interleaved(runs, repeats=context.repeats))
    rows = [[batch, 1e3 * seconds[str(batch)] / batch / _STEPS, memory[batch]] for batch in memory]
    note = (
        f"{context.network_name}, first phase, isotropic rule, {tv_of(phase).num_sweeps} sweeps. "
        "Memory: the compiled program's own account: arguments, results, temporaries."
    )
    return [
        Table(
            "Cost per facet-step as facets grow",
            ["facets", "ms per facet-step", "program, MiB"],
            rows,
            [note, _fits(ours, memory)],
        )
    ]


def batches(context: Context) -> tuple[int, ...]:
    """Sizes that are tried."""
    if context.device == "gpu":
        return (1, 10, 100) if context.quick else (1, 10, 100, 300, 1000)
    return (1, 10) if context.quick else (1, 2, 5, 10, 20, 50)


def first_phase(context: Context, *, num_steps: int = _STEPS) -> Phase:
    """The first phase of the isotropic run, with few steps."""
    recipe = isotropic(workload(context).recipe, "ours", our_tv, tv_cases(context))
    return dataclasses.replace(recipe.phases[0], num_steps=num_steps)


def _fits(ours: Ours, memory: dict[int, float]) -> str:
    """How many facets the free memory holds, by the growth between the two largest batches."""
    (small, less), (large, more) = list(memory.items())[-2:]
    each = (more - less) / (large - small)
    limit = device_memory_bytes([ours.device]) / _MIB
    count = int(np.floor((limit - more) / each)) + large
    return f"About {count:,} facets fit into the {limit:,.0f} MiB that are free ({each:.1f} each)."
