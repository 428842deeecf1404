"""Which images of a pool belong to which class, told by their names and labels."""

from __future__ import annotations

import os
import pathlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from mfvjax.images.sources import ImageSource, SelectedSource

_WORDNET_ID = re.compile(r"n\d{8}")


def images_by_label(source: ImageSource) -> dict[str, list[int]]:
    """Indices of the images of every label that occurs in `source`, ascending.

    The labels of an image are the folders on its path, the source's own label, and a WordNet
    identifier at the start of its file name, as ImageNet's files have it. Letter case plays no
    role, and underscores count as spaces.
    """
    found: dict[str, list[int]] = {}
    for index, name in enumerate(source.names):
        *folders, file = name.split("/")
        labels = {normal_label(folder) for folder in folders}
        if source.labels is not None:
            labels.add(normal_label(source.labels[index]))
        start = _WORDNET_ID.match(file)
        if start:
            labels.add(start[0])
        for label in labels - {""}:
            found.setdefault(label, []).append(index)
    return found


def normal_label(label: str) -> str:
    """How labels are compared."""
    return " ".join(label.casefold().replace("_", " ").split())


def class_labels(
    names: Sequence[str] | None,
    found: Mapping[str, Sequence[int]],
    *,
    num_classes: int,
    ids: Sequence[str] | None = None,
) -> list[str | None]:
    """The label that stands for each class in a pool; ``None`` for a class without one.

    A class is known by its identifier, by its whole name ("tench, Tinca tinca"), or by a part of
    the name between commas that no other class has ("tench"); the first of these that occurs is
    taken.

    Args:
      names: of the classes.
      found: from `images_by_label`.
      num_classes: how many there are.
      ids: identifiers of the classes, in order. Where they are not given and the pool has exactly
        `num_classes` WordNet identifiers, these are taken in alphabetical order, as ImageNet's
        classes are.

    Raises:
      ValueError: there are not `num_classes` identifiers.
    """
    if ids is None:
        wordnet = sorted(label for label in found if _WORDNET_ID.fullmatch(label))
        ids = wordnet if len(wordnet) == num_classes else [""] * num_classes
    if len(ids) != num_classes:
        raise ValueError(f"{len(ids)} identifiers for {num_classes} classes; give one per class")
    whole = [normal_label(name) for name in names or [""] * num_classes]
    parts = [[part.strip() for part in name.split(",")] for name in whole]
    shared = Counter(part for of_one in parts for part in set(of_one))
    labels: list[str | None] = []
    for own_id, name, synonyms in zip(ids, whole, parts, strict=True):
        known = [normal_label(own_id), name, *(part for part in synonyms if shared[part] == 1)]
        labels.append(next((label for label in known if label in found), None))
    return labels


def read_class_ids(path: str | os.PathLike[str]) -> list[str]:
    """The first word of each line: of Caffe's ``synset_words.txt``, say.

    Raises:
      OSError: the file cannot be read.
      ValueError: a line is empty.
    """
    lines = pathlib.Path(path).read_text(encoding="utf-8").rstrip().splitlines()
    if not all(line.strip() for line in lines):
        raise ValueError(f"{path}: every line must begin with the identifier of a class")
    return [line.split()[0] for line in lines]


def select_label(source: ImageSource, label: str) -> SelectedSource:
    """The images of one label.

    Raises:
      ValueError: there are none; the message names some labels that there are.
    """
    found = images_by_label(source)
    if normal_label(label) not in found:
        known = ", ".join(sorted(found)[:10]) or "none"
        raise ValueError(f"no image has the label {label!r}; labels here: {known}")
    return SelectedSource(source, found[normal_label(label)])
