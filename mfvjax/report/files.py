"""Writing one file whole or not at all."""

from __future__ import annotations

import os
import pathlib
import tempfile


def write_whole(path: str | os.PathLike[str], content: bytes) -> pathlib.Path:
    """Writes `content` under a temporary name beside `path` and renames it; replaces what is there.

    Raises:
      FileNotFoundError: the folder does not exist.
      OSError: the file cannot be written; nothing is left of it.
    """
    path = pathlib.Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} into")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = pathlib.Path(name)
    try:
        with open(handle, "wb") as file:
            file.write(content)
        temporary.chmod(0o644)  # mkstemp makes files that only their owner can read
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path
