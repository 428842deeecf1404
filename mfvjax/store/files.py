"""Bytes that reach the disk, and the proof that they are still what was written."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
from typing import Any

from mfvjax.store.errors import DamagedRunError


def write_file(path: pathlib.Path, data: bytes) -> None:
    """Writes a new file; folders above it are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as file:
        file.write(data)


def sync_tree(folder: pathlib.Path) -> None:
    """Flushes all that is in `folder` to the disk, to survive a loss of power."""
    for path in [*folder.rglob("*"), folder]:
        if not path.is_symlink():
            sync(path)


def sync(path: pathlib.Path) -> None:
    """Flushes one file or folder to the disk; where folders cannot be flushed, does nothing."""
    with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def record(data: bytes) -> dict[str, Any]:
    """What ``run.json`` keeps of a file: ``{"bytes": ..., "sha256": ...}``."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def read_recorded(folder: pathlib.Path, name: str, recorded: dict[str, Any]) -> bytes:
    """The bytes of file `name`, if they are those that were recorded.

    Raises:
      DamagedRunError: the file is missing, or has another size or hash.
    """
    path = folder / name
    has_size(path, recorded)
    data = path.read_bytes()
    if record(data) != {"bytes": recorded["bytes"], "sha256": recorded["sha256"]}:
        raise DamagedRunError(f"{path} is damaged: it is not what the run wrote (SHA-256 differs)")
    return data


def has_size(path: pathlib.Path, recorded: dict[str, Any]) -> None:
    """Checks cheaply that a file is there and as long as it was.

    Raises:
      DamagedRunError: it is not.
    """
    if not path.is_file():
        raise DamagedRunError(f"{path} is missing: the run folder is not whole")
    size = path.stat().st_size
    if size != recorded["bytes"]:
        raise DamagedRunError(f"{path} is damaged: {size} bytes, the run wrote {recorded['bytes']}")
