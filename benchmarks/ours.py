"""The library as a candidate: its compiled program, phase by phase."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from mfvjax.ascent.batch_run import Batch, BatchRun
from mfvjax.ascent.inputs import facet_keys
from mfvjax.ascent.loop import start_status
from mfvjax.ascent.plan import MAX_CHUNK
from mfvjax.ascent.program import Program, program_for
from mfvjax.network import Network
from mfvjax.objective import Objective, unit_objective
from mfvjax.recipe import Phase, Recipe


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
        self,
        canvases: np.ndarray,
        targets: Sequence[int | Objective],
        phase: Phase,
        seed: int,
    ) -> np.ndarray:
        """All steps of a phase for ``(b, h, w, 3)`` canvases of the phase's size."""
        run, batch = self._run(phase), self._batch(canvases, targets, seed)
        (stage,) = run.stages(batch.starts)
        split = run.spec(stage).sharding(by_facet=True)
        facets = jax.device_put(run.facets(stage, batch), split)
        starts = jax.device_put(np.asarray(canvases, np.float32), split)
        state = stage.start(starts, facets, *start_status(len(canvases)))
        state = jax.device_put(state, split)
        constants = stage.values.constants
        program = program_for(run.spec(stage), state, self.params, facets, constants)
        for first in range(0, phase.num_steps, MAX_CHUNK):
            count = min(MAX_CHUNK, phase.num_steps - first)
            rows = stage.values.chunk(first, count)
            state, _ = program(
                state, self.params, facets, rows, constants, first, count, stage.size
            )
        return np.asarray(stage.canvases(state, facets))

    def program(
        self, shape: tuple[int, ...], targets: Sequence[int | Objective], phase: Phase
    ) -> Program:
        """The compiled program for canvases of `shape`."""
        run = self._run(phase)
        batch = self._batch(np.broadcast_to(np.float32(0), shape), targets, 0)
        (stage,) = run.stages(batch.starts)
        return run.program(stage, batch)

    def _run(self, phase: Phase) -> BatchRun:
        recipe = Recipe("phase", (dataclasses.replace(phase, scale=1.0),))
        return BatchRun(self.network, recipe, None, (self.device,))

    def _batch(self, canvases: np.ndarray, targets: Sequence[int | Objective], seed: int) -> Batch:
        layer, count = self.network.logits_layer, len(targets)
        objectives = [
            unit_objective(f"{layer}:{target}") if isinstance(target, int) else target
            for target in targets
        ]
        keys = facet_keys(seed, count)
        return Batch(canvases, objectives, keys, np.zeros(count, int), np.arange(count))
