"""The entry point: runs a schedule for a batch of facets, in chunks of compiled steps."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Float

from mfvjax.ascent.inputs import (
    Target,
    checked_region,
    checked_starts,
    facet_keys,
    resolve_targets,
)
from mfvjax.ascent.log import Log, Progress, ProgressFn
from mfvjax.ascent.loop import Loop, StepValues, init_state, next_phase
from mfvjax.ascent.memory import device_memory_bytes, fitting_batch_size
from mfvjax.ascent.program import ProgramSpec, local_devices, program_for
from mfvjax.ascent.result import Visualization, warn_of_stopped
from mfvjax.ascent.step import Reader, StepOptions, normalize_by_mean_absolute, place
from mfvjax.objective import Objective, Readouts, read_objectives, stack_objectives
from mfvjax.priors.resample import spline_zoom
from mfvjax.schedule import Phase, Schedule
from mfvjax.types import Images, Keys, PixelBox

if TYPE_CHECKING:
    from mfvjax.network import Network

# One object, so that runs with the default optimizer share their compiled programs.
DEFAULT_OPTIMIZER = normalize_by_mean_absolute()
_NUM_TOP_CLASSES = 5


def visualize(
    network: Network,
    targets: Target | Sequence[Target],
    starts: ArrayLike,
    *,
    schedule: Schedule,
    key: jax.Array | int,
    region: PixelBox | None = None,
    optimizer: optax.GradientTransformation | None = None,
    batch_size: int | None = None,
    memory_limit_bytes: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    snapshot_every: int | None = None,
    progress: ProgressFn | None = None,
) -> Visualization:
    """Maximizes a batch of objectives by gradient ascent with TV and jitter: one image per start.

    Algorithm 1's last step, for all facets of one unit or of many units at once. Facet i draws its
    crops from its own key only, so that its image does not depend on what else is in the batch, up
    to the float error of batched convolutions.

    Main arguments:
      network: what is visualized.
      targets: a unit (``"fc8:945"``), an `Objective`, or one of these per start image.
      starts: ``(b, height, width, 3)`` or one image ``(height, width, 3)``, RGB in [0, 255]; of the
        network's input size (of the region's, if there is one) or larger.
      schedule: see `mfvjax.presets`; adapted to the network's input size.
      key: a JAX key or an integer seed, of which facet i takes ``fold_in(key, i)``; or one key per
        facet, an array of b keys.

    Other arguments:
      region: box of the network's input inside which the image is made, the rest being the
        network's mean color: the receptive field of a convolutional unit, say.
      optimizer: an optax transformation that turns a facet's gradient into a step of unit size,
        scaled by the schedule's step size. Default: `normalize_by_mean_absolute`. Its state starts
        anew with each phase and moves with the crops.
      batch_size: facets per compiled call; default: as many as fit.
      memory_limit_bytes: per device; default: the device's own limit.
      devices: facets are split over them; default: all of this process.
      snapshot_every: also keep the canvases after every so many steps.
      progress: called with (facet steps done, facet steps in all) about every second.

    Returns:
      A `Visualization`.

    Raises:
      ValueError: a unit, size, number of targets, keys or an option does not fit; the message
        names it.

    Warns:
      FacetStoppedWarning: a facet met NaN or a vanished gradient; it keeps its last image.

    References:
      Nguyen et al. 2016, Algorithm 1 and section S2.3; the release's ``act_max.tvd.*.py``.
    """
    if snapshot_every is not None and snapshot_every < 1:
        raise ValueError(f"snapshot_every={snapshot_every} must be at least 1, or None")
    if region is not None:
        region = checked_region(region, network.input_size)
    window_size = network.input_size if region is None else region.size
    canvases = checked_starts(starts, window_size)
    objectives, labels = resolve_targets(network, targets, len(canvases))
    run = _Run(
        network=network,
        schedule=schedule.for_input(window_size),
        region=region,
        optimizer=DEFAULT_OPTIMIZER if optimizer is None else optimizer,
        devices=local_devices(devices),
        snapshot_every=snapshot_every,
    )
    readouts = stack_objectives(objectives, network.layers)
    keys = facet_keys(key, len(canvases))

    size = _choose_batch_size(run, canvases, readouts, keys, batch_size, memory_limit_bytes)
    report = Progress(progress, len(canvases) * run.schedule.num_steps)
    parts = []
    for indices in _batches(len(canvases), size):
        take = functools.partial(_take, indices=indices)
        part = run(canvases[indices], jax.tree.map(take, readouts), take(keys), report)
        parts.append(_unpadded(part, labels, run.schedule, indices))
    result = Visualization.concatenate(parts)
    warn_of_stopped(result)
    return result


def facets_that_fit(
    network: Network,
    objective: Objective,
    *,
    schedule: Schedule,
    wanted: int,
    region: PixelBox | None = None,
    devices: Sequence[jax.Device] | None = None,
    memory_limit_bytes: int | None = None,
) -> int:
    """How many facets one device takes in a batch: at most `wanted`, as many as its memory holds.

    Asks the compiled program of the largest canvas, which `visualize` then uses.

    Args:
      network: as `visualize`.
      objective: one like those that will be maximized.
      schedule: as `visualize`.
      wanted: facets per device.
      region: as `visualize`.
      devices: as `visualize`.
      memory_limit_bytes: per device; default: the device's own limit.

    Raises:
      MemoryError: not even one facet fits.
    """
    chosen = local_devices(devices)
    window_size = network.input_size if region is None else region.size
    run = _Run(network, schedule.for_input(window_size), region, DEFAULT_OPTIMIZER, chosen, None)
    count = wanted * len(chosen)
    starts = np.broadcast_to(np.float32(0), (count, *window_size, 3))
    readouts = stack_objectives([objective], network.layers)
    size = _choose_batch_size(run, starts, readouts, facet_keys(0, 1), None, memory_limit_bytes)
    return size // len(chosen)


@dataclasses.dataclass(frozen=True)
class _Run:
    """Everything about a run that its batches share."""

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
        """Runs all phases for one batch; its size divides by the number of devices."""
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


def _take(leaf: jax.Array, *, indices: np.ndarray) -> jax.Array:
    return leaf[indices]


def _batches(count: int, size: int) -> Iterator[np.ndarray]:
    """Indices of each batch; the last one repeats its last facet up to `size`."""
    for first in range(0, count, size):
        yield np.minimum(np.arange(first, first + size), count - 1)


def _unpadded(
    fields: dict[str, Any], labels: tuple[str, ...], schedule: Schedule, indices: np.ndarray
) -> Visualization:
    """The result of one batch without the repeated facets that filled it up."""
    real = len(np.unique(indices))
    cut = jax.tree.map(lambda array: array[:real], fields)
    return Visualization(labels=tuple(labels[i] for i in indices[:real]), schedule=schedule, **cut)


def _choose_batch_size(
    run: _Run,
    canvases: np.ndarray,
    readouts: Readouts,
    keys: Keys,
    batch_size: int | None,
    memory_limit_bytes: int | None,
) -> int:
    """The most facets, a multiple of the number of devices, whose largest program fits."""
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1")
    sizes = run.schedule.canvas_sizes((canvases.shape[1], canvases.shape[2]))
    largest = max(range(len(sizes)), key=lambda i: sizes[i])
    spec = run.spec(run.schedule.phases[largest], sizes[largest])

    def bytes_needed(count: int) -> int:
        def shape(leaf: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((count, *leaf.shape[1:]), leaf.dtype)

        canvas = jax.ShapeDtypeStruct((count, *sizes[largest], 3), jnp.float32)
        state = jax.eval_shape(functools.partial(init_state, run.optimizer), canvas)
        params = jax.tree.map(jnp.asarray, run.network.params)
        program = program_for(spec, state, params, jax.tree.map(shape, readouts), shape(keys))
        return program.memory_bytes

    return fitting_batch_size(
        bytes_needed,
        wanted=min(batch_size or len(canvases), len(canvases)),
        multiple=len(run.devices),
        limit=memory_limit_bytes or device_memory_bytes(run.devices),
    )
