"""Where a step's time goes: the network alone, TV alone, and what is left of the whole step."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.candidates import NUM_FACETS, gradient_of, isotropic, our_tv, tv_cases, workload
from benchmarks.context import Context
from benchmarks.harness import interleaved, medians
from benchmarks.ours import Ours
from benchmarks.parts.network import our_pass
from benchmarks.report import Table
from benchmarks.sweeps import after_gradient
from mfvjax.priors.tv import denoise_tv
from mfvjax.schedule import Phase

_STEPS = 4


def run(context: Context) -> list[Table]:
    """The first two phases' first steps with ten facets, for both rules."""
    work = workload(context)
    exact = work.schedule
    paper = isotropic(exact, "ours", our_tv, tv_cases(context))
    moved = after_gradient(work.starts, gradient_of(context, work.units)(work.starts), 1.0)
    placed, ours = jnp.asarray(moved), Ours(context.network)
    runs: dict[str, Callable[[], Any]] = {"network": our_pass(context, work.starts)}
    names = []
    for rule, schedule in (("isotropic", paper), ("release's rule", exact)):
        for number in (0, 1):
            phase = dataclasses.replace(schedule.phases[number], num_steps=_STEPS)
            name = f"{rule}, phase {number + 1}"
            names.append((name, phase))
            runs[f"step {name}"] = functools.partial(
                ours.run_phase, work.starts, work.units, phase, 0
            )
            for i, fidelity in enumerate(phase.fidelity.values(_STEPS)):
                runs[f"tv {name} {i}"] = _tv(placed, phase, float(fidelity))
    seconds = medians(interleaved(runs, repeats=context.repeats))
    each = {name: 1e3 * value / NUM_FACETS for name, value in seconds.items()}
    rows = []
    for name, phase in names:
        step = each[f"step {name}"] / _STEPS
        tv = sum(each[f"tv {name} {i}"] for i in range(_STEPS)) / _STEPS
        rest = step - tv - each["network"]
        rows.append([name, step, each["network"], tv, rest, phase.num_sweeps])
    note = (
        f"{context.network_name}, {NUM_FACETS} facets, {_STEPS} steps over the ramp of each phase; "
        "network and TV are timed alone, the rest (crops, masks, writing back, starting the loop) "
        "is the difference, noise included."
    )
    columns = ["ms per facet-step", "whole step", "network", "TV", "rest", "sweeps at most"]
    return [Table("Where the time goes", columns, rows, [note])]


def _tv(images: jax.Array, phase: Phase, fidelity: float) -> Callable[[], Any]:
    options: dict[str, Any] = {
        "rule": phase.tv_rule,
        "order": phase.tv_order,
        "num_sweeps": phase.num_sweeps,
        "tolerance": phase.tv_tolerance,
    }
    return lambda: jax.block_until_ready(denoise_tv(images, fidelity=fidelity, **options))
