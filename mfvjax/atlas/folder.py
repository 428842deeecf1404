"""The folder of an atlas: what is finished, what is missing, and nothing half done.

::

    atlas.json            the plan, written once
    atlas.lock            its bytes are locked by the processes at work; always empty
    units/conv5-0007/     a run folder as ``mfvjax run`` leaves it, with cover.jpg and facets.jpg
    found/conv5-0007.npz  facets of a unit that is not visualized yet; gone when it is
    passes/3fa9.../       what a pass over the pool has read so far; gone when its facets are found
    index.html            the gallery

There is no list of finished units, in a database or elsewhere: a unit is finished when its folder
is there, whole, by its own hashes. A list would be a second truth, and a process killed between two
writes would leave the two apart; besides, SQLite's write-ahead log does not work on the network
file systems that hosts share. One rename per unit is all the coordination there is, so that
processes and machines that never heard of each other can fill one atlas, and folders can be merged
by copying.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from mfvjax.atlas.cover import write_cover
from mfvjax.atlas.growth import has_only_grown
from mfvjax.atlas.locks import LOCK_FILE, AtlasBusyError, UnitLocks
from mfvjax.atlas.plan import PLAN_JSON, AtlasError, AtlasPlan, read_plan, write_plan
from mfvjax.pipeline.sources import written_down
from mfvjax.report import write_page
from mfvjax.run import Run
from mfvjax.store import (
    DamagedRunError,
    NotARunError,
    claims,
    is_finished,
    open_run_folder,
    verify_run,
    write_run,
)
from mfvjax.store.errors import explain
from mfvjax.store.names import others_files
from mfvjax.types import Unit

UNITS, FOUND, PASSES, INDEX = "units", "found", "passes", "index.html"
_PROBE = ".writable-"
_OURS = (PLAN_JSON, LOCK_FILE, INDEX, UNITS, FOUND, PASSES)


PoolCheck: TypeAlias = Callable[[Mapping[str, pathlib.Path]], str | None]


class AtlasFolder:
    """An atlas on disk, opened to be worked on; a context that ends with the process's locks.

    Args:
      path: of the folder; made if missing.
      plan: of the atlas; written if the folder has none, or one that nothing was made of. The units
        that the folder's has not are added to it, behind those that it has.
      check_pool: says of finished units, by the folders of each, why the pool may not have grown
        since; without it a pool of another size is another one.
      adopt_batches: take over the folder's own number of facets per device instead of comparing it.

    Raises:
      AtlasError: the folder holds something else, or an atlas of another plan; the message says
        what differs.
      RunWriteError: it cannot be written to.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        plan: AtlasPlan,
        *,
        adopt_batches: bool = False,
        check_pool: PoolCheck | None = None,
    ) -> None:
        self._check_pool = check_pool
        self.path = pathlib.Path(path)
        self.plan = plan
        refuse_foreign(self.path)
        try:
            (self.path / UNITS).mkdir(parents=True, exist_ok=True)
            probe = tempfile.mkdtemp(prefix=_PROBE, dir=self.path / UNITS)
            with contextlib.suppress(FileNotFoundError):  # taken for a dead process's
                os.rmdir(probe)
        except OSError as error:
            raise explain(error, self.path) from error
        self.locks = UnitLocks(self.path)
        try:
            with self.locks.index():
                self._agree(adopt_batches)
            self._names = self.plan.folders()
        except BaseException:
            self.locks.__exit__()
            raise

    def __enter__(self) -> AtlasFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.locks.__exit__()

    def _agree(self, adopt_batches: bool) -> None:
        """Writes the plan, or compares it with the one that is there; clears what was half done."""
        for name in (PLAN_JSON, INDEX):
            for path in self.path.glob(f".{name}.*"):
                path.unlink(missing_ok=True)
        if not (self.path / PLAN_JSON).exists():
            write_plan(self.plan, self.path)
            return
        there = _whole_paths(read_plan(self.path))
        if adopt_batches:
            self.plan = dataclasses.replace(self.plan, facets_per_device=there.facets_per_device)
        added = [unit for unit in self.plan.units if unit not in set(there.units)]
        grown = dataclasses.replace(self.plan, units=(*there.units, *added))
        differences = there.differences(dataclasses.replace(grown, units=there.units))
        if not differences:
            self.plan = grown
            if added:
                write_plan(grown, self.path)
        elif self._is_empty(there) or self._has_grown(there, grown, differences):
            if not self._is_empty(there):
                self.plan = grown
            shutil.rmtree(self.path / PASSES, ignore_errors=True)
            write_plan(self.plan, self.path)
        else:
            raise AtlasError(
                f"{self.path} holds another atlas; {'; '.join(differences)}. Use the same options, "
                "or another folder"
            )

    def _has_grown(self, there: AtlasPlan, now: AtlasPlan, differences: list[str]) -> bool:
        """Whether the pool has more images than before, and finished units do not mind.

        What waits to be visualized counts in the pool as it was: it is found again.
        """
        if self._check_pool is None or not has_only_grown(
            there, dataclasses.replace(now, units=there.units)
        ):
            return False
        names = there.folders()
        paths = {unit: self.path / UNITS / names[unit] for unit in there.units}
        reason = self._check_pool({u: path for u, path in paths.items() if is_finished(path)})
        if reason is not None:
            differences.append(reason)
            return False
        if not self._is_idle(there):
            return False
        shutil.rmtree(self.path / FOUND, ignore_errors=True)
        return True

    def _is_empty(self, there: AtlasPlan) -> bool:
        """Whether nothing was made of a plan, nor is being made: then it binds nobody."""
        units = any(path.name[0] != "." for path in (self.path / UNITS).iterdir())
        if units or any((self.path / FOUND).glob("*.npz")):
            return False
        return self._is_idle(there)

    def _is_idle(self, there: AtlasPlan) -> bool:
        """Whether nobody works on any unit."""
        places = range(len(there.units))
        try:
            self.locks.lock(there.units, places)
        except AtlasBusyError:
            return False
        finally:
            self.locks.unlock(places)
        return True

    def close(self) -> None:
        """Once no unit is missing: removes what only unfinished ones need."""
        for folder in (FOUND, PASSES):
            shutil.rmtree(self.path / folder, ignore_errors=True)

    def unit_path(self, unit: str) -> pathlib.Path:
        """The run folder of a unit."""
        return self.path / UNITS / self._names[unit]

    def found_path(self, unit: str) -> pathlib.Path:
        """The file of a unit's facets while they wait to be visualized."""
        return self.path / FOUND / f"{self._names[unit]}.npz"

    def lock(self, units: Sequence[str]) -> None:
        """Takes units for this process and clears what dead processes left of them.

        Raises:
          AtlasBusyError: another process works on one of them, or has replaced the plan.
        """
        places = {unit: place for place, unit in enumerate(self.plan.units)}
        self.locks.lock(units, [places[unit] for unit in units])
        there = _whole_paths(read_plan(self.path))
        if there.units[: len(self.plan.units)] != self.plan.units or there.differences(
            dataclasses.replace(self.plan, units=there.units)
        ):
            raise AtlasBusyError(
                f"another process has just begun another atlas in {self.path}; let it finish, or "
                "choose another folder"
            )
        try:
            (self.path / FOUND).mkdir(exist_ok=True)
        except OSError as error:
            raise explain(error, self.path) from error
        names = {self._names[unit] for unit in units}
        for path in (self.path / UNITS).glob(f".*.{claims.WRITING}-*"):
            if path.name[1:].rpartition(f".{claims.WRITING}-")[0] in names:
                _remove_dead(path)
        for path in (self.path / UNITS).glob(f"{_PROBE}*"):
            with contextlib.suppress(OSError):
                path.rmdir()
        for path in (self.path / FOUND).glob("*.partial"):
            if path.name.partition(".npz.")[0] in names:
                path.unlink(missing_ok=True)

    def check(self, units: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """The units that are not finished, and of those that are damaged, why.

        Every file of every finished unit is read and compared with its hash.

        Raises:
          AtlasError: the folder of a unit holds something that is not of this atlas, or one that is
            to be made again holds somebody's files.
        """
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
            states = list(pool.map(self.problem, units))
        missing = [unit for unit, state in zip(units, states, strict=True) if state is not None]
        for unit in missing:  # now, and not when it has been made
            others = others_files(self.unit_path(unit))
            if others:
                raise AtlasError(
                    f"{self.unit_path(unit)} is to be made again, but also holds {others[0]}, "
                    "which no run wrote; move it away"
                )
        return missing, {unit: state for unit, state in zip(units, states, strict=True) if state}

    def unfinished(self) -> list[str]:
        """Units of the whole atlas that are not finished, by the sizes of their files alone."""
        return [unit for unit in self.plan.units if not is_finished(self.unit_path(unit))]

    def problem(self, unit: str, path: pathlib.Path | None = None) -> str | None:
        """``None`` if the unit is finished, ``""`` if it is missing, else what is wrong with it.

        Args:
          unit: of this atlas.
          path: of its folder, if not in this one.

        Raises:
          AtlasError: the folder holds something that is not of this atlas.
        """
        path = self.unit_path(unit) if path is None else path
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            return ""
        try:
            head = verify_run(path)
        except DamagedRunError as error:
            return str(error)
        except NotARunError as error:
            raise AtlasError(f"{path} is in the way: {error}") from error
        of, wanted = Unit.parse(head["unit"]), Unit.parse(unit)
        fingerprint = head["network"]["fingerprint"]
        if (of.layer, of.index) != (wanted.layer, wanted.index):
            raise AtlasError(f"{path} holds a run of {of}, not of {unit}; move it away")
        if fingerprint != self.plan.network["fingerprint"]:
            raise AtlasError(f"{path} holds a run of another network; move it away")
        return None

    def publish(self, unit: str, run: Run) -> None:
        """Writes a finished unit, whole or not at all, in place of a damaged one if there is one.

        Raises:
          RunWriteError: no space left, say; the units that are finished stay as they are.
        """
        publish_unit(run, self.unit_path(unit), self.found_path(unit))


def publish_unit(run: Run, path: pathlib.Path, found: pathlib.Path) -> None:
    """Writes a unit's run folder with its page and cover; then its facets need not wait any more.

    Args:
      run: of the unit.
      path: of its folder.
      found: file of its facets.

    Raises: as `AtlasFolder.publish`.
    """
    with open_run_folder(path, overwrite=True) as temporary:
        write_run(run, temporary)
        write_page(run, temporary / "report.html")
        write_cover(run, temporary)
    found.unlink(missing_ok=True)


def refuse_foreign(path: pathlib.Path) -> None:
    """Raises ``AtlasError`` where the path has something that is no atlas, nor the start of one."""
    if path.exists() and not path.is_dir():
        raise AtlasError(f"{path} is a file; an atlas needs a folder of its own")
    if path.is_dir() and not (path / PLAN_JSON).exists():
        others = [p.name for p in path.iterdir() if p.name not in _OURS and p.name[0] != "."]
        if others:
            raise AtlasError(f"{path} is not empty and holds no atlas; it is left as it is")


def _whole_paths(plan: AtlasPlan) -> AtlasPlan:
    """The plan with whole paths, which atlases of version 0.1 do not have; see `written_down`."""
    network, images = (
        {k: written_down(v) if k in ("source", "directions") else v for k, v in part.items()}
        for part in (plan.network, plan.images)
    )
    return dataclasses.replace(plan, network=network, images=images)


def _remove_dead(path: pathlib.Path) -> None:
    claim = claims.claim_dead(path)
    if claim is not None:
        with claim:
            shutil.rmtree(path, ignore_errors=True)
