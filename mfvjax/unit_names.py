"""Names and positions of units in a text: which are allowed, and which unit they ask for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

AT = r"\d+,\d+|\d+|cls"
"""What a position looks like, as a regular expression; see `parse_position`."""

_AT = re.compile(rf"(?P<name>.+)@(?P<at>{AT})")
_MANY = 8  # names that a message lists


class Token(tuple[int, int]):
    """A position in a layer of tokens: ``(token, 0)``, and written as the token alone."""

    __slots__ = ()

    def __new__(cls, token: int) -> Token:
        """The position of token number `token`, from 0."""
        return super().__new__(cls, (token, 0))

    def __getnewargs__(self) -> tuple[int]:  # type: ignore[override]  # what __new__ takes
        return (self[0],)

    def __str__(self) -> str:
        return str(self[0])


def parse_position(text: str) -> tuple[int, int]:
    """``"6,7"`` is a row and a column of a map, ``"17"`` a token, and ``"cls"`` the token 0."""
    if text == "cls":
        return Token(0)
    row, comma, column = text.partition(",")
    return (int(row), int(column)) if comma else Token(int(row))


def position_text(position: tuple[int, int]) -> str:
    """A position as `parse_position` reads it."""
    return str(position) if isinstance(position, Token) else f"{position[0]},{position[1]}"


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
    (``"LAYER:NAME@TOKEN"``) asks for; ``None`` where no layer with named units begins the text.

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
    return layer, index_of_name(at["name"], layer, known), parse_position(at["at"])


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
