"""One batch through all phases of a schedule, in chunks of compiled steps."""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from mfvjax.ascent.log import Log, Progress
from mfvjax.ascent.loop import Loop, StepValues, init_state, next_phase
from mfvjax.ascent.program import ProgramSpec, program_for
from mfvjax.ascent.step import Reader, StepOptions, place
from mfvjax.objective import Readouts, read_objectives
from mfvjax.priors.resample import spline_zoom
from mfvjax.schedule import Phase, Schedule
from mfvjax.types import Images, Keys, PixelBox

if TYPE_CHECKING:
    from mfvjax.network import Network

_NUM_TOP_CLASSES = 5


@dataclasses.dataclass(frozen=True)
class BatchRun:
    """Runs one batch after another; everything that they share.

    Attributes:
      network: what is visualized.
      schedule: for the network's input size, or the region's.
      region: see `mfvjax.ascent.visualize`.
      optimizer: likewise.
      devices: that share each batch.
      snapshot_every: likewise.
    """

    network: Network
    schedule: Schedule
    region: PixelBox | None
    optimizer: optax.GradientTransformation
    devices: tuple[jax.Device, ...]
    snapshot_every: int | None

    @property
    def reader(self) -> Reader:
        """The network as a compiled program knows it."""
        return Reader(self.network.forward, self.network.preprocessing)

    def spec(self, phase: Phase, room: tuple[int, int]) -> ProgramSpec:
        """The program of `phase`, for canvases up to `room`."""
        black = jnp.zeros((1, 1, 1, 3), jnp.float32)
        fill = np.asarray(self.network.preprocessing.to_images(black)).reshape(3)
        options = StepOptions(
            input_size=self.network.input_size,
            target=phase.target,
            tv_rule=phase.tv_rule,
            tv_order=phase.tv_order,
            num_sweeps=phase.num_sweeps,
            tv_tolerance=phase.tv_tolerance,
            region=self.region,
            fill=(float(fill[0]), float(fill[1]), float(fill[2])),
        )
        return ProgramSpec(Loop(self.reader, self.optimizer, options), self.devices, room)

    def __call__(
        self, starts: np.ndarray, readouts: Readouts, keys: Keys, report: Progress
    ) -> dict[str, Any]:
        """Runs all phases for one batch; its size divides by the number of devices.

        Returns: the fields of a `Visualization` but labels and schedule.
        """
        num_facets = len(starts)
        sizes = self.schedule.canvas_sizes((starts.shape[1], starts.shape[2]))
        room = max(sizes)  # no canvas shrinks, so that one program takes them all
        spec = self.spec(self.schedule.phases[0], room)
        facets = spec.sharding(by_facet=True)
        params = jax.device_put(self.network.params, spec.sharding(by_facet=False))
        readouts, keys = jax.device_put((readouts, keys), facets)
        state = init_state(self.optimizer, jnp.asarray(starts, jnp.float32))
        log = Log(num_facets, self.schedule.num_steps, self.snapshot_every)

        for number, (phase, size) in enumerate(zip(self.schedule.phases, sizes, strict=True)):
            if number:
                state = next_phase(self.optimizer, state, _zoomed(state.canvases, size))
            spec = self.spec(phase, room)
            state = jax.device_put(state, facets)
            program = program_for(spec, state, params, readouts, keys)
            for first, count in log.chunks(phase):
                started = time.perf_counter()
                values = StepValues.of(phase, first, count)
                state, trace = program(
                    state, params, readouts, keys, values, log.steps_taken, count
                )
                log.record(np.asarray(trace)[:count], state)
                log.timed(count, time.perf_counter() - started)
                report.advance(count * num_facets)
            log.phase_images.append(np.asarray(state.canvases))
        canvases = state.canvases
        return {**log.fields(), **self._final(params, canvases, readouts, spec.loop.options)}

    def _final(
        self, params: Any, canvases: Images, readouts: Readouts, options: StepOptions
    ) -> dict[str, np.ndarray]:
        """Reads the center crop of the final images."""
        height, width = options.window_size
        top = (canvases.shape[1] - height) // 2
        left = (canvases.shape[2] - width) // 2
        windows = canvases[:, top : top + height, left : left + width]
        values, scores = _read_final(
            self.reader,
            options,
            self.network.logits_layer if self.region is None else None,
            params,
            readouts,
            windows,
        )
        scores = np.asarray(scores, np.float32)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :_NUM_TOP_CLASSES].astype(np.int32)
        return {
            "final_activations": np.asarray(values, np.float32),
            "top_classes": order,
            "top_scores": np.take_along_axis(scores, order, axis=1),
        }


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _read_final(
    read: Any,
    options: StepOptions,
    logits_layer: str | None,
    params: Any,
    readouts: Any,
    windows: Any,
) -> tuple[jax.Array, jax.Array]:
    activations = read(params, place(windows, options))
    values = read_objectives(activations, readouts)
    if logits_layer is None:
        return values, jnp.zeros((windows.shape[0], 0), jnp.float32)
    return values, activations[logits_layer].reshape(windows.shape[0], -1)


def _zoomed(
    canvases: Float[jax.Array, "batch _ _ 3"], size: tuple[int, int]
) -> Float[jax.Array, "batch _ _ 3"]:
    return canvases if tuple(canvases.shape[1:3]) == size else spline_zoom(canvases, size)
