"""A message of the text format, read by asking for fields; it can tell which nobody asked for."""

from collections.abc import Sequence
from typing import TypeAlias


class Word(str):
    """A bare word: an enumeration's value, ``true`` or ``false``."""


class Message:
    """Fields by name, each a list of values in the order written.

    Attributes:
      line: where it starts, from 1.
    """

    def __init__(self, *, line: int = 1) -> None:
        self.line = line
        self._fields: dict[str, list[Value]] = {}
        self._asked: set[str] = set()

    def add(self, name: str, value: "Value") -> None:
        """Appends `value` to the field `name`."""
        self._fields.setdefault(name, []).append(value)

    def has(self, name: str) -> bool:
        """Whether the field is written at all."""
        self._asked.add(name)
        return name in self._fields

    def unasked(self) -> list[str]:
        """Fields that nothing has asked for."""
        return [name for name in self._fields if name not in self._asked]

    def messages(self, name: str) -> list["Message"]:
        """Every message in the field."""
        return self._all(name, Message, "a message { ... }")

    def message(self, name: str) -> "Message":
        """The message in the field; an empty one if there is none."""
        found = self.messages(name)
        self._check_single(name, found)
        return found[0] if found else Message(line=self.line)

    def strings(self, name: str) -> list[str]:
        """Every string in the field."""
        return self._all(name, str, "a string", but_not=Word)

    def string(self, name: str, default: str = "") -> str:
        """The string in the field."""
        found = self.strings(name)
        self._check_single(name, found)
        return found[0] if found else default

    def integers(self, name: str) -> list[int]:
        """Every integer in the field; each fits 64 bits."""
        found = self._all(name, int, "an integer")
        for value in found:
            if not -(2**63) <= value < 2**63:
                raise ValueError(f"{name} {value} does not fit 64 bits")
        return found

    def integer(self, name: str, default: int) -> int:
        """The integer in the field."""
        found = self.integers(name)
        self._check_single(name, found)
        return found[0] if found else default

    def numbers(self, name: str) -> list[float]:
        """Every number in the field, as floats."""
        return [float(value) for value in self._all(name, (int, float), "a number")]

    def number(self, name: str, default: float) -> float:
        """The number in the field."""
        found = self.numbers(name)
        self._check_single(name, found)
        return found[0] if found else default

    def flag(self, name: str, default: bool) -> bool:
        """The truth value in the field."""
        names = {"true": True, "t": True, "True": True, "1": True}
        names |= {"false": False, "f": False, "False": False, "0": False}
        found = [names.get(str(value)) for value in self._values(name)]
        if None in found:
            raise ValueError(f"{name} must be true or false, got {self._fields[name][0]!r}")
        self._check_single(name, found)
        return bool(found[0]) if found else default

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        """The word in the field; a number stands for the position among `choices`."""
        found = self._values(name)
        self._check_single(name, found)
        value = found[0] if found else default
        if type(value) is int and 0 <= value < len(choices):
            return choices[value]
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
        return str(value)

    def word(self, name: str) -> "Value | None":
        """The single value in the field, of whatever type; ``None`` if there is none."""
        found = self._values(name)
        self._check_single(name, found)
        return found[0] if found else None

    def _values(self, name: str) -> list["Value"]:
        self._asked.add(name)
        return self._fields.get(name, [])

    def _all(self, name, kind, expected, but_not=()):  # type: ignore[no-untyped-def]
        found = self._values(name)
        for value in found:
            if not isinstance(value, kind) or isinstance(value, but_not):
                raise ValueError(f"{name} must be {expected}, got {_short(value)}")
        return found

    def _check_single(self, name: str, found: Sequence[object]) -> None:
        if len(found) > 1:
            raise ValueError(f"{name} is written {len(found)} times, it may be written once")


Value: TypeAlias = Word | str | int | float | Message


def _short(value: object) -> str:
    return "a message" if isinstance(value, Message) else repr(value)[:60]
