"""Folders that this package writes: what is pictured in them are no images to find facets in."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence

MARKS = {"run.json": "mfvjax-run", "atlas.json": "mfvjax-atlas"}
"""The file that tells a folder's kind, and the format that it begins with; see `mfvjax.store`."""
OUTPUT = "mfv_runs"
"""Where the command line writes, if it is told no other place."""

_BEGIN_BYTES = 256
_NAMED = 3


def is_own(folder: pathlib.Path, files: Sequence[str], *, is_root: bool) -> bool:
    """Whether a folder with these files is a run or an atlas, or where the command line has them.

    Args:
      folder: whose name counts too, unless it is the one that was asked for.
      files: names of the files in it.
      is_root: whether it was asked for itself.
    """
    if folder.name == OUTPUT and not is_root:
        return True
    return any(name in files and _begins(folder / name, MARKS[name]) for name in MARKS)


def describe_own(names: Sequence[str]) -> str:
    """How many such folders there are, and the first of them."""
    named = ", ".join(sorted(names)[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    kind = "folder" if len(names) == 1 else "folders"
    return f"{len(names)} {kind} of runs or atlases of this package ({named})"


def _begins(path: pathlib.Path, form: str) -> bool:
    """Whether the file begins with its format: a damaged one still does."""
    try:
        with open(path, "rb") as file:
            begin = file.read(_BEGIN_BYTES).decode("utf-8", "replace")
    except OSError:
        return False
    return re.match(rf'\s*{{\s*"format":\s*"{re.escape(form)}"', begin) is not None
