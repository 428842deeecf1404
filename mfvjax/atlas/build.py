"""An atlas: the facets of many units, made by any number of processes, with any interruptions."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

import jax

from mfvjax.ascent import Visualization
from mfvjax.ascent.program import local_devices
from mfvjax.atlas.ascend import Job, ascend_jobs, make_job
from mfvjax.atlas.choice import Choice, choose_images
from mfvjax.atlas.find import find_facets, load_facets
from mfvjax.atlas.folder import INDEX, AtlasFolder, refuse_foreign
from mfvjax.atlas.index import write_index
from mfvjax.atlas.settings import Settings
from mfvjax.atlas.share import Share
from mfvjax.network import Network
from mfvjax.pipeline import DEFAULT_HOLD
from mfvjax.pipeline.assemble import assemble_run, read_pictures
from mfvjax.pipeline.provenance import Stopwatch
from mfvjax.pipeline.scoring import score
from mfvjax.pipeline.sources import Imageish, open_network, open_source, written_down
from mfvjax.presets import default_schedule, preset
from mfvjax.run import Run
from mfvjax.schedule import Schedule
from mfvjax.types import Unit

ProgressFn: TypeAlias = Callable[[str, int, int], None]

_INDEX_SECONDS = 60.0  # between two gallery pages while units are made


class DamagedUnitWarning(UserWarning):
    """The folder of a finished unit is damaged; the unit is made again."""


class UnitFailedWarning(UserWarning):
    """No facets can be found for a unit, whose images all look the same to it, say."""


@dataclasses.dataclass(frozen=True)
class Atlas:
    """What a call of `build_atlas` left.

    Attributes:
      folder: of the atlas.
      index: its gallery page.
      units: of this process's share.
      made: those that this call made.
      failed: those whose images cannot be divided into facets, and why.
      damaged: units of the share that were there, but damaged, and what was wrong.
      by_class: of those made, how many found images of their class in the pool.
      missing: units of the whole atlas that are not finished.
    """

    folder: pathlib.Path
    index: pathlib.Path
    units: tuple[str, ...]
    made: tuple[str, ...]
    failed: dict[str, str]
    damaged: dict[str, str]
    by_class: int
    missing: tuple[str, ...]


def build_atlas(
    network: Network | str | os.PathLike[str],
    images: Imageish,
    *,
    units: Sequence[Unit | str],
    out: str | os.PathLike[str],
    num_facets: int | Literal["auto"] = 10,
    schedule: Schedule | str | None = None,
    step_fraction: float = 1.0,
    hold: float = DEFAULT_HOLD,
    seed: int = 0,
    precision: str = "float32",
    top_fraction: float = 0.02,
    top_count: int | None = None,
    class_ids: Sequence[str] | None = None,
    facets_per_device: int | None = None,
    share: Share | None = None,
    devices: Sequence[jax.Device] | None = None,
    progress: ProgressFn | None = None,
    **discovery: Any,
) -> Atlas:
    """Makes the facets of many units, each a run folder of its own, and a gallery of all.

    Called again with the same arguments it makes what is missing, whatever ended the call before:
    a unit is in its folder whole or not at all. A unit comes out the same, bit for bit, however
    the work was interrupted and divided between processes with devices of one kind, and up to
    rounding on one device instead of several, or as `run_unit` makes it.

    Main arguments:
      network: as `run_unit`.
      images: the pool. For a class unit its images of that class are taken, where its folders,
        labels or file names tell (see `mfvjax.images.classes`) and there are enough; for any other
        unit those that activate it most, cut to the receptive field.
      units: such as ``"fc8:945"`` and ``"conv4:12"``, in the order of the gallery.
      out: the atlas's folder.
      num_facets: of each unit, or "auto".

    Other arguments:
      schedule: as `run_unit`; so are `step_fraction`, `hold`, `seed` and `precision`.
      top_fraction: share of the pool that is taken where it is not divided by class.
      top_count: a number of images instead.
      class_ids: identifiers of the classes, such as WordNet's, in the order of the units.
      facets_per_device: in one batch of the ascent; by default, as many as keep a device busy and
        fit. Kept from the first call on, since the shape of a batch decides the last bits.
      share: the part of the units that this call makes; by default all.
      devices: of the ascent; by default all of this process.
      progress: called with (step, done, in all).
      **discovery: ``num_mean_images``, ``num_components``, ``perplexity``, ``start``,
        ``cluster_space``, ``max_facets``, ``method`` and ``code_layer``, as `discover_facets`.

    Raises:
      AtlasBusyError: another process works on one of these units, in the same folder.
      AtlasError: `out` holds something else, or an atlas made with other options.
      ChangedImageError: an image changed in the middle of the work.
      RunWriteError: no space left, not permitted to write; finished units stay.
      ValueError: an option, a unit or the images do not fit.

    Warns:
      DamagedUnitWarning: a finished unit was damaged, and is made again.
      UnitFailedWarning: a unit has no facets; the others are made.
    """
    refuse_foreign(pathlib.Path(out))
    opened = open_network(network, precision=precision)
    settings = Settings(
        network=opened,
        source=open_source(images, network=opened),
        network_text=written_down(network),
        images_text=written_down(images),
        units=tuple(_checked(opened, unit) for unit in units),
        num_facets=num_facets,
        schedule=preset(schedule) if isinstance(schedule, str) else schedule,
        step_fraction=step_fraction,
        hold=hold,
        seed=seed,
        top_fraction=top_fraction,
        top_count=top_count,
        class_ids=None if class_ids is None else tuple(class_ids),
        code_layer=discovery.get("code_layer"),
        discovery=discovery,
    )
    used = local_devices(devices)
    settings.plan(1)  # refuses what can be refused before anything is compiled
    size = facets_per_device or settings.choose_facets_per_device(out, used)
    plan = settings.plan(size)
    with AtlasFolder(out, plan, adopt_batches=facets_per_device is None) as folder:
        mine = (share or Share()).of(folder.plan.units)
        folder.lock(mine)
        missing, damaged = folder.check(mine)
        for reason in damaged.values():
            warnings.warn(f"{reason}; it is made again", DamagedUnitWarning, stacklevel=2)
        made: list[str] = []
        failed: dict[str, str] = {}
        choices = _choose(settings, missing)
        try:
            if missing:
                made.extend(_make(settings, folder, choices, used, progress, failed))
        finally:  # also when it was interrupted: what is finished can be looked at
            with contextlib.suppress(OSError):
                write_index(folder)
        for unit, reason in failed.items():
            warnings.warn(f"{unit} is left out: {reason}", UnitFailedWarning, stacklevel=2)
        left = folder.unfinished()
        if not left:
            folder.close()
    return Atlas(
        folder=folder.path,
        index=folder.path / INDEX,
        units=tuple(mine),
        made=tuple(made),
        failed=failed,
        damaged=damaged,
        by_class=sum(one.indices is not None for one in choices if one.unit in made),
        missing=tuple(left),
    )


def _checked(network: Network, unit: Unit | str) -> str:
    """The unit as text, with a position only if it was given with one."""
    network.resolve(unit)
    return str(Unit.parse(unit) if isinstance(unit, str) else unit)


def _choose(settings: Settings, units: Sequence[str]) -> list[Choice]:
    return choose_images(
        settings.network,
        settings.source,
        units,
        num_facets=settings.num_facets,
        num_mean_images=settings.grouping.num_mean_images,
        top_fraction=settings.top_fraction,
        top_count=settings.top_count,
        class_ids=settings.class_ids,
    )


def _make(
    settings: Settings,
    folder: AtlasFolder,
    choices: Sequence[Choice],
    devices: Sequence[jax.Device],
    progress: ProgressFn | None,
    failed: dict[str, str],
) -> Iterator[str]:
    """Finds the facets of all units, then visualizes them; gives each unit once it is stored."""
    report = progress or (lambda step, done, total: None)
    numbers = find_facets(
        settings.network,
        settings.source,
        choices,
        folder,
        options=settings.grouping,
        code_layer=settings.code_layer,
        progress=progress,
        failed=failed,
    )
    choices = [choice for choice in choices if choice.unit in numbers]
    total = sum((number + 1) * settings.num_steps(unit) for unit, number in numbers.items())
    taken = 0

    def advance(steps: int) -> None:
        nonlocal taken
        taken += steps
        report("ascent", taken, total)

    advance(0)
    by_unit = {choice.unit: choice for choice in choices}
    written = time.monotonic()
    for done, (job, result, seconds) in enumerate(
        ascend_jobs(
            settings.network,
            _jobs(settings, folder, choices),
            seed=settings.seed,
            facets_per_device=folder.plan.facets_per_device,
            devices=devices,
            progress=advance,
        ),
        1,
    ):
        folder.publish(job.unit, _finish(settings, by_unit[job.unit], job, result, seconds))
        report("units", done, len(choices))
        yield job.unit
        if time.monotonic() - written > _INDEX_SECONDS:
            started = time.monotonic()
            write_index(folder)
            # At most a twentieth of the time goes into pages that will be replaced.
            written = time.monotonic() + 20 * (time.monotonic() - started)


def _jobs(settings: Settings, folder: AtlasFolder, choices: Sequence[Choice]) -> Iterator[Job]:
    for choice in choices:
        facets = load_facets(settings.source, folder, choice.unit)
        yield make_job(
            settings.network,
            choice.unit,
            facets,
            schedule_for=settings.schedule_for,
            hold=settings.hold,
            seed=settings.seed,
            slots=settings.slots,
        )


def _finish(
    settings: Settings, choice: Choice, job: Job, result: Visualization, seconds: float
) -> Run:
    """The run of one unit, with the options that `mfvjax replay` needs."""
    watch = Stopwatch()
    with watch("reading images"):
        pictures = read_pictures(settings.network, settings.source, job.facets)
    with watch("scores"):
        scores = score(settings.network, job.facets, job.plan, result, pictures.nearest)
    images, discovery = settings.images_text, dict(settings.discovery)
    if choice.label is None:
        discovery["top_count"] = choice.count
    elif images is not None:
        images = f"class:{choice.label}@{images}"
    return assemble_run(
        settings.network,
        job.facets,
        job.plan,
        pictures,
        result,
        scores,
        options={
            "network": settings.network_text,
            "images": images,
            "unit": choice.unit,
            "num_facets": settings.num_facets,
            "discovery": discovery,
            "schedule": (settings.schedule or default_schedule(job.plan.starts.shape[1:3])).name,
            "step_fraction": settings.step_fraction,
            "hold": settings.hold,
            "seed": settings.seed,
        },
        timings={"ascent": seconds, **watch.seconds},
    )
