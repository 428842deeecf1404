"""One atlas from the folders of independent shards."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Callable, Sequence

from mfvjax.atlas.folder import AtlasFolder
from mfvjax.atlas.index import write_index
from mfvjax.atlas.plan import AtlasError, read_plan
from mfvjax.store import open_run_folder


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
        differences = plan.differences(read_plan(folder))
        if differences:
            raise AtlasError(
                f"{folders[0]} and {folder} are not of one atlas; {'; '.join(differences)}"
            )
    sources = [folder for folder in folders if folder.resolve() != pathlib.Path(out).resolve()]
    damaged: dict[str, str] = {}
    added: list[str] = []
    with AtlasFolder(out, plan) as target:
        target.lock(plan.units)
        missing, _ = target.check(plan.units)
        wanted = len(missing)
        for source in sources:
            for unit, path in _finished(source, target, missing, damaged):
                with open_run_folder(target.unit_path(unit), overwrite=True) as temporary:
                    shutil.copytree(path, temporary, dirs_exist_ok=True)
                missing.remove(unit)
                damaged.pop(unit, None)
                added.append(unit)
                if progress is not None:
                    progress("copying units", len(added), wanted)
        index = write_index(target)
        if not missing:
            target.close()
    return Merged(index, tuple(added), tuple(missing), damaged)


def _finished(
    source: pathlib.Path, target: AtlasFolder, missing: Sequence[str], damaged: dict[str, str]
) -> list[tuple[str, pathlib.Path]]:
    """Units that are missing and that a folder has whole."""
    found = []
    for unit in missing:
        path = source / target.unit_path(unit).relative_to(target.path)
        problem = target.problem(unit, path)
        if problem is None:
            found.append((unit, path))
        elif problem:
            damaged[unit] = problem
    return found
