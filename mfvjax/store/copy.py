"""A finished run from one folder to another: what it recorded, and nothing that lies beside it."""

from __future__ import annotations

import pathlib

from mfvjax.store.errors import DamagedRunError
from mfvjax.store.files import read_recorded, write_file
from mfvjax.store.names import RUN_JSON
from mfvjax.store.read import read_header


def copy_run(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies the recorded files of a run, each compared with its hash as it is copied.

    Args:
      source: a run folder, of anyone.
      target: an empty folder, as `open_run_folder` gives it.

    Raises:
      NotARunError, UnknownVersionError: as `mfvjax.store.read_header`.
      DamagedRunError: a file is missing or was changed, or is a link, which may lead anywhere.
    """
    linked = first_link(source, [RUN_JSON])
    if linked is None:
        files = read_header(source)["files"]
        linked = first_link(source, files)
    if linked is not None:
        raise DamagedRunError(f"{linked} is a link, which no run has; it is not followed")
    for name, entry in files.items():
        write_file(target / name, read_recorded(source, name, entry))
    write_file(target / RUN_JSON, (source / RUN_JSON).read_bytes())


def first_link(folder: pathlib.Path, names: list[str] | dict[str, object]) -> pathlib.Path | None:
    """The first of a folder, its named files, and folders between them, that is a symbolic link."""
    for name in names:
        path = folder / name
        for part in (path, *path.parents):
            if part.is_symlink():
                return part
            if part == folder:
                break
    return None
