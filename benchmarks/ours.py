"""The library as a candidate: its compiled program, phase by phase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mfvjax.ascent.engine import DEFAULT_OPTIMIZER
from mfvjax.ascent.inputs import facet_keys
from mfvjax.ascent.loop import MAX_CHUNK, Loop, StepValues, init_state
from mfvjax.ascent.program import Program, ProgramSpec, program_for
from mfvjax.ascent.step import Reader, StepOptions
from mfvjax.network import Network
from mfvjax.objective import stack_objectives, unit_objective
from mfvjax.schedule import Phase


class Ours:
    """Ascends all canvases together on one device.

    Args:
      network: whose class units are ascended.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.device = jax.devices()[0]
        self.params = jax.device_put(network.params, self.device)

    def run_phase(
        self, canvases: np.ndarray, units: Sequence[int], phase: Phase, seed: int
    ) -> np.ndarray:
        """All steps of a phase for ``(b, h, w, 3)`` canvases."""
        program, readouts, keys = self.program(canvases.shape, units, phase, seed)
        facets = program.spec.sharding(by_facet=True)
        readouts, keys = jax.device_put((readouts, keys), facets)
        state = jax.device_put(init_state(DEFAULT_OPTIMIZER, jnp.asarray(canvases)), facets)
        for first in range(0, phase.num_steps, MAX_CHUNK):
            count = min(MAX_CHUNK, phase.num_steps - first)
            values = StepValues.of(phase, first, count)
            state, _ = program(state, self.params, readouts, keys, values, first, count)
        return np.asarray(state.canvases)

    def program(
        self, shape: tuple[int, ...], units: Sequence[int], phase: Phase, seed: int = 0
    ) -> tuple[Program, Any, Any]:
        """The compiled program for canvases of `shape`, its readouts and its keys."""
        options = StepOptions(
            self.network.input_size,
            target=phase.target,
            tv_rule=phase.tv_rule,
            tv_order=phase.tv_order,
            num_sweeps=phase.num_sweeps,
            tv_tolerance=phase.tv_tolerance,
        )
        reader = Reader(self.network.forward, self.network.preprocessing)
        spec = ProgramSpec(Loop(reader, DEFAULT_OPTIMIZER, options), (self.device,))
        objectives = [unit_objective(f"{self.network.logits_layer}:{unit}") for unit in units]
        readouts = stack_objectives(objectives, self.network.layers)
        keys = facet_keys(seed, len(units))

        def fresh() -> Any:
            return init_state(DEFAULT_OPTIMIZER, jnp.zeros(shape, jnp.float32))

        program = program_for(spec, jax.eval_shape(fresh), self.params, readouts, keys)
        return program, readouts, keys
