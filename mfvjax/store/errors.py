"""What can be wrong with a run folder."""

from __future__ import annotations

import errno
import pathlib
import shutil


class NotARunError(ValueError):
    """There is no finished run at this path."""


class DamagedRunError(ValueError):
    """A file of the run is missing, or is not what was written."""


class UnknownVersionError(ValueError):
    """The run was written in a version of the format that this package does not read."""


class RunExistsError(FileExistsError):
    """Something is at the path already, and stays."""


class RunWriteError(OSError):
    """The run could not be written; what was written of it is removed."""


FULL = (errno.ENOSPC, errno.EDQUOT)
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


def explain(error: OSError, parent: pathlib.Path, *, needed: int | None = None) -> RunWriteError:
    """A failed write in words; `parent` is where the run folder goes, `needed` the run's bytes."""
    if error.errno in FULL:
        need = "" if needed is None else f"the run takes {_megabytes(needed)}, and "
        text = f"no space left in {parent}: {need}{_free(parent)}; free some or write elsewhere"
    elif error.errno in _READ_ONLY:
        text = f"{parent} cannot be written to ({error.strerror}); choose another place for the run"
    else:
        text = f"writing into {parent} failed: {error}"
    return RunWriteError(error.errno, text)


def _free(parent: pathlib.Path) -> str:
    return f"{_megabytes(shutil.disk_usage(parent).free)} are free"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
