"""One more judgement in the folder of a finished run."""

from __future__ import annotations

import os
import pathlib
import tempfile
from typing import Any

from mfvjax.judgement import Judgement
from mfvjax.store import claims, header
from mfvjax.store.errors import explain
from mfvjax.store.files import sync
from mfvjax.store.judgements import judgement_fields
from mfvjax.store.values import json_bytes


def add_judgement(folder: str | os.PathLike[str], judgement: Judgement) -> None:
    """Adds a judgement to a finished run, in place of a former one by the same judge.

    Only ``run.json`` is written, under a temporary name first: the run is as it was, or has all of
    the judgement. Processes that judge one run at the same time wait for each other. A page beside
    the run is not touched.

    Raises:
      NotARunError: there is no run; UnknownVersionError, DamagedRunError: none that can be read.
      RunWriteError: no space left, not permitted to write.
    """
    path = pathlib.Path(folder)
    header.read_header(path)  # there is a run, before anything is locked
    with claims.held(path):
        head = header.read_header(path)
        head["judgements"] = _with(head.get("judgements", []), judgement_fields(judgement))
        _replace(path / header.RUN_JSON, json_bytes(head))


def _with(others: list[Any], new: dict[str, Any]) -> list[Any]:
    """The judgements with a new one, at the place of the former one by the same judge."""
    same = [other["judge"]["fingerprint"] == new["judge"]["fingerprint"] for other in others]
    if not any(same):
        return [*others, new]
    return [new if is_same else other for other, is_same in zip(others, same, strict=True)]


def _replace(path: pathlib.Path, data: bytes) -> None:
    temporary: pathlib.Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = pathlib.Path(name)
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        raise explain(error, path.parent) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
