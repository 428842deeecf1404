"""Temporary folders beside a run: each belongs to the process that holds its lock.

The kernel drops a lock when its process ends, however it ends, so a temporary folder that can be
locked was left behind by a dead process. Where folders cannot be locked (Windows, some network file
systems) nothing is known of the owner, and nothing is ever cleaned.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
import shutil
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

WRITING = "writing"  # a run that is not yet whole
REPLACED = "replaced"  # the run that was at the path until a moment ago


class Claim:
    """A temporary folder of this process; usable as a context that ends the claim."""

    def __init__(self, path: pathlib.Path, descriptor: int | None):
        self.path = path
        self._descriptor = descriptor

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


def siblings(folder: pathlib.Path, kind: str) -> list[pathlib.Path]:
    """Temporary folders of this kind beside `folder`, whoever owns them."""
    prefix = _prefix(folder, kind)
    if not folder.parent.is_dir():
        return []
    return sorted(p for p in folder.parent.iterdir() if p.name.startswith(prefix))


def claim_new(folder: pathlib.Path, kind: str) -> Claim:
    """Makes a temporary folder beside `folder`, named for it and for this process."""
    while True:
        path = new_name(folder, kind)
        path.mkdir()
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            claim = Claim(path, _lock(path))
            if path.exists():
                return claim
            claim.__exit__()
        # Before it was locked, another process took it for a dead one's.


def claim_existing(folder: pathlib.Path, path: pathlib.Path) -> Claim:
    """Claims `folder` itself, for when it will have been renamed to `path`."""
    with contextlib.suppress(BlockingIOError):
        return Claim(path, _lock(folder))
    return Claim(path, None)


@contextlib.contextmanager
def held(folder: pathlib.Path) -> Iterator[None]:
    """Waits for the lock of `folder` itself and holds it; does nothing where there are no locks."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # of a file system that knows no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def new_name(folder: pathlib.Path, kind: str) -> pathlib.Path:
    """A path beside `folder` that nothing has."""
    return folder.parent / f"{_prefix(folder, kind)}{os.getpid()}-{secrets.token_hex(4)}"


def claim_dead(path: pathlib.Path) -> Claim | None:
    """Takes over a temporary folder if its owner is known to be gone."""
    try:
        descriptor = _lock(path)
    except (BlockingIOError, FileNotFoundError, PermissionError):
        return None
    return None if descriptor is None else Claim(path, descriptor)


def remove_dead(folder: pathlib.Path) -> None:
    """Removes the temporary folders that dead processes left beside `folder`."""
    for path in siblings(folder, WRITING) + siblings(folder, REPLACED):
        claim = claim_dead(path)
        if claim is not None:
            with claim:
                shutil.rmtree(path, ignore_errors=True)


def _prefix(folder: pathlib.Path, kind: str) -> str:
    return f".{folder.name}.{kind}-"


def _lock(path: pathlib.Path) -> int | None:
    """Descriptor that holds the lock, None where folders cannot be locked.

    Raises:
      BlockingIOError: another process holds it.
    """
    if fcntl is None:
        return None
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
