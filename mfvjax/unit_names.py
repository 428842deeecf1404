"""Names of units: which are allowed, and the unit that a text asks for by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

_AT = re.compile(r"(?P<name>.+)@(?P<row>\d+),(?P<column>\d+)")
_MANY = 8  # names that a message lists


def checked_names(names: Sequence[str], count: int) -> tuple[str, ...]:
    """`names`, if they can be names of `count` units; two units may have the same.

    Raises:
      ValueError: there are more or fewer, or one is empty, has spaces around it or several lines,
        or would be read as an index or a position.
    """
    if isinstance(names, str) or len(names) != count:
        number = "a text is no list of" if isinstance(names, str) else len(names)
        raise ValueError(f"{number} names for {count} units; give one name per unit")
    for name in names:
        if not isinstance(name, str) or not name or name != " ".join(name.split()):
            raise ValueError(
                f"{name!r} is no name: a name is a text in one line, without spaces "
                "around it or two together"
            )
        if name.isdecimal() or _AT.fullmatch(name):
            raise ValueError(f"the name {name!r} would be read as an index or a position")
    return tuple(names)


def find_named(
    text: str, names: Mapping[str, Sequence[str] | None]
) -> tuple[str, int, tuple[int, int] | None] | None:
    """Layer, index and position of the unit that ``"LAYER:NAME"`` or ``"LAYER:NAME@ROW,COLUMN"``
    asks for; ``None`` where no layer with named units begins the text.

    Args:
      text: of a unit.
      names: of the units of each layer, by the layer's name.

    Raises:
      ValueError: the layer has no unit of this name, or several.
    """
    layers = [layer for layer, given in names.items() if given and text.startswith(f"{layer}:")]
    if not layers:
        return None
    layer = max(layers, key=len)
    known = names[layer] or ()
    wanted = text.removeprefix(f"{layer}:")
    at = None if wanted in known else _AT.fullmatch(wanted)
    if at is None:
        return layer, index_of_name(wanted, layer, known), None
    position = int(at["row"]), int(at["column"])
    return layer, index_of_name(at["name"], layer, known), position


def index_of_name(wanted: str, layer: str, names: Sequence[str]) -> int:
    """The index of the one unit of `layer` that is called `wanted`.

    Raises:
      ValueError: there is none, or there are several; the message tells near names, or the indices.
    """
    found = [index for index, name in enumerate(names) if name == wanted]
    if len(found) > 1:
        several = ", ".join(f"{layer}:{index}" for index in found[:_MANY])
        raise ValueError(f"{layer}:{wanted} may be {several}; give the index")
    if not found:
        raise ValueError(f"layer {layer!r} has no unit called {wanted!r}; {_near(wanted, names)}")
    return found[0]


def _near(wanted: str, names: Sequence[str]) -> str:
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(wanted.casefold(), folded, n=_MANY, cutoff=0.5)
    if near:
        return f"near it are {', '.join(folded[name] for name in near)}"
    more = "" if len(names) <= _MANY else f" and {len(names) - _MANY} more"
    return f"its units are {', '.join(names[:_MANY])}{more}"
