"""Which of a judge's classes stands for the unit that a run shows."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mfvjax.images.classes import normal_label
from mfvjax.network import Network
from mfvjax.run import Run
from mfvjax.types import Unit

_WORDNET_ID = re.compile(r"(?<![0-9A-Za-z])n\d{8}(?!\d)")


@dataclasses.dataclass(frozen=True)
class ClassMatch:
    """A class of a judge.

    Attributes:
      index: from 0; ``None`` if the run's unit has no class there.
      about: how it was found, or why there is none.
    """

    index: int | None
    about: str


def match_class(run: Run, judge: Network, judge_class: int | str | None = None) -> ClassMatch:
    """The judge's class for a run's unit, by WordNet identifier or by name.

    The names of both networks' classes are compared without identifiers, letter case and
    underscores: identifier, then whole name, then a synonym between commas that only one class of
    the judge has. Where several or none fit, the identifier on which the names of all real images
    agree decides.

    Args:
      run: of a class unit; other units have no class unless it is told.
      judge: whose class is sought.
      judge_class: the class itself: its index, its name, a synonym or a WordNet identifier.

    Raises:
      ValueError: the judge has no such class as `judge_class`.
    """
    if judge_class is not None:
        return ClassMatch(find_class(judge, judge_class), "as told")
    if not judge.logits_layer:
        return ClassMatch(None, f"{judge.name} has no layer of classes")
    if not _is_class(run):
        return ClassMatch(None, f"{run.unit} is no unit of a class")
    if judge.class_names is None:
        return ClassMatch(None, f"the classes of {judge.name} have no names; tell judge_class")
    return _by_name(run, judge.class_names) or ClassMatch(
        None, f"no class of {judge.name} is known to be {run.title!r}; tell one with judge_class"
    )


def find_class(judge: Network, wanted: int | str) -> int:
    """Index of a judge's class by its index, name, synonym or WordNet identifier.

    Raises:
      ValueError: there is none, or several have that name; the message says what there is.
    """
    if not judge.logits_layer:
        raise ValueError(f"judge_class={wanted!r}: {judge.name!r} has no layer of classes")
    if isinstance(wanted, int) or wanted.isdecimal():
        judge.class_name(int(wanted))
        return int(wanted)
    if judge.class_names is None:
        raise ValueError(
            f"judge_class={wanted!r}: the classes of {judge.name!r} have no names; give an index "
            f"from 0 to {judge.num_classes - 1}"
        )
    names = judge.class_names
    found = _with_id(names, wanted) or _named(names, wanted)
    if len(found) > 1:
        several = ", ".join(f"{i} ({names[i]})" for i in found)
        raise ValueError(
            f"judge_class={wanted!r} of {judge.name!r} may be {several}; give an index"
        )
    if not found:
        raise ValueError(
            f"judge_class={wanted!r}: {judge.name!r} has no such class{_like(names, wanted)}"
        )
    return found[0]


def _by_name(run: Run, names: Sequence[str]) -> ClassMatch | None:
    for identifier in _WORDNET_ID.findall(run.title):
        for index in _with_id(names, identifier):
            return ClassMatch(index, f"by WordNet identifier {identifier}")
    candidates = [] if run.title == run.unit else _named(names, run.title)
    if len(candidates) == 1:
        return ClassMatch(candidates[0], "by name")
    identifier = _identifier_of_images(run)
    for index in _with_id(names, identifier):
        if index in candidates or not candidates:
            return ClassMatch(index, f"by the images' WordNet identifier {identifier}")
    return None


def _named(names: Sequence[str], title: str) -> list[int]:
    """Classes whose whole name is `title`; else those that share a synonym no other class has."""
    wanted, plain = _plain(title), [_plain(name) for name in names]
    whole = [i for i, name in enumerate(plain) if name == wanted]
    if whole:
        return whole
    parts = [_synonyms(name) for name in plain]
    counts = Counter(part for of_one in parts for part in of_one)
    sought = _synonyms(wanted)
    unique = [i for i, own in enumerate(parts) if any(counts[part] == 1 for part in own & sought)]
    return unique or [i for i, own in enumerate(parts) if own & sought]


def _with_id(names: Sequence[str], identifier: str) -> list[int]:
    if not _WORDNET_ID.fullmatch(identifier):
        return []
    return [i for i, name in enumerate(names) if identifier in _WORDNET_ID.findall(name)][:1]


def _identifier_of_images(run: Run) -> str:
    """The one WordNet identifier in the names of all real images, or in the place they are from."""
    found = {tuple(_WORDNET_ID.findall(name)[:1]) for name in run.real.names}
    if len(found) == 1 and (only := found.pop()):
        return only[0]
    place: Any = run.options.get("images")
    there = set(_WORDNET_ID.findall(place)) if isinstance(place, str) else set()
    return there.pop() if len(there) == 1 else ""


def _is_class(run: Run) -> bool:
    """Titles are names only of classes and of added units; a class has its code layer before it."""
    if "base" in run.network:
        return False
    if run.title not in (run.unit, run.unit.partition("@")[0]):
        return True
    unit = Unit.parse(run.unit)
    return unit.position is None and run.network.get("code_layer") not in (None, unit.layer)


def _plain(name: str) -> str:
    return normal_label(_WORDNET_ID.sub(" ", name))


def _synonyms(plain: str) -> set[str]:
    return {part.strip() for part in plain.split(",")} - {""}


def _like(names: Sequence[str], wanted: str) -> str:
    known = sorted({part for name in names for part in _synonyms(_plain(name))})
    near = difflib.get_close_matches(_plain(wanted), known)
    return f"; near it are {', '.join(near)}" if near else ""
