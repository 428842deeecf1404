"""Folders that appear whole at their path, or not at all, whenever the process is killed."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import shutil
from collections.abc import Iterator

from mfvjax.store import claims
from mfvjax.store.errors import FULL, RunExistsError, RunWriteError, explain
from mfvjax.store.files import sync, sync_tree
from mfvjax.store.header import RUN_JSON, is_run
from mfvjax.store.names import others_files
from mfvjax.store.read import is_finished

_NAMED = 3  # files of somebody else, in an error


@contextlib.contextmanager
def open_run_folder(
    folder: str | os.PathLike[str], *, overwrite: bool = False
) -> Iterator[pathlib.Path]:
    """A temporary folder that becomes the run folder when the block ends without an error.

    Put the run into it with `write_run`, and beside it whatever else belongs to it. At the end all
    of it is flushed to the disk and renamed to `folder` in one step. After an error nothing is left
    of it, and `folder` is as it was. What a killed process leaves, a hidden folder
    ``.NAME.writing-PID-...`` beside `folder`, is removed when the same folder is next opened.

    A run that is replaced is first renamed to ``.NAME.replaced-PID-...`` and removed last. Only a
    process killed between two renames leaves no run at `folder`: then both are whole beside it, and
    the former one is put back when `folder` is next opened.

    Args:
      folder: where the run will be; missing folders above it are made.
      overwrite: replace a run that is there already, with its page and figures. A folder that
        holds anything else is left as it is.

    Yields: the temporary folder, on the same file system.

    Raises:
      RunExistsError: `folder` is a file, or a folder that holds something other than a run, or a
        run and not `overwrite`, or a run beside files of somebody else; the message names them.
      RunWriteError: no space left, not permitted to write, a mount point.
      ValueError: the block put no run into the folder.
    """
    target = pathlib.Path(os.path.realpath(folder))
    with _explained(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        _restore(target)
        _check(target, overwrite)
        claims.remove_dead(target)
        claim = claims.claim_new(target, claims.WRITING)
    with claim, _explained(target.parent, only_full=True), _removed_after_error(claim.path):
        yield claim.path
        with _explained(target.parent):
            _finish(claim.path, target, overwrite)


def check_run_folder(folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Refuses a folder that `open_run_folder` would refuse for what is in it; nothing is made.

    Raises:
      RunExistsError, RunWriteError: as `open_run_folder`.
    """
    _check(pathlib.Path(os.path.realpath(folder)), overwrite)


@contextlib.contextmanager
def _explained(parent: pathlib.Path, *, only_full: bool = False) -> Iterator[None]:
    """Turns failures of the file system in `parent` into words."""
    try:
        yield
    except (RunWriteError, RunExistsError):
        raise
    except OSError as error:
        if only_full and error.errno not in FULL:
            raise  # the caller's own: an image that could not be read, say
        raise explain(error, parent) from error


@contextlib.contextmanager
def _removed_after_error(folder: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _restore(target: pathlib.Path) -> None:
    """Puts back the run that a killed process had renamed to replace it."""
    if target.exists():
        return
    for path in claims.siblings(target, claims.REPLACED):
        claim = claims.claim_dead(path)
        if claim is not None:
            with claim:
                if is_finished(path):
                    os.rename(path, target)
                    return


def _check(target: pathlib.Path, overwrite: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise RunExistsError(f"{target} is a file; a run needs a folder of its own")
    if os.path.ismount(target):
        raise RunWriteError(
            errno.EBUSY, f"{target} is a mount point, which cannot be renamed; use a folder in it"
        )
    if not any(target.iterdir()):
        return
    if not is_run(target):
        raise RunExistsError(f"{target} is not empty and holds no run; it is left as it is")
    if not overwrite:
        raise RunExistsError(
            f"{target} holds a finished run; replace it with --overwrite (overwrite=True), or "
            "choose another folder"
        )
    others = others_files(target)
    if others:
        named = ", ".join(others[:_NAMED]) + (", ..." if len(others) > _NAMED else "")
        raise RunExistsError(
            f"{target} also holds what no run wrote ({named}), which replacing the run would "
            "remove; move it away, or choose another folder"
        )


def _finish(new: pathlib.Path, target: pathlib.Path, overwrite: bool) -> None:
    if not (new / RUN_JSON).is_file():
        raise ValueError(f"nothing wrote a run into the folder opened for {target}")
    sync_tree(new)
    _check(target, overwrite)  # again: another process may have been faster
    if target.exists() and any(target.iterdir()):
        _replace(new, target)
    else:
        os.rename(new, target)
    sync(target.parent)


def _replace(new: pathlib.Path, target: pathlib.Path) -> None:
    old = claims.new_name(target, claims.REPLACED)
    with claims.claim_existing(target, old):
        os.rename(target, old)
        try:
            os.rename(new, target)
        except BaseException:
            os.rename(old, target)
            raise
        sync(target.parent)
        shutil.rmtree(old, ignore_errors=True)
