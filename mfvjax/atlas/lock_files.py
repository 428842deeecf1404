"""Lock files as a process has them: each open once, however many folders are opened on it.

The kernel drops all POSIX locks of a process on a file as soon as the process closes any descriptor
of that file. So it is opened once and shared, and closed with its last user; what one user in the
process holds, another one does not get, which the kernel would not prevent either.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading
from typing import IO

_REGISTRY = threading.Lock()
_OPEN: dict[tuple[int, int], LockFile] = {}


class LockFile:
    """A file of locks, shared by all who have it open in this process; see `open_lock_file`.

    Attributes:
      file: open for writing.
      index: held by who has the index, among the threads of this process.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.index = threading.RLock()
        self._users = 1
        self._owners: dict[int, object] = {}
        self._guard = threading.Lock()

    def take(self, place: int, owner: object) -> bool:
        """Whether `owner` now has the byte `place`, as far as this process goes."""
        with self._guard:
            return self._owners.setdefault(place, owner) is owner

    def give_back(self, place: int) -> None:
        """Nobody in this process has the byte any more."""
        with self._guard:
            self._owners.pop(place, None)

    def of(self, owner: object) -> list[int]:
        """The bytes that `owner` has."""
        with self._guard:
            return [place for place, one in self._owners.items() if one is owner]

    def close(self) -> None:
        """One user less; the last one closes the file."""
        with _REGISTRY:
            self._users -= 1
            if self._users == 0:
                for key in [key for key, one in _OPEN.items() if one is self]:
                    del _OPEN[key]
                self.file.close()


def open_lock_file(path: pathlib.Path) -> LockFile:
    """Opens a file of locks, or joins those who have it open in this process.

    Raises:
      OSError: it cannot be made or opened.
    """
    with _REGISTRY:
        with contextlib.suppress(FileNotFoundError):
            about = os.stat(path)
            known = _OPEN.get((about.st_dev, about.st_ino))
            if known is not None:
                known._users += 1
                return known
        file = open(path, "ab")  # noqa: SIM115  (kept open)
        about = os.fstat(file.fileno())
        _OPEN[about.st_dev, about.st_ino] = LockFile(file)
        return _OPEN[about.st_dev, about.st_ino]
