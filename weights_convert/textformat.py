"""Protobuf's text format without a schema: names, values and nested messages, as written.

A schema would refuse the fields that forks of Caffe add, so the reader asks for what it knows and
can tell what it did not ask for. Nesting, the number of tokens and their length are bounded.

Reference: protobuf.dev, "Text Format Language Specification".
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from weights_convert.message import Message, Value, Word

MAX_DEPTH = 64
MAX_TOKENS = 200_000
MAX_LENGTH = 2**16

_SPACE = re.compile(r"(?:\s++|#[^\n]*+)*+")
_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\\n]++|\\.)*+"|'(?:[^'\\\n]++|\\.)*+')
    |(?P<number>-?(?:0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?)
       (?![\w.]))
    |(?P<word>-?[A-Za-z_]\w*)
    |(?P<extension>\[[\w./]+\](?=\s*[:{<]))
    |(?P<mark>[{}<>\[\]:;,])""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|.)", re.DOTALL)
_ESCAPED = {
    b"n": b"\n",
    b"t": b"\t",
    b"r": b"\r",
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"v": b"\v",
}
_CLOSING = {"{": "}", "<": ">"}


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def parse(text: str) -> Message:
    """Reads a message.

    Raises:
      ValueError: `text` is not in the text format, is nested deeper than `MAX_DEPTH` or has more
        than `MAX_TOKENS` names, values and marks, or one of over `MAX_LENGTH` letters; the message
        names the line.
    """
    tokens = _Reader(text)
    stack, closers = [Message(line=1)], [""]
    while True:
        token = tokens.take()
        while token.kind == "mark" and token.text == closers[-1]:
            stack.pop()
            closers.pop()
            tokens.skip(";", ",")
            token = tokens.take()
        if token.kind == "end":
            if len(stack) > 1:
                raise ValueError(f"line {stack[-1].line}: the message that opens here never ends")
            return stack[0]
        if token.kind not in ("word", "extension") or token.text.startswith("-"):
            raise ValueError(f"line {token.line}: expected a field's name, found {token.text!r}")
        opening = _read_field(tokens, token, stack[-1])
        if opening is not None:
            nested = Message(line=token.line)
            stack[-1].add(token.text, nested)
            stack.append(nested)
            closers.append(_CLOSING[opening])
            if len(stack) > MAX_DEPTH:
                raise ValueError(f"line {token.line}: nested deeper than {MAX_DEPTH} messages")


def _read_field(tokens: "_Reader", name: _Token, message: Message) -> str | None:
    """Adds the field to `message`, or returns the mark that opens a nested message."""
    colon = tokens.skip(":")
    for mark in _CLOSING:
        if tokens.skip(mark):
            return mark
    if not colon:
        raise ValueError(f"line {name.line}: expected ':' or '{{' after {name.text!r}")
    if not tokens.skip("["):
        message.add(name.text, _read_value(tokens))
    elif not tokens.skip("]"):
        message.add(name.text, _read_value(tokens))
        while tokens.skip(","):
            message.add(name.text, _read_value(tokens))
        if not tokens.skip("]"):
            raise ValueError(f"line {name.line}: the list of {name.text!r} never ends")
    tokens.skip(";", ",")
    return None


def _read_value(tokens: "_Reader") -> Value:
    token = tokens.take()
    if token.kind == "number":
        return _number(token)
    if token.kind == "word":
        special = {"inf": "inf", "infinity": "inf", "nan": "nan"}.get(
            token.text.lower().lstrip("-")
        )
        if special is None and token.text.startswith("-"):
            raise ValueError(f"line {token.line}: {token.text!r} is no value")
        sign = "-" if token.text.startswith("-") else ""
        return Word(token.text) if special is None else float(sign + special)
    if token.kind == "string":
        text = _unescape(token.text)
        while (following := tokens.take_string()) is not None:
            text += _unescape(following)
        return text
    raise ValueError(f"line {token.line}: expected a value, found {token.text!r}")


def _number(token: _Token) -> int | float:
    digits = token.text.lower()
    if len(digits) > 64:
        raise ValueError(f"line {token.line}: a number of {len(digits)} digits")
    if "0x" in digits:
        return int(digits, 16)
    if digits.lstrip("-").isdigit():
        octal = digits.lstrip("-").startswith("0") and not set(digits) & {"8", "9"}
        return int(digits, 8 if octal else 10)
    return float(digits.rstrip("f"))


def _unescape(literal: str) -> str:
    def replace(match: re.Match[bytes]) -> bytes:
        code = match[1]
        if code[:1] in b"01234567":
            return bytes([int(code, 8) & 255])
        if code[:1] in b"xX" and len(code) > 1:
            return bytes([int(code[1:], 16)])
        return _ESCAPED.get(code, code)

    raw = literal[1:-1].encode("utf-8", "surrogatepass")
    return decode(_ESCAPE.sub(replace, raw))


def decode(raw: bytes) -> str:
    """Text of a name: UTF-8, or Latin-1 where the bytes are not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


class _Reader:
    """Tokens one at a time, with a look at the next mark."""

    def __init__(self, text: str) -> None:
        self._tokens = _scan(text)
        self._next = next(self._tokens)

    def take(self) -> _Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def skip(self, *marks: str) -> bool:
        """Passes over the next token if it is one of `marks`."""
        found = self._next.kind == "mark" and self._next.text in marks
        if found:
            self.take()
        return found

    def take_string(self) -> str | None:
        """The next token if it is a string."""
        return self.take().text if self._next.kind == "string" else None


def _scan(text: str) -> Iterator[_Token]:
    position, line = 0, 1
    for _ in range(MAX_TOKENS):
        space = _SPACE.match(text, position)
        assert space is not None  # the pattern matches nothing, too
        line += text.count("\n", position, space.end())
        position = space.end()
        if position == len(text):
            yield _Token("end", "the end of the file", line)
            return
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"line {line}: cannot read {text[position : position + 20]!r}")
        if len(match[0]) > MAX_LENGTH:
            raise ValueError(f"line {line}: a name or value of {len(match[0])} letters")
        yield _Token(str(match.lastgroup), match[0], line)
        position = match.end()
    raise ValueError(f"line {line}: more than {MAX_TOKENS} names, values and marks")
