"""``run.json``: what of a run is text and numbers for people."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from mfvjax.domain import RGB, Domain
from mfvjax.run import Run
from mfvjax.store.errors import DamagedRunError, NotARunError, UnknownVersionError
from mfvjax.store.judgements import controls_fields, judgement_fields, judgement_of
from mfvjax.store.names import RUN_JSON as RUN_JSON
from mfvjax.store.schema import check_files, check_header
from mfvjax.store.values import json_bytes, number, numbers, plain

FORMAT = "mfvjax-run"
VERSION = 1
MAX_BYTES = 2**28
"""Of ``run.json``; a million long names take less."""
_TEXT = ("unit", "title", "network", "options", "versions")
_NUMBERS = ("timings", "summary")
_KEYS = {*_TEXT, *_NUMBERS, "scores", "real", "shown", "files"}


def header_of(run: Run, files: dict[str, dict[str, Any]]) -> bytes:
    """The bytes of ``run.json`` for a run whose other files are recorded in `files`.

    Raises:
      ValueError: something in the run that must be text or numbers is not.
    """
    header = {"format": FORMAT, "version": VERSION}
    header |= {name: plain(getattr(run, name), name) for name in _TEXT}
    header |= {name: _numbers(getattr(run, name)) for name in _NUMBERS}
    header["scores"] = {name: numbers(values.tolist()) for name, values in run.scores.items()}
    header["domain"] = dataclasses.asdict(run.domain)
    header["real"] = {"names": list(run.real.names)}
    header["shown"] = {
        "phase_ends": list(run.shown.phase_ends),
        "top_class_names": [list(names) for names in run.shown.top_class_names],
    }
    if run.controls is not None:
        header["controls"] = controls_fields(run.controls)
    if run.judgements:
        header["judgements"] = [judgement_fields(judgement) for judgement in run.judgements]
    header["files"] = files
    return json_bytes(header)


def read_header(folder: pathlib.Path) -> dict[str, Any]:
    """``run.json`` of a run folder, checked for its format and version, not for its files.

    Raises:
      NotARunError: there is none, or it is of something else.
      UnknownVersionError: a version that this package does not read.
      DamagedRunError: it cannot be parsed, lacks an entry, or has one of another type.
    """
    path = folder / RUN_JSON
    header = _parse(path)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise NotARunError(f"{path} is not of a run: its format is not {FORMAT!r}")
    if header.get("version") != VERSION:
        raise UnknownVersionError(
            f"{path} has version {header.get('version')!r} of the format; this mfvjax reads "
            f"version {VERSION}: a newer mfvjax may be needed"
        )
    missing = sorted(_KEYS - header.keys())
    if missing:
        raise DamagedRunError(f"{path} is damaged: it lacks {', '.join(missing)}")
    try:
        check_files(header["files"])
        check_header(header)
    except ValueError as error:
        raise DamagedRunError(f"{path} is damaged: {error}") from error
    return header


def is_run(folder: pathlib.Path) -> bool:
    """Whether the folder holds a run of any version, whole or damaged."""
    try:
        header = _parse(folder / RUN_JSON)
    except (NotARunError, DamagedRunError):
        return False
    return isinstance(header, dict) and header.get("format") == FORMAT


def fields_of(header: dict[str, Any]) -> dict[str, Any]:
    """The fields of `Run` that ``run.json`` holds by itself."""
    fields = {name: header[name] for name in _TEXT}
    for name in _NUMBERS:
        fields[name] = {key: float(value) for key, value in header[name].items()}
    fields["scores"] = {
        name: np.array([float(value) for value in values], np.float64)
        for name, values in header["scores"].items()
    }
    fields["judgements"] = tuple(map(judgement_of, header.get("judgements", [])))
    return fields | {"domain": domain_of(header)}


def domain_of(header: dict[str, Any]) -> Domain:
    """What a run's images are; RGB in [0, 255] in runs that were written before there were others.

    Raises:
      ValueError: it is no domain.
    """
    return Domain.from_json(header["domain"]) if "domain" in header else RGB


def _parse(path: pathlib.Path) -> Any:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise NotARunError(f"{path.parent} holds no run: it has no {RUN_JSON}") from None
    except UnicodeDecodeError as error:
        raise DamagedRunError(f"{path} is damaged: it is not UTF-8 text ({error})") from error
    if len(data) > MAX_BYTES:
        raise DamagedRunError(f"{path} is damaged: it has more than {MAX_BYTES} bytes")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # also of numbers with too many digits
        raise DamagedRunError(f"{path} is damaged: it is not JSON ({error})") from error


def _numbers(values: Mapping[str, float]) -> dict[str, float | str]:
    return {name: number(value) for name, value in values.items()}
