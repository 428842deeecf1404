"""Names of classes from a text file."""

from __future__ import annotations

import os
import re

MAX_BYTES = 2**24
"""Of a file of names; a hundred thousand long ones take less."""

_WORDNET_ID = re.compile(r"n\d{8}(\s+|$)")


def read_class_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Reads one class per line, in the order of the network's units.

    A WordNet identifier at the start of a line is dropped, so that Caffe's ``synset_words.txt`` can
    be given as it is: "n01440764 tench, Tinca tinca" becomes "tench, Tinca tinca".

    Args:
      path: of a UTF-8 text file.

    Raises:
      ValueError: the file is not text, is larger than `MAX_BYTES`, or has an empty line before its
        end.
      OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path}: a file of class names has at most {MAX_BYTES} bytes")
    try:
        lines = data.decode("utf-8").rstrip().splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: class names must be UTF-8 text, one per line") from error
    names = tuple(without_id(line.strip()) for line in lines)
    if not names or "" in names:
        raise ValueError(f"{path}: line {names.index('') + 1 if names else 1} names no class")
    return names


def without_id(name: str) -> str:
    """A class's name without a WordNet identifier at its start: ``"tench, Tinca tinca"``."""
    identifier = _WORDNET_ID.match(name)
    return name[identifier.end() :] if identifier else name
