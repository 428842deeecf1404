"""Images that cannot be read: which, why, how many are too many, and how they are told of."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

MAX_UNREADABLE = 0.1
"""Share of the images asked for above which a run stops, unless another is given."""

_NAMED = 3
_RECORDED = 20


class UnreadableImageError(ValueError):
    """An image cannot be read; the message names it and says why.

    Attributes:
      name: of the image in its source.
      reason: what is wrong with it.
    """

    def __init__(self, name: str, reason: str):
        super().__init__(f"image {name!r} cannot be read: {reason}")
        self.name = name
        self.reason = reason


class TooManyUnreadableError(ValueError):
    """A larger share of the images cannot be read than is allowed."""


@dataclasses.dataclass(frozen=True)
class SkippedImage:
    """An image that could not be read.

    Attributes:
      index: in the source.
      name: in the source.
      reason: why.
    """

    index: int
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def check_limit(max_unreadable: float) -> None:
    """Raises ``ValueError`` unless `max_unreadable` is a share."""
    if not 0 <= max_unreadable <= 1:
        raise ValueError(f"max_unreadable={max_unreadable} must be a share in [0, 1]; 0.1 is 10 %")


def most_unreadable(num_images: int, max_unreadable: float) -> int:
    """How many of so many images may be unreadable."""
    return math.floor(max_unreadable * num_images + 1e-9)  # 0.07 * 100 is a little above 7


def check_unreadable(
    skipped: Sequence[SkippedImage], num_images: int, max_unreadable: float
) -> None:
    """Refuses to go on where too many images cannot be read.

    Args:
      skipped: those that could not be read so far.
      num_images: all that are asked for.
      max_unreadable: the largest share of these that may be skipped.

    Raises:
      TooManyUnreadableError: they are more; the message names the first.
    """
    if len(skipped) <= most_unreadable(num_images, max_unreadable):
        return
    raise TooManyUnreadableError(
        f"{describe(skipped, num_images, so_far=True)}. That is more than max_unreadable="
        f"{max_unreadable:g} of them: repair or remove them, or allow a larger share "
        "(--max-unreadable)"
    )


def describe(skipped: Sequence[SkippedImage], num_images: int, *, so_far: bool = False) -> str:
    """How many images cannot be read, and the first of them with the reasons, in one line."""
    named = "; ".join(" ".join(str(image).split()) for image in skipped[:_NAMED])
    more = len(skipped) - _NAMED
    least = "at least " if so_far else ""
    rest = f"; and {more} more" if more > 0 else ""
    return f"{least}{len(skipped)} of {num_images} images cannot be read: {named}{rest}"


def record_unreadable(skipped: Sequence[SkippedImage], num_images: int) -> dict[str, Any]:
    """What a run keeps of images that could not be read, in JSON types.

    Returns: ``count``, ``of`` how many, and the ``first`` of them with the reasons.
    """
    return {
        "count": len(skipped),
        "of": num_images,
        "first": [str(image) for image in skipped[:_RECORDED]],
    }
