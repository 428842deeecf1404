"""The passes over the pool that an atlas has under way, found again by whoever needs them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import shutil
from collections.abc import Callable, Iterable, Sequence

from mfvjax.atlas.folder import PASSES, AtlasFolder
from mfvjax.report.files import write_whole
from mfvjax.store import is_finished
from mfvjax.store.errors import explain

BLOCK_IMAGES = 512
"""Images in one block of a new pass, all that a killed process has to read again: seconds on a CPU.
"""

_PASS_JSON = "pass.json"
_VERSION = 2
_FAILED = "failed-"


@dataclasses.dataclass(frozen=True)
class PassPlan:
    """A pass over the pool that was begun.

    Attributes:
      path: of its folder.
      units: that it is for.
      block_images: in one block.
    """

    path: pathlib.Path
    units: tuple[str, ...]
    block_images: int


def join_passes(
    folder: AtlasFolder,
    units: Sequence[str],
    team: Sequence[str],
    divide: Callable[[Sequence[str]], Iterable[Sequence[str]]],
) -> list[PassPlan]:
    """The passes that read the pool for `units`: those begun before, and new ones for the rest.

    A new pass is for all units of the team that have no facets yet, so that its processes, and
    those that come after an interruption, whatever is left then, find themselves in the same one.

    Args:
      folder: of the atlas.
      units: that this process needs.
      team: units of all processes that read the pool together.
      divide: units that are too many for one pass into passes.

    Raises:
      RunWriteError: the folder cannot be written to.
    """
    with folder.locks.index():
        remove_done_passes(folder)
        there = _passes(folder)
        covered = {unit for one in there for unit in one.units}
        lacking = set(units) - covered
        if lacking:
            wanted = [u for u in team if u in lacking or not (u in covered or _is_done(folder, u))]
            there.extend(_begin(folder, part) for part in divide(wanted))
    return [one for one in there if not set(units).isdisjoint(one.units)]


def mark_failed(folder: AtlasFolder, path: pathlib.Path, unit: str) -> None:
    """Notes that a pass has nothing more to do for a unit, which has no facets."""
    (path / f"{_FAILED}{folder.found_path(unit).name}").touch()


def remove_done_passes(folder: AtlasFolder) -> None:
    """Removes passes whose units all have their facets; to be called with the index locked."""
    there = {one.path: one.units for one in _passes(folder)}
    for path in (folder.path / PASSES).glob("*"):
        failed = {p.name.removeprefix(_FAILED) for p in path.glob(f"{_FAILED}*")}
        # Without a plan it was not begun properly, or by another version.
        if all(
            folder.found_path(unit).name in failed or _is_done(folder, unit)
            for unit in there.get(path, ())
        ):
            # First the plan: what is half removed is then no pass any more.
            (path / _PASS_JSON).unlink(missing_ok=True)
            shutil.rmtree(path, ignore_errors=True)


def _passes(folder: AtlasFolder) -> list[PassPlan]:
    plans = []
    for path in sorted((folder.path / PASSES).glob(f"*/{_PASS_JSON}")):
        with contextlib.suppress(ValueError):  # damaged: it will be removed, and begun again
            plans.append(_read_plan(path, set(folder.plan.units)))
    return plans


def _read_plan(path: pathlib.Path, known: set[str]) -> PassPlan:
    """Raises ``ValueError`` where the file is damaged, or of another version."""
    text = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(text, dict) or text.get("version") != _VERSION:
        raise ValueError(f"{path} is not of version {_VERSION}")
    units, size = text.get("units"), text.get("block_images")
    if not isinstance(units, list) or not all(isinstance(u, str) and u in known for u in units):
        raise ValueError(f"{path} has units that the atlas has not")
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f"{path} has blocks of {size!r} images")
    return PassPlan(path.parent, tuple(units), size)


def _is_done(folder: AtlasFolder, unit: str) -> bool:
    return folder.found_path(unit).exists() or is_finished(folder.unit_path(unit))


def _begin(folder: AtlasFolder, units: Sequence[str]) -> PassPlan:
    text = {"version": _VERSION, "block_images": BLOCK_IMAGES, "units": list(units)}
    name = hashlib.sha256(json.dumps(text).encode()).hexdigest()[:16]
    plan = PassPlan(folder.path / PASSES / name, tuple(units), BLOCK_IMAGES)
    try:
        plan.path.mkdir(parents=True, exist_ok=True)
        write_whole(plan.path / _PASS_JSON, json.dumps(text).encode())
    except OSError as error:
        raise explain(error, folder.path) from error
    return plan
