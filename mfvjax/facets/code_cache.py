"""Codes on disk: found again by the hashes of the network, the images and the question.

A cached file is an ``.npz`` of plain arrays, nothing is unpickled, and it is written under another
name first, so that a killed run leaves none half written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from mfvjax.domain import RGB
from mfvjax.facets.code_pass import CodeRequest, Reading
from mfvjax.images import ImageSource, SkippedImage, UnreadableImageError
from mfvjax.images.resize import ResizeRule

VERSION = 2
"""Goes into every key; to be raised when the meaning of a cached array changes."""

_RANKS = {"codes": 2, "activations": 1, "places": 1, "indices": 1, "skipped": 1, "reasons": 1}


class DamagedCodesWarning(UserWarning):
    """A file of cached codes cannot be used; it is computed again and replaced."""


@dataclasses.dataclass(frozen=True)
class CodeCache:
    """A folder of codes of one network, one list of images and one resize rule.

    Attributes:
      folder: where the files are; made when the first is written.
      context: hash of all that the files have in common.
    """

    folder: pathlib.Path
    context: str

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        *,
        network_fingerprint: str,
        source: ImageSource,
        rule: ResizeRule,
    ) -> CodeCache:
        """Hashes every image, once, in parallel; unreadable ones count as such."""

        def image_hash(index: int) -> str:
            try:
                return source.fingerprint(index)
            except UnreadableImageError:
                return "unreadable"

        with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as executor:
            hashes = list(executor.map(image_hash, range(len(source))))
        about = [VERSION, network_fingerprint, repr(rule), repr(source.decoding), hashes]
        if source.domain != RGB:  # else as before there were others, so that old files are found
            about.append(repr(source.domain))
        return cls(pathlib.Path(folder), hashlib.sha256(json.dumps(about).encode()).hexdigest())

    def path(self, request: CodeRequest) -> pathlib.Path:
        """Where the codes of `request` are, or would be."""
        about: list[Any] = [self.context, str(request.unit.unit), request.code_layer]
        if request.unit.is_limited:  # else as before all positions did not always count
            about.append(repr(request.unit.window))
        if request.kind == "relevance":  # else as before there was a choice
            about.append("relevance")
        key = hashlib.sha256(json.dumps(about).encode()).hexdigest()
        return self.folder / f"codes-{key}.npz"

    def load(self, request: CodeRequest, source: ImageSource) -> Reading | None:
        """What `save` wrote; ``None`` if nothing, and, with a warning, if it is damaged."""
        path = self.path(request)
        if not path.exists():
            return None
        try:
            # Opened here, as NumPy leaves a damaged file open.
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                return _from_arrays({name: archive[name] for name in archive.files}, source)
        # A damaged archive makes NumPy raise nearly anything.
        except Exception as error:
            message = f"cached codes {str(path)!r} are damaged and computed again: {error}"
            warnings.warn(message, DamagedCodesWarning, stacklevel=3)
            return None

    def save(self, request: CodeRequest, reading: Reading) -> None:
        """Writes a file whole or not at all.

        Raises:
          OSError: the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.folder, suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, allow_pickle=False, **_to_arrays(reading))
            os.replace(temporary, self.path(request))
        except BaseException:
            os.unlink(temporary)
            raise


def _to_arrays(reading: Reading) -> dict[str, np.ndarray]:
    return {
        "codes": reading.codes,
        "activations": reading.activations,
        "places": reading.places,
        "indices": reading.indices,
        "skipped": np.array([image.index for image in reading.skipped], np.int64),
        "reasons": np.array([image.reason for image in reading.skipped], np.str_),
    }


def _from_arrays(arrays: dict[str, np.ndarray], source: ImageSource) -> Reading:
    if {name: values.ndim for name, values in arrays.items()} != _RANKS:
        raise ValueError(f"it holds {sorted(arrays)}, not {sorted(_RANKS)}")
    rows = [len(arrays[name]) for name in ("codes", "activations", "places", "indices")]
    if len(set(rows)) != 1 or rows[0] + len(arrays["skipped"]) != len(source):
        raise ValueError(f"its arrays have {rows} rows, the source has {len(source)} images")
    skipped = zip(arrays["skipped"].tolist(), arrays["reasons"].tolist(), strict=True)
    return Reading(
        arrays["codes"],
        arrays["activations"],
        arrays["places"],
        arrays["indices"],
        tuple(SkippedImage(index, source.names[index], reason) for index, reason in skipped),
    )
