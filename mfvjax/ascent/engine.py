"""The entry point: facets in batches that fit, each run through the schedule."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from mfvjax.ascent.batch_run import BatchRun
from mfvjax.ascent.inputs import (
    Target,
    checked_region,
    checked_starts,
    facet_keys,
    resolve_targets,
)
from mfvjax.ascent.log import Progress, ProgressFn
from mfvjax.ascent.loop import init_state
from mfvjax.ascent.memory import device_memory_bytes, fitting_batch_size
from mfvjax.ascent.program import local_devices, program_for
from mfvjax.ascent.result import Visualization, warn_of_stopped
from mfvjax.ascent.step import normalize_by_mean_absolute
from mfvjax.objective import Objective, Readouts, stack_objectives
from mfvjax.schedule import Schedule
from mfvjax.types import Keys, PixelBox

if TYPE_CHECKING:
    from mfvjax.network import Network

# One object, so that runs with the default optimizer share their compiled programs.
DEFAULT_OPTIMIZER = normalize_by_mean_absolute()


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
    to the float error of batched convolutions. A term that reads exactly 0 because its ReLU is
    closed is climbed from before the ReLU (`mfvjax.ascent.relu`).

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
    run = BatchRun(
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
    warn_of_stopped(result, [objective.name for objective in objectives])
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
    run = BatchRun(
        network, schedule.for_input(window_size), region, DEFAULT_OPTIMIZER, chosen, None
    )
    count = wanted * len(chosen)
    starts = np.broadcast_to(np.float32(0), (count, *window_size, 3))
    readouts = stack_objectives([objective], network.layers)
    size = _choose_batch_size(run, starts, readouts, facet_keys(0, 1), None, memory_limit_bytes)
    return size // len(chosen)


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
    run: BatchRun,
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
