"""The main job: every facet of one unit, from images to a `Run`."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float, UInt8

from mfvjax.ascent import Visualization, visualize
from mfvjax.facets.discover import discover_facets
from mfvjax.facets.means import group_rows, pick
from mfvjax.facets.patches import load_patches
from mfvjax.facets.result import Facets
from mfvjax.images import ImageSource, load_images
from mfvjax.network import Network
from mfvjax.pipeline.provenance import Stopwatch, images_fingerprint, versions
from mfvjax.pipeline.scoring import score
from mfvjax.pipeline.sources import Imageish, open_network, open_source, written_down
from mfvjax.pipeline.targets import plan_ascent
from mfvjax.presets import preset
from mfvjax.run import FacetImages, FacetRecords, RealImages, Run
from mfvjax.schedule import Schedule
from mfvjax.types import Unit

ProgressFn: TypeAlias = Callable[[str, int, int], None]

DEFAULT_HOLD = 1.0
_THUMBNAIL_PX = 48


def run_unit(
    network: Network | str | os.PathLike[str],
    images: Imageish,
    *,
    unit: Unit | str,
    num_facets: int | Literal["auto"] = 10,
    schedule: Schedule | str = "mean-image",
    step_fraction: float = 1.0,
    hold: float = DEFAULT_HOLD,
    seed: int = 0,
    precision: str = "float32",
    progress: ProgressFn | None = None,
    **discovery: Any,
) -> Run:
    """Finds the facets of a unit among images and visualizes each of them.

    Algorithm 1 of the paper: codes, PCA, t-SNE, k-means, mean images, then activation maximization
    from each mean image, all facets in one compiled call per phase; then scores, with one more
    visualization started from noise as a control.

    Args:
      network: whose unit it is: a `Network`, or a file or name that `Network.load` takes.
      images: those that activate the unit, of a class, say: a folder, files, arrays,
        ``"tfds:NAME/SPLIT"`` (see `mfvjax.images.open_images`) or ``"facetworld:CLASS"``. With
        ``top_fraction`` or ``top_count`` a pool, of which those that activate the unit most are
        taken.
      unit: ``"fc8:945"``, ``"conv4:12"``.
      num_facets: k, or "auto".
      schedule: a `Schedule`, or the name of a preset.
      step_fraction: of the schedule's steps that are taken in each phase, in (0, 1].
      hold: weight of the term that holds each code near its facet; 0 for the paper's objective;
        see `mfvjax.pipeline.targets.plan_ascent`.
      seed: of everything random; the same seed gives the same run.
      precision: "float32" or "bfloat16".
      progress: called with (step, done, in all).
      **discovery: further options of `mfvjax.facets.discover.discover_facets`.

    Raises:
      ValueError: an option, the unit, or the images do not fit; the message says what would.
    """
    watch = Stopwatch()
    opened = open_network(network, precision=precision)
    source = open_source(images, network=opened)
    with watch("discovery"):
        facets = discover_facets(
            opened,
            source,
            unit=unit,
            num_facets=num_facets,
            seed=seed,
            progress=_step(progress, "reading codes"),
            **discovery,
        )
    run = run_facets(
        opened,
        source,
        facets,
        schedule=schedule,
        step_fraction=step_fraction,
        hold=hold,
        seed=seed,
        progress=progress,
    )
    options = {
        "network": written_down(network),
        "images": written_down(images),
        "unit": str(unit),
        "num_facets": num_facets,
        "discovery": discovery,
        **run.options,
    }
    return dataclasses.replace(run, options=options, timings={**watch.seconds, **run.timings})


def run_facets(
    network: Network,
    images: Imageish,
    facets: Facets,
    *,
    schedule: Schedule | str = "mean-image",
    step_fraction: float = 1.0,
    hold: float = DEFAULT_HOLD,
    seed: int = 0,
    progress: ProgressFn | None = None,
) -> Run:
    """Visualizes facets that were found before; `images` are those they were found among.

    Options as `run_unit`.
    """
    watch = Stopwatch()
    source = open_source(images, network=network)
    schedule = preset(schedule) if isinstance(schedule, str) else schedule
    plan = plan_ascent(network, facets, hold=hold, seed=seed)
    with watch("reading images"):
        nearest_images = _nearest_images(network, source, facets)
        real = _real_images(source, facets)
        images_sha256 = images_fingerprint(source, facets.indices.tolist())
    with watch("ascent"):
        result = visualize(
            network,
            plan.objectives,
            plan.starts,
            schedule=schedule if step_fraction == 1 else schedule.shortened(step_fraction),
            key=seed,
            region=plan.region,
            progress=_step(progress, "ascent"),
        )
    with watch("scores"):
        scores = score(network, facets, plan, result, nearest_images)
    return Run(
        unit=str(plan.unit),
        title=_title(network, plan.unit),
        network={
            "name": network.name,
            "fingerprint": network.fingerprint,
            "input_size": list(network.input_size),
            "code_layer": facets.code_layer,
        },
        options={
            "schedule": schedule.name,
            "step_fraction": step_fraction,
            "hold": hold,
            "seed": seed,
            "precision": network.compute_dtype,
            "images_sha256": images_sha256,
        },
        versions=versions(),
        timings=dict(watch.seconds),
        real=real,
        facets=FacetRecords(
            sizes=facets.sizes,
            homogeneity=facets.homogeneity,
            centroids=facets.centroids,
            nearest=facets.nearest,
            nearest_images=nearest_images,
            mean_images=facets.mean_images.astype(np.float32),
        ),
        shown=_shown(network, result, scores.per_facet["activation"]),
        scores=scores.per_facet,
        summary=scores.summary,
    )


def _step(progress: ProgressFn | None, step: str) -> Callable[[int, int], None] | None:
    return None if progress is None else functools.partial(progress, step)


def _title(network: Network, unit: Unit) -> str:
    """A class unit's class; else the unit itself."""
    is_class = network.layers[unit.layer].shape == network.layers[network.logits_layer].shape
    if is_class and network.class_names is not None:
        return network.class_name(unit.index)
    return str(unit)


def _nearest_images(
    network: Network, source: ImageSource, facets: Facets
) -> UInt8[np.ndarray, "k m h w 3"]:
    """The real images (a map's unit: their patches) nearest to each centroid."""
    rows, groups = group_rows(facets.nearest)
    positions = None if facets.positions is None else facets.positions[rows]
    patches, _ = load_patches(network, source, facets.unit, facets.indices[rows], positions)
    return pick(patches, groups)


def _real_images(source: ImageSource, facets: Facets) -> RealImages:
    thumbnails, _ = load_images(source, facets.indices, size=(_THUMBNAIL_PX, _THUMBNAIL_PX))
    return RealImages(
        names=facets.names,
        activations=facets.activations.astype(np.float32),
        map=facets.map,
        assignment=facets.assignment,
        thumbnails=thumbnails,
    )


def _shown(
    network: Network, result: Visualization, activations: Float[np.ndarray, " k"]
) -> FacetImages:
    """The result without its control; `activations` of the unit, without the holding term."""
    k = len(activations)
    names = tuple(
        tuple(network.class_name(int(index)) for index in row) for row in result.top_classes[:k]
    )
    return FacetImages(
        images=result.images[:k],
        phase_images=tuple(images[:k] for images in result.phase_images),
        phase_ends=result.phase_ends,
        activations=result.activations[:k],
        final_activations=activations.astype(np.float32),
        top_classes=result.top_classes[:k],
        top_class_names=names,
        top_scores=result.top_scores[:k],
        stopped_at=result.stopped_at[:k],
    )
