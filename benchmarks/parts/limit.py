"""How far a step is from the least it must cost on this device, and what that makes of a layer."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.candidates import gradient_of, workload
from benchmarks.context import Context
from benchmarks.floor import Rates, measure_rates, network_cost, tv_cost
from benchmarks.harness import interleaved, medians
from benchmarks.ours import Ours
from benchmarks.parts.growth import first_phase
from benchmarks.parts.network import our_pass
from benchmarks.report import Table
from benchmarks.sweeps import after_gradient
from benchmarks.workload import steps_of, tv_of
from mfvjax.priors.tv import denoise_tv

_STEPS = 4
_LAYER_FACETS = 1000 * 10  # fc8: every class unit, ten facets each


def run(context: Context) -> list[Table]:
    """The device's own rates; network, TV and steps by batch; the whole layer of class units."""
    rates = measure_rates(size=1024 if context.device == "cpu" or context.quick else 8192)
    measured = [_measure(context, batch) for batch in batches(context)]
    rows = [_row(context, rates, *found) for found in measured]
    return [_device(rates), _ratios(context, rows), _layer(context, measured)]


def batches(context: Context) -> tuple[int, ...]:
    """Facets that step together."""
    if context.device == "gpu":
        return (10, 100) if context.quick else (10, 100, 1000)
    return (10,)


def _measure(context: Context, batch: int) -> tuple[int, dict[str, float]]:
    """Seconds of a network pass, of a denoising, and of a whole step, for all facets."""
    work, phase = workload(context, batch), first_phase(context, num_steps=_STEPS)
    few = work.first(10)
    images = after_gradient(few.starts, gradient_of(context, few.units)(few.starts), 1.0)
    placed = jnp.asarray(np.resize(images, work.starts.shape))
    tv = steps_of(phase)[0].tv
    denoise = functools.partial(denoise_tv, placed, fidelity=tv.fidelity, num_sweeps=tv.num_sweeps)
    ours = Ours(context.network)
    runs: dict[str, Any] = {
        "network": our_pass(context, work.starts),
        "tv": lambda: jax.block_until_ready(denoise()),
        "steps": functools.partial(ours.run_phase, work.starts, work.units, phase, 0),
    }
    seconds = medians(interleaved(runs, repeats=context.repeats))
    seconds["step"] = seconds.pop("steps") / _STEPS
    return batch, seconds


def _row(context: Context, rates: Rates, batch: int, seconds: dict[str, float]) -> list[Any]:
    spec = context.network.forward.spec  # type: ignore[attr-defined]
    network = network_cost(spec, batch, last=context.network.logits_layer)
    values = batch * 3 * int(np.prod(context.network.input_size))
    sweeps = tv_of(first_phase(context)).num_sweeps
    least = {
        "network": network.seconds(rates, matrix=True),
        "pass": tv_cost(values, sweeps, fused=False).seconds(rates, matrix=False),
        "fused": tv_cost(values, sweeps, fused=True).seconds(rates, matrix=False),
    }
    each = 1e6 / batch
    return [
        batch,
        each * seconds["network"],
        each * least["network"],
        f"{seconds['network'] / least['network']:.2f}",
        each * seconds["tv"],
        each * least["pass"],
        each * least["fused"],
        f"{seconds['tv'] / least['pass']:.2f}",
        f"{seconds['tv'] / least['fused']:.2f}",
    ]


def _device(rates: Rates) -> Table:
    rows = [
        ["copying, read and written, GB/s", rates.bandwidth / 1e9],
        ["matrix products, float32 exact, GFLOP/s", rates.matrix / 1e9],
        ["elementwise chain, float32, GFLOP/s", rates.elementwise / 1e9],
    ]
    return Table("What the device does at best, measured", ["", "rate"], rows)


def _ratios(context: Context, rows: list[list[Any]]) -> Table:
    columns = [
        "facets",
        "network, µs per facet",
        "floor",
        "times floor",
        "TV, µs per facet",
        "floor, a pass per sweep",
        "floor, fused",
        "times pass",
        "times fused",
    ]
    sweeps = tv_of(first_phase(context)).num_sweeps
    note = (
        f"{context.network_name}; TV of the first phase, isotropic, {sweeps} sweeps. The floor is "
        "the larger of operations over rate and bytes over bandwidth, counted in "
        "`benchmarks/floor.py`."
    )
    return Table("Distance from the floor", columns, rows, [note])


def _layer(context: Context, measured: list[tuple[int, dict[str, float]]]) -> Table:
    recipe = workload(context).recipe
    rows = []
    for batch, seconds in measured:
        each = seconds["step"] / batch
        run_seconds = each * recipe.num_steps
        rows.append([batch, 1e6 * each, 1 / run_seconds, _LAYER_FACETS * run_seconds / 3600])
    columns = [
        "facets together",
        "µs per facet-step",
        "facets per second",
        "all class units x 10 facets, hours",
    ]
    note = (
        f"Projected from steps of the first phase to the {recipe.num_steps} steps of {recipe.name}."
    )
    return Table("The whole layer of class units", columns, rows, [note])
