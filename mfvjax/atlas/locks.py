"""Which units are being worked on: one byte of a lock file stands for one unit.

The kernel keeps such locks for as long as their process lives, and drops them however it ends.
Unlike lock files with a process number in them they never go stale, and unlike locks on the folders
of the units they exist before the folders do. Processes that share an atlas between them lock
different bytes; any two that would work on the same unit meet, however they divided the units.
Further bytes stand for the index and for the blocks in which processes read a pool between them.
Within one process `mfvjax.atlas.lock_files` keeps several users of one folder apart.
"""

from __future__ import annotations

import contextlib
import errno
import pathlib
import zlib
from collections.abc import Iterator, Sequence

from mfvjax.atlas.lock_files import open_lock_file
from mfvjax.store.errors import explain

try:
    import fcntl
except ImportError:  # Windows: a second process is not noticed
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = "atlas.lock"
_INDEX_BYTE = 2**40  # far behind those of the units
_BLOCK_BYTES = 2**41  # and those of the blocks of passes over the pool behind it
_HELD = (errno.EACCES, errno.EAGAIN)
_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of some file systems


class AtlasBusyError(RuntimeError):
    """Another process works on the same units."""


class UnitLocks:
    """One user of the lock file of an atlas; in a process there may be several.

    Args:
      folder: of the atlas.

    Raises:
      RunWriteError: the folder cannot be written to.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._closed = False
        try:
            self._shared = open_lock_file(folder / LOCK_FILE)
        except OSError as error:
            raise explain(error, folder) from error

    def __enter__(self) -> UnitLocks:
        return self

    def __exit__(self, *_: object) -> None:
        if self._closed:
            return
        self._closed = True
        for place in self._shared.of(self):
            self._unlock(place)
        self._shared.close()

    def _unlock(self, place: int) -> None:
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.lockf(self._shared.file, fcntl.LOCK_UN, 1, place)
        self._shared.give_back(place)

    def lock(self, units: Sequence[str], places: Sequence[int]) -> None:
        """Takes the units for this process until it ends or the file is closed.

        Args:
          units: for the message.
          places: of these units in the atlas.

        Raises:
          AtlasBusyError: another process has one of them, or another user in this one.
        """
        for unit, place in zip(units, places, strict=True):
            if not self._shared.take(place, self):
                raise AtlasBusyError(
                    f"this process is working on {unit} in {self._folder} already; let that end "
                    "first"
                )
            if fcntl is None:
                continue
            try:
                fcntl.lockf(self._shared.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except OSError as error:
                if error.errno not in _WITHOUT_LOCKS:
                    self._shared.give_back(place)
                if error.errno in _HELD:
                    raise AtlasBusyError(
                        f"another process is working on {unit} in {self._folder}; let it finish or "
                        "end it first. Processes can share an atlas: see --shard and --coordinator"
                    ) from None
                if error.errno not in _WITHOUT_LOCKS:
                    raise

    def unlock(self, places: Sequence[int]) -> None:
        """Gives units back before the end."""
        for place in places:
            self._unlock(place)

    @contextlib.contextmanager
    def block(self, of: str, number: int) -> Iterator[bool]:
        """Whether this process has a block of a pass to itself, as far as locks can tell.

        Args:
          of: name of the pass.
          number: of the block.
        """
        place = _BLOCK_BYTES + 2**20 * zlib.crc32(of.encode()) + number
        if not self._shared.take(place, self):
            yield False
            return
        try:
            if fcntl is not None:
                fcntl.lockf(self._shared.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError as error:
            self._shared.give_back(place)
            if error.errno not in (*_HELD, *_WITHOUT_LOCKS):
                raise
            yield error.errno in _WITHOUT_LOCKS
            return
        try:
            yield True
        finally:
            self._unlock(place)

    @contextlib.contextmanager
    def index(self) -> Iterator[None]:
        """Waits until nobody else has it; for what is quickly done, and not by two at once."""
        with self._shared.index:
            if fcntl is not None:
                with contextlib.suppress(OSError):
                    fcntl.lockf(self._shared.file, fcntl.LOCK_EX, 1, _INDEX_BYTE)
            try:
                yield
            finally:
                if fcntl is not None:
                    with contextlib.suppress(OSError):
                        fcntl.lockf(self._shared.file, fcntl.LOCK_UN, 1, _INDEX_BYTE)
