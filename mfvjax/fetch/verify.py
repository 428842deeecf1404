"""Hashes: a fetched file is used only if it is what was published, or what came the first time."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib

from mfvjax.fetch.sources import RemoteFile


class WrongHashError(ValueError):
    """A file's contents are not what they must be."""


def verify(remote: RemoteFile, file: pathlib.Path, trust_file: pathlib.Path) -> str | None:
    """Checks the contents of `file` against the published hash of `remote`.

    Where no hash is published, the SHA-256 of the first file seen is recorded in `trust_file`, and
    later ones must have the same (trust on first use).

    Args:
      remote: what the file should be.
      file: the data.
      trust_file: JSON of recorded hashes by address; made when first needed.

    Returns:
      A sentence for the user if the hash has just been recorded.

    Raises:
      WrongHashError: the hash differs.
    """
    if remote.sha1 is not None:
        _compare(file, f"the published SHA-1 of {remote.name}", remote.sha1, _hash(file, "sha1"))
        return None
    address, found = remote.addresses[0], _hash(file, "sha256")
    trusted = json.loads(trust_file.read_text()) if trust_file.exists() else {}
    if address in trusted:
        what = f"the SHA-256 of {remote.name} recorded in {trust_file}"
        _compare(file, what, trusted[address], found)
        return None
    _write(trust_file, {**trusted, address: found})
    return (
        f"nobody has published a hash of {remote.name}; recorded SHA-256 {found} of this first "
        f"download in {trust_file}"
    )


def _compare(file: pathlib.Path, what: str, expected: str, found: str) -> None:
    if found != expected:
        raise WrongHashError(f"{file} is not the right file: {what} is {expected}, not {found}")


def _hash(file: pathlib.Path, algorithm: str) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, algorithm).hexdigest()


def _write(trust_file: pathlib.Path, trusted: dict[str, str]) -> None:
    trust_file.parent.mkdir(parents=True, exist_ok=True)
    new = trust_file.with_name(f"{trust_file.name}.{os.getpid()}")
    new.write_text(json.dumps(trusted, indent=1) + "\n")
    os.replace(new, trust_file)
