"""The making of units: facets, ascent, and each finished unit into its folder."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import jax

from mfvjax.ascent import Visualization
from mfvjax.atlas.ascend import Job, ascend_jobs, make_job
from mfvjax.atlas.choice import Choice
from mfvjax.atlas.find import find_facets, load_facets
from mfvjax.atlas.folder import AtlasFolder
from mfvjax.atlas.index import write_index
from mfvjax.atlas.settings import Settings
from mfvjax.atlas.writers import Writers
from mfvjax.judging import judged
from mfvjax.network import Network
from mfvjax.pipeline.assemble import assemble_run, nearest_images, read_pictures
from mfvjax.pipeline.placebo import find_placebo
from mfvjax.pipeline.provenance import Stopwatch
from mfvjax.pipeline.scoring import score
from mfvjax.report.embed import as_uint8
from mfvjax.run import Run

ProgressFn: TypeAlias = Callable[[str, int, int], None]

_INDEX_SECONDS = 60.0  # between two gallery pages while units are made
_MOST_WRITERS = 12


def make_units(
    settings: Settings,
    folder: AtlasFolder,
    units: Sequence[str],
    *,
    team: Sequence[str],
    devices: Sequence[jax.Device],
    failed: dict[str, str],
    writers: int | None = None,
    judge: Network | None = None,
    progress: ProgressFn | None = None,
) -> Iterator[Choice]:
    """Finds the facets of all units, then visualizes them; gives each unit once it is stored.

    Args:
      settings: of the atlas.
      folder: of the atlas; `units` are locked.
      units: to be made.
      team: units of all processes that read the pool together with this one.
      devices: of this process.
      failed: gets the units that have no facets, and why.
      writers: processes that write finished units; 0 for this one, by default as many as the
        devices keep busy.
      judge: judges each unit before it is stored.
      progress: called with (step, done, in all).
    """
    report = progress or (lambda step, done, total: None)
    numbers = find_facets(
        settings.network,
        settings.source,
        units,
        folder,
        choose=settings.choose,
        team=team,
        options=settings.grouping,
        max_unreadable=settings.max_unreadable,
        code=settings.code,
        code_layer=settings.code_layer,
        devices=devices,
        progress=progress,
        failed=failed,
    )
    choices = settings.choose([unit for unit in units if unit in numbers])
    total = sum(
        (number + settings.most_controls) * settings.num_steps(unit)
        for unit, number in numbers.items()
    )
    taken = 0

    def advance(steps: int) -> None:
        nonlocal taken
        taken += steps
        report("ascent", taken, total)

    advance(0)
    by_unit = {choice.unit: choice for choice in choices}
    shown = time.monotonic()
    ascended = ascend_jobs(
        settings.network,
        _jobs(settings, folder, choices),
        seed=settings.seed,
        facets_per_device=folder.plan.facets_per_device,
        devices=devices,
        progress=advance,
    )
    with Writers(folder, _num_writers(devices) if writers is None else writers) as writing:

        def written() -> Iterator[str]:
            for job, result, seconds in ascended:
                finish = functools.partial(
                    _finish, settings, by_unit[job.unit], job, result, seconds, judge
                )
                yield from writing.publish(job.unit, finish)
            yield from writing.rest()

        for done, unit in enumerate(written(), 1):
            report("units", done, len(choices))
            yield by_unit[unit]
            if time.monotonic() - shown > _INDEX_SECONDS:
                started = time.monotonic()
                write_index(folder)
                # At most a twentieth of the time goes into pages that will be replaced.
                shown = time.monotonic() + 20 * (time.monotonic() - started)


def _num_writers(devices: Sequence[jax.Device]) -> int:
    """None beside an ascent that needs the processor's cores itself."""
    cores = os.cpu_count() or 1
    return 0 if devices[0].platform == "cpu" else max(1, min(cores - 1, _MOST_WRITERS))


def _jobs(settings: Settings, folder: AtlasFolder, choices: Sequence[Choice]) -> Iterator[Job]:
    network, source = settings.network, settings.source
    for choice in choices:
        facets = load_facets(source, folder, choice.unit)
        recipe = settings.recipe_of(network.resolve(facets.unit))
        objective = recipe.objective
        is_held = objective.hold > 0 and facets.code == "relevance"  # by its nearest images
        needs_images = objective.needs_references or is_held
        placebo = None
        if objective.needs_references and settings.controls:
            placebo = find_placebo(network, facets, source, source, given=None)
        yield make_job(
            network,
            choice.unit,
            facets,
            recipe=recipe,
            references=nearest_images(network, source, facets) if needs_images else None,
            controls=settings.controls,
            placebo=placebo,
            seed=settings.seed,
            slots=settings.slots,
        )


def _finish(
    settings: Settings,
    choice: Choice,
    job: Job,
    result: Visualization,
    seconds: float,
    judge: Network | None,
) -> Run:
    """The run of one unit, judged, with the options that `mfvjax replay` needs."""
    watch = Stopwatch()
    with watch("reading images"):
        pictures = read_pictures(settings.network, settings.source, job.facets)
    with watch("scores"):
        scores = score(settings.network, job.facets, job.plan, result, pictures.nearest)
    images = settings.images_text
    discovery = {"positions": settings.positions, **settings.discovery}
    if choice.label is None:
        discovery["top_count"] = choice.count
    elif images is not None:
        images = f"class:{choice.label}@{images}"
    run = assemble_run(
        settings.network,
        job.facets,
        job.plan,
        pictures,
        result,
        scores,
        options={
            "network": settings.network_text,
            **settings.directions,
            "images": images,
            "unit": choice.unit,
            "num_facets": settings.num_facets,
            "discovery": discovery,
            "recipe": job.recipe.name,
            "step_fraction": settings.step_fraction,
            "hold": job.recipe.objective.hold,
            "controls": settings.controls,
            **({} if settings.max_pixels is None else {"max_pixels": settings.max_pixels}),
            "seed": settings.seed,
        },
        timings={"ascent": seconds, **watch.seconds},
    )
    if run.domain.is_8bit:
        run = _smaller(run)
    return run if judge is None else judged(run, judge)  # of what is stored, to the last bit


def _smaller(run: Run) -> Run:
    """The run with pictures of phases and controls in 8 bits.

    At full precision these would be more than half of what an atlas takes on disk.
    """
    phases = tuple(as_uint8(images) for images in run.shown.phase_images)
    controls = run.controls
    if controls is not None:
        controls = dataclasses.replace(controls, images=as_uint8(controls.images))
    shown = dataclasses.replace(run.shown, phase_images=phases)
    return dataclasses.replace(run, shown=shown, controls=controls)
