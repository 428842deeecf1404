"""Judging the units of an atlas that are finished."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

from mfvjax.atlas.folder import AtlasFolder
from mfvjax.atlas.index import write_index
from mfvjax.atlas.plan import read_plan
from mfvjax.judging import check_judge, is_judged, judge_folder, open_judge
from mfvjax.network import Network
from mfvjax.store import DamagedRunError, NotARunError


@dataclasses.dataclass(frozen=True)
class JudgedAtlas:
    """What a call of `judge_atlas` left.

    Attributes:
      index: the gallery page.
      judged: units that this call judged.
      before: units that the judge had judged before.
      missing: units of the atlas that are not finished.
      damaged: units that cannot be read, and why; building the atlas again makes them again.
    """

    index: pathlib.Path
    judged: tuple[str, ...]
    before: tuple[str, ...]
    missing: tuple[str, ...]
    damaged: dict[str, str]


def judge_atlas(
    path: str | os.PathLike[str],
    judge: Network | str | os.PathLike[str],
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> JudgedAtlas:
    """Judges every finished unit of an atlas that the judge has not judged, and writes the gallery.

    Called again it goes on where it was ended: each unit has its judgement whole or not at all.

    Args:
      path: of the atlas.
      judge: see `mfvjax.judge_run`.
      progress: called with (step, done, in all).

    Raises:
      AtlasError: there is no atlas.
      ValueError: the judge made the atlas itself, or takes images of another kind.
      RunWriteError: no space left, not permitted to write.
    """
    judge = open_judge(judge)
    plan = read_plan(pathlib.Path(path))
    with AtlasFolder(path, plan) as folder:
        missing = tuple(folder.unfinished())
        finished = [unit for unit in plan.units if unit not in missing]
        try:
            judged, damaged = judge_units(folder, finished, judge, progress=progress)
        finally:  # also when it was interrupted: what is judged can be sorted by it
            index = write_index(folder)
    before = [unit for unit in finished if unit not in judged and unit not in damaged]
    return JudgedAtlas(index, tuple(judged), tuple(before), missing, damaged)


def judge_units(
    folder: AtlasFolder,
    units: Sequence[str],
    judge: Network,
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[list[str], dict[str, str]]:
    """Judges finished units that the judge has not judged.

    Returns: these units, and those that are damaged, with the reason.

    Raises: as `judge_atlas`.
    """
    judged: list[str] = []
    damaged: dict[str, str] = {}
    network = folder.plan.network
    own = network.get("model_fingerprint", network["fingerprint"])
    check_judge(judge, None, own_fingerprint=own)
    for done, unit in enumerate(units):
        if progress is not None:
            progress("judging", done, len(units))
        path = folder.unit_path(unit)
        try:
            if not is_judged(path, judge):
                judge_folder(path, judge)
                judged.append(unit)
        except (DamagedRunError, NotARunError) as error:
            damaged[unit] = str(error)
    if progress is not None:
        progress("judging", len(units), len(units))
    return judged, damaged
