"""What ``run.json`` may hold: a run may come from anyone, and each refusal names its field."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable
from typing import Any

from mfvjax.domain import Domain

MAX_FILE_BYTES = 2**34
"""Of one file of a run; ten facets of a thousand images take a thousandth of it."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_NAME = 255


def check_header(header: dict[str, Any]) -> None:
    """Checks every field of a parsed ``run.json`` whose format and version are known.

    Numbers are not compared with arrays here; `mfvjax.store.shapes` does that.

    Raises:
      ValueError: a field has another type, or holds what it cannot hold; the message names it.
    """
    for name in ("unit", "title"):
        _check(isinstance(header[name], str), name, header[name], "text")
    for name in ("network", "options", "versions", "timings", "summary", "scores"):
        _check(isinstance(header[name], dict), name, header[name], "values by name")
    _check_network(header["network"])
    _each("versions", header["versions"], _is_text, "text")
    for name in ("timings", "summary"):
        _each(name, header[name], is_number, "a number")
    for name, values in header["scores"].items():
        _check(_are(values, is_number), f"scores.{name}", values, "one number per facet")
    _check_shown(header)
    if "domain" in header:
        Domain.from_json(header["domain"])
    if "controls" in header:
        _check_controls(header["controls"])
    judgements = header.get("judgements", [])
    _check(_are(judgements, lambda one: isinstance(one, dict)), "judgements", judgements, "a list")


def check_files(files: Any) -> None:
    """Checks the list of files; no name may reach outside the run folder.

    Raises:
      ValueError: as `check_header`.
    """
    if not isinstance(files, dict):
        raise ValueError("its files are not listed by name")
    for name, entry in files.items():
        parts = pathlib.PurePosixPath(name)
        outside = parts.is_absolute() or ".." in parts.parts or "\\" in name or "\0" in name
        if outside or not parts.parts or max(map(len, parts.parts)) > _MAX_NAME:
            raise ValueError(f"{name!r} is not a file of the run")
        if not isinstance(entry, dict) or not {"bytes", "sha256"} <= entry.keys():
            raise ValueError(f"size and hash of {name!r} are missing")
        size, digest = entry["bytes"], entry["sha256"]
        is_size = is_count(size) and size <= MAX_FILE_BYTES
        _check(is_size, f"files[{name!r}].bytes", size, f"a size up to {MAX_FILE_BYTES} bytes")
        is_digest = _is_text(digest) and _SHA256.fullmatch(digest) is not None
        _check(is_digest, f"files[{name!r}].sha256", digest, "a SHA-256 in hexadecimal")


def is_number(value: object) -> bool:
    """Whether JSON has a number here, or the word for one that it cannot write."""
    is_plain = isinstance(value, int | float) and not isinstance(value, bool)
    return is_plain or value in ("NaN", "Infinity", "-Infinity")


def is_count(value: object) -> bool:
    """Whether it is a whole number from 0 that an array can be as long as."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _check_network(network: dict[str, Any]) -> None:
    for name in ("name", "fingerprint", "code_layer", "model_fingerprint", "base"):
        if name in network or name in ("name", "fingerprint"):
            value = network.get(name)
            _check(_is_text(value), f"network.{name}", value, "text")
    size = network.get("input_size")
    is_size = _are(size, lambda n: is_count(n) and n > 0) and len(size) == 2  # type: ignore[arg-type]
    _check(is_size, "network.input_size", size, "a height and a width")


def _check_shown(header: dict[str, Any]) -> None:
    for part, fields in (("real", ("names",)), ("shown", ("phase_ends", "top_class_names"))):
        _check(
            isinstance(header[part], dict), part, header[part], f"the fields {', '.join(fields)}"
        )
        for field in fields:
            _check(field in header[part], f"{part}.{field}", None, "there")
    names = header["real"]["names"]
    _check(_are(names, _is_text), "real.names", names, "a list of texts")
    ends = header["shown"]["phase_ends"]
    rising = _are(ends, is_count) and all(a < b for a, b in zip([0, *ends], ends, strict=False))
    _check(rising, "shown.phase_ends", ends, "a list of rising numbers of steps")
    top = header["shown"]["top_class_names"]
    is_table = _are(top, lambda row: _are(row, _is_text))
    _check(is_table, "shown.top_class_names", top, "a list of texts for each facet")


def _check_controls(controls: Any) -> None:
    _check(isinstance(controls, dict), "controls", controls, "the fields names, about, facet")
    for field in ("names", "about"):
        value = controls.get(field)
        _check(_are(value, _is_text), f"controls.{field}", value, "a list of texts")
    facet = controls.get("facet")
    _check(is_count(facet), "controls.facet", facet, "the number of a facet")


def _each(name: str, values: dict[str, Any], is_right: Callable[[Any], bool], right: str) -> None:
    for key, value in values.items():
        _check(is_right(value), f"{name}.{key}", value, right)


def _are(values: object, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(values, list) and all(map(is_right, values))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _check(holds: bool, field: str, value: object, right: str) -> None:
    if not holds:
        shown = repr(value)
        raise ValueError(
            f"{field} is {shown if len(shown) <= 80 else shown[:77] + '...'}; it must be {right}"
        )
