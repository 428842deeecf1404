"""The entry point: facets in batches that fit, each run through the recipe."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import numpy as np
from jax.typing import ArrayLike

from mfvjax.ascent.batch_run import Batch, BatchRun
from mfvjax.ascent.groups import Arrangement
from mfvjax.ascent.inputs import (
    Target,
    checked_region,
    checked_starts,
    facet_keys,
    find_softmax_layers,
    resolve_targets,
)
from mfvjax.ascent.log import Progress, ProgressFn
from mfvjax.ascent.memory import fitting_batch_size
from mfvjax.ascent.program import local_devices
from mfvjax.ascent.relu import relu_is_known
from mfvjax.ascent.result import Visualization, warn_of_stopped
from mfvjax.device_memory import device_memory_bytes
from mfvjax.objective import Objective, Reading
from mfvjax.recipe import Recipe
from mfvjax.types import PixelBox

if TYPE_CHECKING:
    from mfvjax.network import Network


def visualize(
    network: Network,
    targets: Target | Sequence[Target],
    starts: ArrayLike,
    *,
    recipe: Recipe,
    key: jax.Array | int,
    region: PixelBox | None = None,
    groups: Sequence[int] | np.ndarray | None = None,
    batch_size: int | None = None,
    memory_limit_bytes: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    snapshot_every: int | None = None,
    progress: ProgressFn | None = None,
) -> Visualization:
    """Maximizes a batch of objectives as a recipe says: one image per start.

    Algorithm 1's last step, for all facets of one unit or of many units at once. Facet i draws its
    random numbers from its own key only, so that its image does not depend on what else is in the
    batch, up to the float error of batched convolutions; terms that look at facets together
    (`mfvjax.objective.Diversity`) are the exception that they are meant to be. A unit that reads
    exactly 0 because its ReLU is closed is climbed from before the ReLU (`mfvjax.ascent.relu`).

    Main arguments:
      network: what is visualized.
      targets: a unit (``"fc8:945"``), an `Objective`, or one of these per start image.
      starts: ``(b, height, width, channels)`` or one image, in the range of the network's domain
        (RGB in [0, 255]); of the network's input size (of the region's, if there is one) or larger.
      recipe: see `mfvjax.recipes`; adapted to the network's input size.
      key: a JAX key or an integer seed, of which facet i takes ``fold_in(key, i)``; or one key per
        facet, an array of b keys.

    Other arguments:
      region: box of the network's input inside which the image is made, the rest being the
        network's mean color: the receptive field of a convolutional unit, say.
      groups: one number per start image, equal for those that joint terms take together, such as
        the facets of one unit; default: all of them.
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
    canvases = checked_starts(starts, window_size, network.preprocessing.domain)
    objectives, labels = resolve_targets(network, targets, len(canvases))
    keys = facet_keys(key, len(canvases))
    rows = Arrangement.of(objectives, groups)
    run = BatchRun(
        network=network,
        recipe=recipe.for_input(window_size),
        region=region,
        devices=local_devices(devices),
        snapshot_every=snapshot_every,
        together=rows.together,
        softmax_layers=find_softmax_layers(network, objectives, recipe),
    )
    whole = Batch(
        canvases[rows.indices],
        [objectives[i] for i in rows.indices],
        keys[rows.indices],
        rows.groups,
        rows.indices,
    )
    size = _choose_batch_size(run, whole, batch_size, memory_limit_bytes)
    report = Progress(progress, len(canvases) * run.recipe.num_steps)
    parts = []
    for chosen, in_groups, count in rows.batches(size):
        fields = run(dataclasses.replace(_take(whole, chosen), groups=in_groups), report)
        names = tuple(labels[i] for i in rows.indices[chosen])
        made = Visualization(labels=names, recipe=run.recipe, **fields)
        parts.append(made.take(np.flatnonzero(rows.is_real[chosen[:count]])))
    result = Visualization.concatenate(parts)
    result = result.take(np.argsort(rows.indices[rows.is_real], kind="stable"))
    closed = functools.partial(_unknown_ends, run, objectives)
    warn_of_stopped(result, [objective.name for objective in objectives], closed)
    return result


def _unknown_ends(run: BatchRun, objectives: Sequence[Objective], index: int) -> list[str]:
    """Layers whose units a facet climbs, and whose ends are not known to be ReLUs."""
    readings = [term for term in objectives[index].terms if isinstance(term, Reading)]
    layers = list(dict.fromkeys(reading.layer for reading in readings))
    domain = run.network.preprocessing.domain
    images = jax.ShapeDtypeStruct((1, *run.frame.window_size, domain.channels), np.float32)
    read = functools.partial(run.frame.activations, run.network.params)
    return [name for name, known in relu_is_known(read, images, layers).items() if not known]


def facets_that_fit(
    network: Network,
    objective: Objective,
    *,
    recipe: Recipe,
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
      recipe: as `visualize`.
      wanted: facets per device.
      region: as `visualize`.
      devices: as `visualize`.
      memory_limit_bytes: per device; default: the device's own limit.

    Raises:
      MemoryError: not even one facet fits.
    """
    chosen = local_devices(devices)
    window_size = network.input_size if region is None else region.size
    run = BatchRun(network, recipe.for_input(window_size), region, chosen)
    count = wanted * len(chosen)
    channels = network.preprocessing.domain.channels
    starts = np.broadcast_to(np.float32(0), (count, *window_size, channels))
    numbers = np.zeros(count, int)
    batch = Batch(starts, [objective] * count, facet_keys(0, count), numbers, numbers)
    return _choose_batch_size(run, batch, None, memory_limit_bytes) // len(chosen)


def _take(batch: Batch, rows: np.ndarray) -> Batch:
    return Batch(
        batch.starts[rows],
        [batch.objectives[row] for row in rows],
        batch.keys[rows],
        batch.groups[rows],
        batch.indices[rows],
    )


def _choose_batch_size(
    run: BatchRun, whole: Batch, batch_size: int | None, memory_limit_bytes: int | None
) -> int:
    """The most facets, a multiple of the number of devices, whose largest program fits."""
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1")
    largest = max(run.stages(whole.starts), key=lambda stage: stage.room)

    def bytes_needed(count: int) -> int:
        rows = np.arange(count) % len(whole.starts)
        return run.program(largest, _take(whole, rows)).memory_bytes

    return fitting_batch_size(
        bytes_needed,
        wanted=min(batch_size or len(whole.starts), len(whole.starts)),
        multiple=len(run.devices) * run.together,
        limit=memory_limit_bytes or device_memory_bytes(run.devices),
    )
