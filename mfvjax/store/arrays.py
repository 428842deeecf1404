"""``arrays.npz``: named arrays as bytes and back, bit for bit, with nothing pickled."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

_PLANES = ".planes"


def pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Compressed npz; the same arrays give the same bytes.

    Raises:
      ValueError: an array holds Python objects.
    """
    buffer = io.BytesIO()
    stored = dict(_planes(name, array) for name, array in arrays.items())
    np.savez_compressed(buffer, allow_pickle=False, **stored)  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, np.ndarray]:
    """The arrays that `pack` packed.

    Raises:
      ValueError: the bytes are not an npz, or hold Python objects.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            return dict(_values(name, stored[name]) for name in stored.files)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise ValueError(f"not the arrays of a run: {error}") from error


def _planes(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    """Float images by planes of bytes: their signs and exponents then pack to almost nothing."""
    if array.dtype != np.float32 or array.ndim < 4:
        return name, array
    values = np.ascontiguousarray(array, "<f4")[..., None].view(np.uint8)
    return name + _PLANES, np.moveaxis(values, -1, 0)


def _values(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    if not name.endswith(_PLANES):
        return name, array
    values = np.moveaxis(array, 0, -1).copy().view("<f4")[..., 0]
    return name.removesuffix(_PLANES), np.ascontiguousarray(values, np.float32)
