"""One batch through all phases of a recipe, in chunks of compiled steps."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfvjax.ascent.log import Log, Progress
from mfvjax.ascent.loop import State, start_status
from mfvjax.ascent.program import Program, ProgramSpec, program_for
from mfvjax.ascent.scene import Frame, Reader, from_levels, to_levels
from mfvjax.ascent.stages import Stage, stages_of
from mfvjax.ascent.step import Facets
from mfvjax.ascent.worth import Views, total_worth
from mfvjax.objective import Objective, Objectives, stack_objectives
from mfvjax.recipe import Recipe
from mfvjax.types import Keys, Params, PixelBox

if TYPE_CHECKING:
    from mfvjax.network import Network

_NUM_TOP_CLASSES = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """Facets that run together.

    Attributes:
      starts: ``(facets, h, w, c)``, in the domain's range.
      objectives: one each.
      keys: one each.
      groups: of facets that joint terms take together.
      indices: ``(facets,)``, of the facets in the whole run.
    """

    starts: np.ndarray
    objectives: Sequence[Objective]
    keys: Keys
    groups: np.ndarray
    indices: np.ndarray


@dataclasses.dataclass(frozen=True)
class BatchRun:
    """Runs one batch after another; everything that they share.

    Attributes:
      network: what is visualized.
      recipe: for the network's input size, or the region's.
      region: see `mfvjax.ascent.visualize`.
      devices: that share each batch.
      snapshot_every: see `mfvjax.ascent.visualize`.
      together: facets that must not be cut apart, counted from a batch's first.
      softmax_layers: layers that hold probabilities.
    """

    network: Network
    recipe: Recipe
    region: PixelBox | None
    devices: tuple[jax.Device, ...]
    snapshot_every: int | None = None
    together: int = 1
    softmax_layers: tuple[str, ...] = ()

    @functools.cached_property
    def frame(self) -> Frame:
        """The network as a compiled program knows it."""
        return Frame.of(Reader(self.network.forward, self.network.preprocessing), self.region)

    def stages(self, starts: np.ndarray | jax.ShapeDtypeStruct) -> list[Stage]:
        """The phases, for start images of this size."""
        return stages_of(self.frame, self.recipe, (starts.shape[1], starts.shape[2]))

    def spec(self, stage: Stage) -> ProgramSpec:
        """The program of a phase."""
        return ProgramSpec(stage.step, self.devices, self.together)

    def facets(self, stage: Stage, batch: Batch) -> Facets:
        """What belongs to each facet in a phase."""
        layers = dict(self.network.layers)
        objectives = stage.objectives(batch.objectives, layers, self.softmax_layers)
        groups = jnp.asarray(batch.groups, jnp.int32)
        return Facets(objectives, batch.keys, groups, stage.own(batch.indices))

    def program(self, stage: Stage, batch: Batch) -> Program:
        """The compiled program of a phase; computes nothing."""
        facets = self.facets(stage, batch)
        channels = self.network.preprocessing.domain.channels
        canvas = jax.ShapeDtypeStruct((len(batch.starts), *stage.size, channels), jnp.float32)
        state = jax.eval_shape(stage.start, canvas, facets, *start_status(len(batch.starts)))
        params = jax.tree.map(jnp.asarray, self.network.params)
        return program_for(self.spec(stage), state, params, facets, stage.values.constants)

    def __call__(self, batch: Batch, report: Progress) -> dict[str, Any]:
        """Runs all phases for one batch; its size divides by the number of devices.

        Returns: the fields of a `Visualization` but labels and recipe.
        """
        count = len(batch.starts)
        stages = self.stages(batch.starts)
        split = self.spec(stages[0]).sharding(by_facet=True)
        copied = self.spec(stages[0]).sharding(by_facet=False)
        params = jax.device_put(self.network.params, copied)
        preprocessing = self.network.preprocessing
        canvases = to_levels(jnp.asarray(batch.starts, jnp.float32), preprocessing)
        status, stopped_at = start_status(count)
        log = Log(count, self.recipe.num_steps, self.snapshot_every)
        for stage in stages:
            facets = jax.device_put(self.facets(stage, batch), split)
            state = stage.start(jax.device_put(canvases, split), facets, status, stopped_at)
            state = jax.device_put(state, split)
            pictures = functools.partial(self._pictures, stage, facets)
            constants = stage.values.constants
            program = program_for(self.spec(stage), state, params, facets, constants)
            for first, steps in log.chunks(stage.phase):
                started = time.perf_counter()
                rows = stage.values.chunk(first, steps)
                state, trace = program(
                    state, params, facets, rows, constants, log.steps_taken, steps, stage.size
                )
                log.record(np.asarray(trace)[:steps], state, pictures)
                log.timed(steps, time.perf_counter() - started)
                report.advance(steps * count)
            canvases, status, stopped_at = (
                stage.canvases(state, facets),
                state.status,
                state.stopped_at,
            )
            log.phase_images.append(np.asarray(from_levels(canvases, preprocessing)))
        return {**log.fields(), **self._final(params, canvases, batch)}

    def _pictures(self, stage: Stage, facets: Facets, state: State) -> np.ndarray:
        canvases = stage.canvases(state, facets)
        return np.asarray(from_levels(canvases, self.network.preprocessing))

    def _final(
        self, params: Params, canvases: Float[Array, "facets h w c"], batch: Batch
    ) -> dict[str, np.ndarray]:
        """Reads the center crop of the final images."""
        height, width = self.frame.window_size
        top = (canvases.shape[1] - height) // 2
        left = (canvases.shape[2] - width) // 2
        values, scores = _read_final(
            self.frame,
            (self.network.logits_layer or None) if self.region is None else None,
            params,
            stack_objectives(batch.objectives, dict(self.network.layers)),
            jnp.asarray(batch.groups, jnp.int32),
            canvases[:, top : top + height, left : left + width],
        )
        scores = np.asarray(scores, np.float32)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :_NUM_TOP_CLASSES].astype(np.int32)
        return {
            "final_activations": np.asarray(values, np.float32),
            "top_classes": order,
            "top_scores": np.take_along_axis(scores, order, axis=1),
        }


@functools.partial(jax.jit, static_argnums=(0, 1))
def _read_final(
    frame: Frame,
    logits_layer: str | None,
    params: Params,
    objectives: Objectives,
    groups: Array,
    windows: Array,
) -> tuple[Array, Array]:
    found: Mapping[str, Array] = frame.activations(params, windows)
    wanted = sorted({name for term in objectives for name in term.reads})
    activations = {name: found[name].astype(jnp.float32)[:, None] for name in wanted}
    views = Views(activations, {}, windows[:, None], windows)
    values = total_worth(objectives, views, groups, jnp.asarray(frame.zero, jnp.float32))
    if logits_layer is None:
        return values, jnp.zeros((len(windows), 0), jnp.float32)
    return values, found[logits_layer].reshape(len(windows), -1)
