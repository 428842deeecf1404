"""Numbers and names as people read them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from mfvjax.domain import RGB, Domain

ARROWS = {"higher": "↑", "lower": "↓"}


@dataclasses.dataclass(frozen=True)
class Column:
    """One score: what to call it and how to read it.

    Attributes:
      name: key in ``Run.scores`` or ``Run.summary``.
      title: for people.
      unit: of the values; may be empty.
      better: ``"higher"``, ``"lower"``, or empty where neither is.
      definition: one or two sentences; may be empty.
    """

    name: str
    title: str
    unit: str
    better: str
    definition: str

    @property
    def arrow(self) -> str:
        """An arrow in the better direction, or nothing."""
        return ARROWS.get(self.better, "")

    @property
    def hint(self) -> str:
        """The definition and the better direction, for a tooltip."""
        better = f"{self.better.capitalize()} is better." if self.better in ARROWS else ""
        return " ".join(part for part in (self.definition, better) if part)


def column(name: str, domain: Domain = RGB) -> Column:
    """What is known of a score of a run; one that has no definition is called by its key."""
    from mfvjax.metrics import metric

    if name == "size":
        return Column(name, "Images", "", "", "Real images in the facet's cluster.")
    known = metric(name, domain)
    if known is not None:
        title = known.title[:1].upper() + known.title[1:]
        return Column(name, title, known.unit, known.better or "", known.definition)
    return Column(name, name.replace("_", " ").capitalize(), "", "", "")


def number(value: float) -> str:
    """Three digits or so: ``"0.0312"``, ``"12.4"``, ``"1,234"``; a dash where it is not finite."""
    if not math.isfinite(value):
        return "\N{EN DASH}"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:#.3g}".removesuffix(".")


def share(value: float) -> str:
    """``"80 %"``, ``"0.1 %"``, ``"< 0.1 %"``; a dash where it is not finite."""
    percent = 100 * value
    if not math.isfinite(percent):
        return "\N{EN DASH}"
    if 0 < percent < 0.05:
        return "< 0.1 %"
    return f"{percent:.0f} %" if percent == 0 or percent >= 1 else f"{percent:.1f} %"


def count(value: int, noun: str) -> str:
    """``"1 image"``, ``"1,000 images"``."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def seconds(value: float) -> str:
    """``"0.31 s"``, ``"62 s"``, ``"2 min 5 s"``."""
    if value < 60:
        return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"


def unreadable(record: Any) -> dict[str, Any] | None:
    """What is told of images that could not be read; ``None`` where all could be.

    Args:
      record: of a run's options, see `mfvjax.images.unreadable.record_unreadable`.

    Returns: ``text``, to stand in a sentence, the ``first`` of these images with the reasons, how
      many ``more`` there are, and ``of`` how many.
    """
    known = isinstance(record, dict) and isinstance(record.get("first"), list)
    if not known or not all(isinstance(record.get(name), int) for name in ("count", "of")):
        return None
    first = [str(line) for line in record["first"]]
    text = f"{record['count']} of {count(record['of'], 'image')} could not be read"
    more = max(0, record["count"] - len(first))
    return {"text": text, "first": first, "more": more, "of": record["of"]}
