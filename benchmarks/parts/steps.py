"""One ascent step and the whole run of ten facets, side by side with both peers."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

from benchmarks.candidates import NUM_FACETS, Entry, entries
from benchmarks.context import Context
from benchmarks.harness import settle
from benchmarks.report import Table
from benchmarks.workload import run_recipe, tv_of

# Of the recipe's steps; its ramps keep their ends. Enough to see them, few enough to repeat.
FACTOR, QUICK_FACTOR = 0.05, 0.001
SEQUENTIAL_FACETS = 1


def run(context: Context) -> list[Table]:
    """The run, shortened in each phase, of all candidates in turn; projected to all its steps."""
    found = entries(context)
    seconds: dict[str, list[list[float]]] = {}
    whole: dict[str, float] = {}
    for repeat in range(-1, context.repeats):  # the first warms up and compiles
        for entry in found:
            if not isinstance(entry.candidate, str):
                phases = _phase_seconds(entry, context, seed=repeat + 1)
                if repeat >= 0:
                    seconds.setdefault(entry.name, []).append(phases)
    steps = {
        name: [statistics.median(phase) for phase in zip(*repeats, strict=True)]
        for name, repeats in seconds.items()
    }
    if context.full:
        whole = {e.name: _whole(e) for e in found if not isinstance(e.candidate, str)}
    return [_table(context, found, steps, whole)]


def _phase_seconds(entry: Entry, context: Context, *, seed: int) -> list[float]:
    """Seconds per step of ten facets, for each phase."""
    num_facets = SEQUENTIAL_FACETS if entry.name == "sequential" else NUM_FACETS
    factor = QUICK_FACTOR if context.quick else FACTOR
    short = entry.work.recipe.shortened(factor)
    work = dataclasses.replace(entry.work.first(num_facets), recipe=short)
    settle()
    _, seconds = run_recipe(entry.candidate, work, seed=seed)  # type: ignore[arg-type]
    return [
        NUM_FACETS / num_facets * taken / phase.num_steps
        for taken, phase in zip(seconds, short.phases, strict=True)
    ]


def _whole(entry: Entry) -> float:
    return sum(run_recipe(entry.candidate, entry.work)[1])  # type: ignore[arg-type]


def _table(
    context: Context, found: list[Entry], steps: dict[str, list[float]], whole: dict[str, float]
) -> Table:
    recipe = found[0].work.recipe
    phases = [f"step of phase {i + 1}, s" for i in range(len(recipe.phases))]
    columns = ["candidate", *phases, "TV sweeps", "whole run, s", "times sequential"]
    totals = {
        name: sum(
            seconds * phase.num_steps for seconds, phase in zip(taken, recipe.phases, strict=True)
        )
        for name, taken in steps.items()
    }
    totals |= whole
    base = totals.get("sequential")
    rows: list[list[Any]] = []
    for entry in found:
        tvs = [tv for phase in entry.work.recipe.phases if (tv := tv_of(phase))]
        counts, stop = [tv.num_sweeps for tv in tvs], tvs[0].tolerance
        sweeps = f"to {stop:g}, at most {counts[0]}" if stop else ", ".join(map(str, counts))
        if isinstance(entry.candidate, str):
            rows.append([entry.name, entry.candidate, *[None] * (len(columns) - 2)])
            continue
        total = totals[entry.name]
        ratio = f"{base / total:.2f}" if base else None
        rows.append([entry.name, *steps[entry.name], sweeps, total, ratio])
    ran = [phase.num_steps for phase in recipe.shortened(_factor(context)).phases]
    notes = [
        f"{context.network_name}, recipe {recipe.name}, {NUM_FACETS} facets of as many units.",
        f"Steps: median of {context.repeats} interleaved runs of {', '.join(map(str, ran))} steps "
        f"in the four phases, with the ramps' full range; the sequential way with "
        f"{SEQUENTIAL_FACETS} facet, scaled to {NUM_FACETS}.",
        "Whole runs are measured."
        if whole
        else "Whole runs are projected: seconds per step times the steps of each phase "
        f"({', '.join(str(phase.num_steps) for phase in recipe.phases)}).",
        "Isotropic: the fewest sweeps in each phase that reach scikit-image's TV energy or less on "
        "every image tried; release's rule: its arithmetic and its stop.",
    ]
    return Table("Ten facets, a step and the whole run", columns, rows, notes)


def _factor(context: Context) -> float:
    return QUICK_FACTOR if context.quick else FACTOR
