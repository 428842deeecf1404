"""An atlas: the facets of many units, made by any number of processes, with any interruptions."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import jax

from mfvjax.ascent.program import local_devices
from mfvjax.atlas.choice import Choice
from mfvjax.atlas.folder import INDEX, AtlasFolder, refuse_foreign
from mfvjax.atlas.index import write_index
from mfvjax.atlas.judge import judge_units
from mfvjax.atlas.make import ProgressFn, make_units
from mfvjax.atlas.pages import restore_pages
from mfvjax.atlas.settings import Settings
from mfvjax.atlas.share import Share
from mfvjax.images.unreadable import MAX_UNREADABLE, check_limit
from mfvjax.judging import check_judge, open_judge
from mfvjax.network import Network
from mfvjax.pipeline.checks import check_values
from mfvjax.pipeline.sources import (
    Imageish,
    directions_written_down,
    open_network,
    open_source,
    written_down,
)
from mfvjax.recipe import Recipe
from mfvjax.recipes import find_recipe
from mfvjax.types import Unit


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
    recipe: Recipe | str | None = None,
    step_fraction: float = 1.0,
    hold: float | None = None,
    controls: bool = False,
    seed: int = 0,
    precision: str = "float32",
    directions: str | os.PathLike[str] | None = None,
    top_fraction: float = 0.02,
    top_count: int | None = None,
    class_ids: Sequence[str] | None = None,
    max_unreadable: float = MAX_UNREADABLE,
    max_pixels: int | None = None,
    facets_per_device: int | None = None,
    share: Share | None = None,
    devices: Sequence[jax.Device] | None = None,
    writers: int | None = None,
    judge: Network | str | os.PathLike[str] | None = None,
    progress: ProgressFn | None = None,
    **discovery: Any,
) -> Atlas:
    """Makes the facets of many units, each a run folder of its own, and a gallery of all.

    Called again with the same arguments it makes what is missing, whatever ended the call before:
    a unit is in its folder whole or not at all. A unit comes out the same, bit for bit, however the
    work was interrupted and divided between processes with devices of one kind, and up to rounding
    on one device instead of several, or as `run_unit` makes it. A page or cover that was deleted or
    damaged is made again.

    With more units than before, these are added; those that were asked for before and are not now
    stay as they are. So may the pool have more images, as long as each finished unit is of its
    class, and of the same images.

    Main arguments:
      network: as `run_unit`.
      images: the pool. For a class unit its images of that class are taken, where its folders,
        labels or file names tell (see `mfvjax.images.classes`) and there are enough; for any other
        unit those that activate it most, cut to the receptive field.
      units: such as ``"fc8:945"`` and ``"conv4:12"``, in the order of the gallery.
      out: the atlas's folder.
      num_facets: of each unit, or "auto".

    Other arguments:
      recipe: as `run_unit`; so are `step_fraction`, `hold`, `seed`, `precision` and `directions`.
      controls: as `run_unit`, where they are made by default: for a few facets they are as much
        work again.
      top_fraction: share of the pool that is taken where it is not divided by class.
      top_count: a number of images instead.
      class_ids: identifiers of the classes, such as WordNet's, in the order of the units.
      max_unreadable: the largest share of the images that may be left out as unreadable. It is not
        part of what an atlas is.
      max_pixels: as `run_unit`.
      facets_per_device: in one batch of the ascent; by default, as many as keep a device busy and
        fit. Kept from the first call on, since the shape of a batch decides the last bits.
      share: the part of the units that this call makes; by default all.
      devices: by default all of this process.
      writers: processes that write finished units and their pages; by default none beside a CPU's
        ascent, which needs the cores itself, and up to twelve beside an accelerator's.
      judge: another network, which judges each unit, those too that were finished before without
        it; see `mfvjax.judge_run`. It is not part of what an atlas is: any call may have another.
      progress: called with (step, done, in all).
      **discovery: ``num_mean_images``, ``num_components``, ``perplexity``, ``start``,
        ``cluster_space``, ``max_facets``, ``method``, ``code``, ``code_layer`` and ``positions``,
        as `discover_facets`.

    Raises:
      AtlasBusyError: another process works on one of these units, in the same folder.
      AtlasError: `out` holds something else, or an atlas of other options of which something was
        made.
      ChangedImageError: an image changed in the middle of the work, or between two calls.
      RunWriteError: no space left, not permitted to write; finished units stay.
      TooManyUnreadableError: more than `max_unreadable` of the images are unreadable.
      ValueError: an option, a unit or the images do not fit.

    Warns:
      DamagedUnitWarning: a finished unit was damaged, and is made again.
      UnitFailedWarning: a unit has no facets; the others are made.
    """
    refuse_foreign(pathlib.Path(out))
    check_limit(max_unreadable)
    _check_numbers(facets_per_device=(facets_per_device, 1), writers=(writers, 0))
    check_values(
        {
            "num_facets": num_facets,
            "recipe": recipe,
            "step_fraction": step_fraction,
            "hold": hold,
            "controls": controls,
            "seed": seed,
            "top_fraction": top_fraction,
            "top_count": top_count,
            "max_pixels": max_pixels,
            # Positions and code are checked with the settings.
            **{k: v for k, v in discovery.items() if k not in ("positions", "code", "code_layer")},
        }
    )
    opened = open_network(network, precision=precision, directions=directions)
    settings = Settings(
        network=opened,
        source=open_source(images, network=opened, max_pixels=max_pixels),
        network_text=written_down(network),
        directions=directions_written_down(directions),
        max_unreadable=max_unreadable,
        max_pixels=max_pixels,
        images_text=written_down(images),
        units=tuple(_checked(opened, unit) for unit in units),
        num_facets=num_facets,
        recipe=find_recipe(recipe) if isinstance(recipe, str) else recipe,
        step_fraction=step_fraction,
        hold=hold,
        controls=controls,
        seed=seed,
        top_fraction=top_fraction,
        top_count=top_count,
        class_ids=None if class_ids is None else tuple(class_ids),
        code_layer=discovery.get("code_layer"),
        discovery=discovery,
    )
    judge = None if judge is None else open_judge(judge)
    if judge is not None:
        domain = opened.preprocessing.domain
        check_judge(judge, domain, own_fingerprint=opened.model_fingerprint)
    used = local_devices(devices)
    settings.check_recipes()
    settings.plan(1)  # refuses what can be refused before anything is compiled
    size = facets_per_device or settings.choose_facets_per_device(out, used)
    plan = settings.plan(size)
    with AtlasFolder(
        out, plan, adopt_batches=facets_per_device is None, check_pool=settings.check_pool
    ) as folder:
        mine = (share or Share()).of(settings.units)
        folder.lock(mine)
        missing, damaged = folder.check(mine)
        for reason in damaged.values():
            warnings.warn(f"{reason}; it is made again", DamagedUnitWarning, stacklevel=2)
        made: list[Choice] = []
        failed: dict[str, str] = {}
        try:
            if missing:
                team = share.team.of(settings.units) if share and share.team else missing
                made.extend(
                    make_units(
                        settings,
                        folder,
                        missing,
                        team=team,
                        devices=used,
                        failed=failed,
                        writers=writers,
                        judge=judge,
                        progress=progress,
                    )
                )
            unfinished = set(folder.unfinished())
            restore_pages(folder, [unit for unit in mine if unit not in unfinished])
            if judge is not None:
                judge_units(folder, [u for u in mine if u not in failed], judge, progress=progress)
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
        made=tuple(choice.unit for choice in made),
        failed=failed,
        damaged=damaged,
        by_class=sum(choice.indices is not None for choice in made),
        missing=tuple(left),
    )


def _check_numbers(**numbers: tuple[int | None, int]) -> None:
    """Refuses options below their least value."""
    for name, (value, least) in numbers.items():
        if value is not None and (isinstance(value, bool) or value < least):
            raise ValueError(f"{name}={value!r} must be a whole number from {least}")


def _checked(network: Network, unit: Unit | str) -> str:
    """The unit as text, with a position only if it was given with one."""
    network.resolve(unit)
    return str(Unit.parse(unit, network.layers) if isinstance(unit, str) else unit)
