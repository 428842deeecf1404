"""Time and memory of one ascent step per facet as the batch grows.

    python -m benchmarks.facet_steps [--batches 1,2,5,10,20] [--steps 3] [--network squeezenet]

Each batch size takes the same steps of the first phase of the `mean-image` schedule, interleaved.
Memory is the compiled program's own account: arguments, results and temporaries.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.harness import interleaved, medians, write
from benchmarks.networks import NETWORKS
from mfvjax.ascent.engine import DEFAULT_OPTIMIZER
from mfvjax.ascent.inputs import facet_keys
from mfvjax.ascent.loop import Loop, StepValues, init_state
from mfvjax.ascent.program import Program, ProgramSpec
from mfvjax.ascent.step import StepOptions
from mfvjax.network import Network
from mfvjax.objective import stack_objectives, unit_objective
from mfvjax.presets import MEAN_IMAGE
from mfvjax.schedule import Phase


def step_runner(
    network: Network, batch: int, phase: Phase, num_steps: int
) -> tuple[Callable[[], None], int]:
    """A function that takes `num_steps` steps with `batch` facets, and its program's bytes."""
    options = StepOptions(
        network.input_size,
        tv_rule=phase.tv_rule,
        tv_order=phase.tv_order,
        num_sweeps=phase.num_sweeps,
        tv_tolerance=phase.tv_tolerance,
    )
    spec = ProgramSpec(Loop(network.read, DEFAULT_OPTIMIZER, options), (jax.devices()[0],))
    units = [unit_objective(f"{network.logits_layer}:{i}") for i in range(batch)]
    readouts = stack_objectives(units, network.layers)
    starts = np.random.default_rng(0).uniform(80, 180, (batch, *network.input_size, 3))
    keys = facet_keys(0, batch)
    params = jax.device_put(network.params, spec.sharding(by_facet=False))

    def fresh() -> object:
        return init_state(DEFAULT_OPTIMIZER, jnp.asarray(starts, jnp.float32))

    program = Program(spec, jax.eval_shape(fresh), params, readouts, keys)
    facets = spec.sharding(by_facet=True)
    readouts, keys = jax.device_put((readouts, keys), facets)
    values = StepValues.of(phase, 0, num_steps)

    def run() -> None:
        state = jax.device_put(fresh(), facets)
        jax.block_until_ready(program(state, params, readouts, keys, values, 0, num_steps))

    return run, program.memory_bytes


def measure(network: Network, batches: list[int], *, num_steps: int, repeats: int) -> list[dict]:
    """One row per batch size: seconds and bytes per facet-step."""
    phase = dataclasses.replace(MEAN_IMAGE.phases[0], num_steps=num_steps)
    made = {str(batch): step_runner(network, batch, phase, num_steps) for batch in batches}
    seconds = medians(interleaved({n: run for n, (run, _) in made.items()}, repeats=repeats))
    return [
        {
            "batch": int(name),
            "ms_per_facet_step": 1e3 * seconds[name] / (int(name) * num_steps),
            "program_mib": memory / 2**20,
        }
        for name, (_, memory) in made.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", default="1,2,5,10,20")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--network", choices=NETWORKS, default="caffenet")
    args = parser.parse_args()
    batches = [int(batch) for batch in args.batches.split(",")]
    network = NETWORKS[args.network]()
    rows = measure(network, batches, num_steps=args.steps, repeats=args.repeats)
    for row in rows:
        print(
            f"batch {row['batch']:4d}: {row['ms_per_facet_step']:8.2f} ms per facet-step, "
            f"{row['program_mib']:8.0f} MiB"
        )
    print("written to", write(f"facet_steps_{args.network}", {"rows": rows}))


if __name__ == "__main__":
    main()
