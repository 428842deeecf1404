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

    def __str__(self) -> str:
        return self.strerror or super().__str__()


FULL = (errno.ENOSPC, errno.EDQUOT)
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


def explain(error: OSError, parent: pathlib.Path, *, space: str = "") -> RunWriteError:
    """A failed write in words.

    Args:
      error: what the operating system said.
      parent: where the run folder was to go.
      space: `space_for` the run, taken before anything was written, if its size is known.
    """
    if error.errno in FULL:
        free = space or f"{_megabytes(shutil.disk_usage(parent).free)} are free"
        text = f"no space left in {parent}: {free}; free some or write elsewhere"
    elif error.errno in _READ_ONLY:
        text = f"{parent} cannot be written to ({error.strerror}); choose another place for the run"
    else:
        text = f"writing into {parent} failed: {error}"
    return RunWriteError(error.errno, text)


def space_for(needed: int, folder: pathlib.Path) -> str:
    """How much a run of so many bytes takes and how much there is, in words."""
    free = shutil.disk_usage(folder).free
    return f"the run takes {_megabytes(needed)}, and {_megabytes(free)} were free"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
