"""Whether a pool that has grown still is the one that an atlas's finished units are of."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

from mfvjax.atlas.choice import Choice
from mfvjax.atlas.plan import AtlasPlan
from mfvjax.images import ImageSource
from mfvjax.store import read_header

GROWING = ("images.count", "images.names_sha256")
_PER_CLASS = "class:"


def has_only_grown(before: AtlasPlan, now: AtlasPlan) -> bool:
    """Whether two plans of the same units differ in nothing but more images of the pool."""
    fields = {text.partition(":")[0] for text in before.differences(now)}
    more = now.images["count"] > before.images["count"]
    return bool(fields) and fields <= set(GROWING) and more


def check_growth(
    finished: Mapping[str, pathlib.Path], choices: Sequence[Choice], source: ImageSource
) -> str | None:
    """Why images cannot be added to the pool of an atlas; ``None`` if they can.

    They can where each finished unit is of the images of its class, and these are the same as
    before: folders of other classes beside theirs, say. The top of a pool would be another one.

    Args:
      finished: folders of the finished units, by unit.
      choices: of these units, in the pool as it is now.
      source: the pool as it is now.

    Raises:
      NotARunError, DamagedRunError, UnknownVersionError: as `mfvjax.store.read_header`.
    """
    for choice in choices:
        head = read_header(finished[choice.unit])
        images = head["options"].get("images")
        is_by_class = choice.indices is not None and str(images).startswith(_PER_CLASS)
        if not is_by_class:
            return f"{choice.unit} is of the top of the pool, which would be another one now"
        there = {source.names[int(index)] for index in choice.indices}  # type: ignore[union-attr]
        if there != set(head["real"]["names"]):
            return f"the images of {choice.unit} are not those that it was made of"
    return None
