"""Pages and covers of finished units: made from the run, and made again where they are missing."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from mfvjax.atlas.cover import write_cover
from mfvjax.atlas.folder import AtlasFolder
from mfvjax.report import write_page
from mfvjax.run import Run
from mfvjax.store import load_run
from mfvjax.store.names import COVER, PAGE, STRIP

# How each file begins and ends if it was written whole.
_WHOLE = {
    PAGE: (b"<!", b"</html>"),
    COVER: (b"\xff\xd8", b"\xff\xd9"),
    STRIP: (b"\xff\xd8", b"\xff\xd9"),
}
_END_BYTES = 64


def write_pages(run: Run, path: pathlib.Path) -> None:
    """Writes page and cover of a unit into its folder, each whole, in place of what is there."""
    write_page(run, path / PAGE)
    write_cover(run, path)


def restore_pages(folder: AtlasFolder, units: Sequence[str]) -> list[str]:
    """Makes page and cover again of finished units that lack one, or have one that is cut off.

    Args:
      folder: of the atlas; `units` are locked.
      units: finished.

    Returns: units whose page or cover was made.

    Raises:
      DamagedRunError: the run itself cannot be read.
      OSError: a file cannot be written.
    """
    restored = []
    for unit in units:
        path = folder.unit_path(unit)
        if not all(_is_whole(path / name) for name in _WHOLE):
            write_pages(load_run(path), path)
            restored.append(unit)
    return restored


def _is_whole(path: pathlib.Path) -> bool:
    """Whether the file begins and ends as it should; nothing in between is looked at."""
    begin, end = _WHOLE[path.name]
    if path.is_symlink() or not path.is_file():
        return False
    with open(path, "rb") as file:
        first = file.read(len(begin))
        file.seek(max(path.stat().st_size - _END_BYTES, 0))
        return first == begin and file.read().rstrip().endswith(end)
