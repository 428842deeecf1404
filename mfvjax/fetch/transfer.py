"""One HTTP request that goes on where an earlier one broke off."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import pathlib
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

Progress = Callable[[int, int | None], None]
"""Called after each piece with the bytes received so far, and in all if known."""

_CHUNK = 1 << 20
_RANGE_NOT_SATISFIABLE = 416


@dataclasses.dataclass(frozen=True)
class Part:
    """An unfinished file, and beside it the server's mark of the version it belongs to.

    Attributes:
      data: path of the bytes so far.
    """

    data: pathlib.Path

    @property
    def state(self) -> pathlib.Path:
        """Path of the mark."""
        return self.data.with_name(f"{self.data.name}.json")

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self.data.stat().st_size if self.data.exists() else 0

    def mark(self, address: str, response: Any) -> None:
        """Notes which version of the file at `address` the server sends."""
        tag = response.headers.get("ETag", "")  # weak tags (W/...) do not promise equal bytes
        validator = tag if tag.startswith('"') else response.headers.get("Last-Modified")
        self.state.write_text(json.dumps({"address": address, "validator": validator}))

    def remove(self) -> None:
        """Deletes both files."""
        self.data.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)

    def resume_headers(self, address: str, *, hashed: bool) -> dict[str, str]:
        """Asks for the rest, if it can be told afterwards whether both halves belong together.

        That is so if the server marked its version, or if the hash of the whole is known.
        """
        try:
            mark = json.loads(self.state.read_text())
            same, validator = mark["address"] == address, mark["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        if not self.size or not same or not (validator or hashed):
            return {}
        return {"Range": f"bytes={self.size}-"} | ({"If-Range": validator} if validator else {})


def receive(address: str, part: Part, *, hashed: bool, progress: Progress, timeout: float) -> None:
    """Completes `part` with the bytes at `address`, or starts it anew if the server wants so.

    Args:
      address: of the file.
      part: what there is of it; left as far as it came if the connection breaks.
      hashed: whether the hash of the whole is known.
      progress: called after each piece.
      timeout: seconds without data after which the connection counts as broken.

    Raises:
      OSError: of the connection (``URLError``, ``ConnectionError``, ``TimeoutError``) or the disk.
      http.client.HTTPException: the server does not speak properly.
    """
    headers = part.resume_headers(address, hashed=hashed)
    try:
        response = _open(address, headers, timeout)
    except urllib.error.HTTPError as error:
        if error.code != _RANGE_NOT_SATISFIABLE:
            raise
        if error.headers.get("Content-Range") == f"bytes */{part.size}":
            return  # all was there already
        part.remove()
        response = _open(address, {}, timeout)
    with response:
        start = _start(response, part)
        part.mark(address, response)
        with part.data.open("r+b" if start else "wb") as out:
            out.seek(start)
            _copy(response, out, start, progress)


def _open(address: str, headers: dict[str, str], timeout: float) -> Any:
    request = urllib.request.Request(address, headers={"User-Agent": "mfvjax", **headers})
    return urllib.request.urlopen(request, timeout=timeout)


def _start(response: Any, part: Part) -> int:
    """Where the data of `response` belong in the file; 0 if the server sends all of it."""
    if response.status != http.client.PARTIAL_CONTENT:
        return 0
    sent = response.headers.get("Content-Range", "")
    if not sent.startswith(f"bytes {part.size}-"):
        raise http.client.HTTPException(f"asked for bytes from {part.size} on, was sent {sent!r}")
    return part.size


def _copy(response: Any, out: Any, received: int, progress: Progress) -> None:
    length = response.headers.get("Content-Length")
    total = None if length is None else received + int(length)
    progress(received, total)
    while chunk := response.read(_CHUNK):
        out.write(chunk)
        received += len(chunk)
        progress(received, total)
    out.flush()
    os.fsync(out.fileno())
    if total is not None and received < total:
        raise ConnectionError(f"the connection closed after {received} of {total} bytes")
