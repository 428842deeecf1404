"""Files that are read: real ones, and no larger than a network can be."""

import pathlib

from weights_convert.errors import CaffeFormatError

MAX_DEFINITION_BYTES = 8 * 2**20
MAX_WEIGHTS_BYTES = 16 * 2**30


def check_file(path: pathlib.Path, most: int, what: str) -> None:
    """Refuses what is no file of at most `most` bytes, before it is read.

    Args:
      path: of the file.
      most: bytes.
      what: is read, for the message: ``"a network definition"``.

    Raises:
      CaffeFormatError: it is a device, a pipe or a folder, or larger.
      OSError: it is not there.
    """
    size = path.stat().st_size
    if not path.is_file():
        raise CaffeFormatError(f"is no file; {what} is one of at most {most} bytes")
    if size > most:
        raise CaffeFormatError(f"{size} bytes, {what} has at most {most}")
