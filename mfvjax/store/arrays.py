"""``arrays.npz``: named arrays as bytes and back, bit for bit, with nothing pickled."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

MAX_BYTES = 2**34
"""Of all arrays of a run, unpacked; ten facets of a thousand images take a hundredth of it."""

_PLANES = ".planes"
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


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

    What an array claims to be is compared with the bytes that there are before it is made.

    Raises:
      ValueError: the bytes are not an npz, or hold Python objects, or an array that is longer than
        its bytes; or all are more than `MAX_BYTES`.
    """
    try:
        _check_sizes(data)
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            return dict(_values(name, stored[name]) for name in stored.files)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
        raise ValueError(f"not the arrays of a run: {error}") from error


def _check_sizes(data: bytes) -> None:
    """Refuses archives that unpack to more than a run, and headers that promise what is not there.

    `numpy.load` would take memory for all that a header promises.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > MAX_BYTES:
            raise ValueError(f"arrays of more than {MAX_BYTES} bytes, which no run has")
        for member in members:
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                if version not in _READ_HEADER:
                    raise ValueError(f"array {name!r} has a header of version {version}")
                shape, _, dtype = _READ_HEADER[version](file)
                there = member.file_size - file.tell()
            if not dtype.hasobject and math.prod(shape) * dtype.itemsize != there:
                raise ValueError(
                    f"array {name!r} says that its shape is {shape} of {dtype}, but has {there} "
                    "bytes"
                )


def _planes(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    """Float images by planes of bytes: their signs and exponents then pack to almost nothing."""
    if array.dtype != np.float32 or array.ndim < 4:
        return name, array
    values = np.ascontiguousarray(array, "<f4")[..., None].view(np.uint8)
    return name + _PLANES, np.moveaxis(values, -1, 0)


def _values(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    if not name.endswith(_PLANES):
        return name, array
    if array.dtype != np.uint8 or array.ndim < 5 or len(array) != 4:
        raise ValueError(f"{name} has the shape {array.shape}, which is not of planes of float32")
    values = np.moveaxis(array, 0, -1).copy().view("<f4")[..., 0]
    return name.removesuffix(_PLANES), np.ascontiguousarray(values, np.float32)
