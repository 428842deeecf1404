"""One atlas from the folders of independent shards."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

from mfvjax.atlas.folder import UNITS, AtlasFolder
from mfvjax.atlas.index import write_index
from mfvjax.atlas.pages import restore_pages, write_pages
from mfvjax.atlas.plan import AtlasError, read_plan
from mfvjax.store import (
    DamagedRunError,
    NotARunError,
    UnknownVersionError,
    load_run,
    open_run_folder,
    read_header,
)
from mfvjax.store.copy import copy_run, first_link
from mfvjax.store.header import RUN_JSON


@dataclasses.dataclass(frozen=True)
class Merged:
    """What a merge left.

    Attributes:
      index: the gallery.
      added: units that were copied.
      missing: units of the atlas that no folder had.
      damaged: units that a folder had, but damaged: where and why.
    """

    index: pathlib.Path
    added: tuple[str, ...]
    missing: tuple[str, ...]
    damaged: dict[str, str]


def merge_atlas(
    out: str | os.PathLike[str],
    parts: Sequence[str | os.PathLike[str]],
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> Merged:
    """Copies the finished units of several folders into one; the folders stay as they are.

    The atlas has the units of all of them. Only files that a run has recorded are copied, and no
    links are followed; pages and covers are made anew.

    Each unit is checked against its hashes and appears whole or not at all, so that a merge can be
    stopped and repeated. A unit that several folders have is taken from the first.

    Args:
      out: of the atlas; may be one of the folders, or hold a former merge of them.
      parts: folders that ``build_atlas`` filled with the same options, or some units less.
      progress: called with (step, done, in all).

    Raises:
      AtlasError: there are no folders, one is not an atlas, or they are of different plans.
      AtlasBusyError: another process works in `out`.
      RunWriteError: no space left, say.
    """
    folders = [pathlib.Path(part) for part in parts]
    if not folders:
        raise AtlasError("nothing to merge: name at least one folder")
    plan = read_plan(folders[0])
    for folder in folders[1:]:
        other = read_plan(folder)
        differences = plan.differences(dataclasses.replace(other, units=plan.units))
        if differences:
            raise AtlasError(
                f"{folders[0]} and {folder} are not of one atlas; {'; '.join(differences)}"
            )
        added_units = [unit for unit in other.units if unit not in set(plan.units)]
        plan = dataclasses.replace(plan, units=(*plan.units, *added_units))
    sources = [folder for folder in folders if folder.resolve() != pathlib.Path(out).resolve()]
    damaged: dict[str, str] = {}
    added: list[str] = []
    with AtlasFolder(out, plan) as target:
        target.lock(target.plan.units)
        missing, _ = target.check(target.plan.units)
        wanted = len(missing)
        for source in sources:
            for unit, path in _finished(source, target, missing, damaged):
                with open_run_folder(target.unit_path(unit), overwrite=True) as temporary:
                    copy_run(path, temporary)
                    write_pages(load_run(temporary), temporary)
                missing.remove(unit)
                damaged.pop(unit, None)
                added.append(unit)
                if progress is not None:
                    progress("copying units", len(added), wanted)
        restore_pages(target, [unit for unit in target.plan.units if unit not in missing])
        index = write_index(target)
        if not missing:
            target.close()
    return Merged(index, tuple(added), tuple(missing), damaged)


def _finished(
    source: pathlib.Path, target: AtlasFolder, missing: Sequence[str], damaged: dict[str, str]
) -> list[tuple[str, pathlib.Path]]:
    """Units that are missing and that a folder has whole."""
    found = []
    names = read_plan(source).folders()
    for unit in missing:
        if unit not in names:
            continue
        path = source / UNITS / names[unit]
        problem = _linked(path) or target.problem(unit, path)
        if problem is None:
            found.append((unit, path))
        elif problem:
            damaged[unit] = problem
    return found


def _linked(path: pathlib.Path) -> str:
    """What is wrong with a unit's folder that has links where a run has files; else nothing."""
    link = first_link(path, [RUN_JSON])
    if link is None and (path / RUN_JSON).exists():
        with contextlib.suppress(NotARunError, DamagedRunError, UnknownVersionError):
            link = first_link(path, read_header(path)["files"])
    return "" if link is None else f"{link} is a link, which no run has; it is not followed"
