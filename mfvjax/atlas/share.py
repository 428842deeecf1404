"""Which of an atlas's units are this process's: shards of a queue, processes of a cluster."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from mfvjax.types import Unit
from mfvjax.unit_names import index_of_name

_SHARD = re.compile(r"(\d+)/(\d+)")
_RANGE = re.compile(r"(\d+)(?:-(\d*))?")


@dataclasses.dataclass(frozen=True)
class Share:
    """Every `count`-th unit, from the one at `index` on.

    Attributes:
      index: from 0.
      count: of shares; together they are the atlas.
      team: the share of all processes that have their folder in common and read the pool between
        them; by default this one's alone.

    Raises:
      ValueError: there is no such share.
    """

    index: int = 0
    count: int = 1
    team: Share | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"there is no share {self.index + 1} of {self.count}")

    @classmethod
    def parse(cls, text: str) -> Share:
        """Reads ``"3/16"``, the third of sixteen.

        Raises:
          ValueError: `text` has another form, or there is no such share.
        """
        match = _SHARD.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"shard {text!r} is not of the form 3/16, the third of sixteen")
        return cls(int(match[1]) - 1, int(match[2]))

    def within(self, outer: Share) -> Share:
        """This share of another share; the larger one's team, if it has one, is this one's too."""
        team = outer.team or (None if self.team is None else self.team.within(outer))
        return Share(outer.index + outer.count * self.index, outer.count * self.count, team)

    def of(self, units: Sequence[str]) -> list[str]:
        """The units of this share; neighbors go to different shares, so that all take as long."""
        return list(units[self.index :: self.count])

    def __str__(self) -> str:
        return f"{self.index + 1}/{self.count}"


def parse_units(
    layer: str, num_units: int, text: str, *, names: Sequence[str] | None = None
) -> list[str]:
    """Units of a layer from ``"0-99,250,900-"`` or ``"all"``, in the order given.

    Args:
      layer: whose units.
      num_units: how many it has.
      text: numbers and ranges, both ends included; a range without an end goes to the last unit;
        or names, those with a comma in them by number only.
      names: of the units, if they have any.

    Raises:
      ValueError: `text` has another form, or a unit does not exist, or several have its name.
    """
    if text.strip() == "all":
        return [str(Unit(layer, index)) for index in range(num_units)]
    units: list[str] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None and names is not None:
            units.append(str(Unit(layer, index_of_name(part.strip(), layer, names))))
            continue
        if match is None:
            raise ValueError(f"units {part!r} are not of the form 7, 0-99, 900- or all")
        first = int(match[1])
        last = num_units - 1 if match[2] == "" else int(match[2] or first)
        if not first <= last < num_units:
            raise ValueError(f"units {part!r}: layer {layer!r} has units 0 to {num_units - 1}")
        units.extend(str(Unit(layer, index)) for index in range(first, last + 1))
    return units
