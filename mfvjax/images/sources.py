"""What an image source is, and two that need no more: arrays, and a selection of another source."""

from __future__ import annotations

import abc
import functools
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import UInt8

from mfvjax.images.decode import Decoding, UnreadableImageError

Path: TypeAlias = str | os.PathLike[str]


class ImageSource(abc.ABC):
    """Images that are read one at a time, by index from 0, from any number of threads.

    Attributes:
      names: a stable identifier of each image.
      labels: the class of each image; ``None`` where the source does not know it.
      decoding: how stored bytes become RGB; ``None`` where nothing is decoded.
    """

    names: Sequence[str]
    labels: Sequence[str] | None = None
    decoding: Decoding | None = None

    def __len__(self) -> int:
        return len(self.names)

    @abc.abstractmethod
    def read(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """One image, upright RGB.

        Raises:
          UnreadableImageError: the image is missing, broken or too large.
        """

    @abc.abstractmethod
    def fingerprint(self, index: int) -> str:
        """SHA-256 in hexadecimal of the image as it is stored.

        Raises:
          UnreadableImageError: the image is missing.
        """


def checked_indices(source: ImageSource, indices: Sequence[int] | np.ndarray) -> list[int]:
    """`indices` as plain numbers.

    Raises:
      IndexError: one is negative, or not below the number of images.
    """
    numbers = [int(index) for index in indices]
    for index in numbers:
        if not 0 <= index < len(source):
            raise IndexError(f"image index {index} is outside the source of {len(source)} images")
    return numbers


def fingerprints(source: ImageSource, indices: Sequence[int]) -> list[str]:
    """`ImageSource.fingerprint` of some images, in threads; raises as that does."""
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        return list(pool.map(source.fingerprint, indices))


class EncodedSource(ImageSource):
    """Base of sources that hold encoded images.

    Args:
      names: of the images.
      labels: the class of each image.
      decoding: how bytes become RGB.
    """

    def __init__(
        self, names: Sequence[str], labels: Sequence[str] | None, decoding: Decoding | None
    ):
        self.names = names
        self.labels = labels
        self.decoding: Decoding = Decoding() if decoding is None else decoding

    @abc.abstractmethod
    def encoded(self, index: int) -> bytes:
        """The encoded image; raises ``UnreadableImageError`` where it is missing."""

    def read(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """Decodes one image, upright RGB; raises ``UnreadableImageError``."""
        return self.decoding.decode(self.encoded(index), name=self.names[index])

    def fingerprint(self, index: int) -> str:
        """SHA-256 of the encoded image; raises ``UnreadableImageError``."""
        return hashlib.sha256(self.encoded(index)).hexdigest()


class ArraySource(ImageSource):
    """Images that are in memory already; named by their index.

    Args:
      images: arrays ``(height, width, 3)``, RGB in [0, 255], integer or float; floats are rounded
        to whole grey levels when they are read.

    Raises:
      ValueError: there is none, or one has another shape or dtype.
    """

    def __init__(self, images: Sequence[Any] | np.ndarray):
        self._images = [np.asarray(image) for image in images]
        if not self._images:
            raise ValueError("there are no images in the array")
        for index, image in enumerate(self._images):
            if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
                raise ValueError(
                    f"image {index} has the shape {image.shape}, but (height, width, 3) is needed; "
                    "a batch has the shape (images, height, width, 3)"
                )
            if image.dtype.kind not in "uif":
                raise ValueError(f"image {index} has the dtype {image.dtype}, not numbers")
        self.names = [str(index) for index in range(len(self._images))]

    def read(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """The image, rounded to whole grey levels.

        Raises:
          UnreadableImageError: a value is not in [0, 255], or the values are floats and none is
            above 1, as if they were in [0, 1].
        """
        image = self._images[index]
        if image.dtype == np.uint8:
            return image
        low, high = image.min(), image.max()
        if not (low >= 0 and high <= 255):  # true for NaN also
            reason = f"its values reach from {low} to {high}, not within [0, 255]"
            raise UnreadableImageError(self.names[index], reason)
        if image.dtype.kind == "f" and 0 < high <= 1:
            reason = f"its largest value is {high}: levels are in [0, 255], not [0, 1]"
            raise UnreadableImageError(self.names[index], reason)
        return np.rint(image).astype(np.uint8)

    def fingerprint(self, index: int) -> str:
        """SHA-256 of the array's shape, dtype and values."""
        image = self._images[index]
        header = f"{image.shape} {image.dtype.str} ".encode()
        return hashlib.sha256(header + image.tobytes()).hexdigest()


class SelectedSource(ImageSource):
    """Some of the images of another source, in a given order.

    Args:
      source: the other source.
      indices: into it.

    Raises:
      IndexError: an index is outside the source.
    """

    def __init__(self, source: ImageSource, indices: Sequence[int] | np.ndarray):
        self.source = source
        self.indices = checked_indices(source, indices)
        self.names = [source.names[index] for index in self.indices]
        self.decoding = source.decoding

    @functools.cached_property
    def labels(self) -> Sequence[str] | None:  # type: ignore[override]
        """The class of each image, where the other source knows it."""
        labels = self.source.labels
        return None if labels is None else [labels[index] for index in self.indices]

    def read(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """One image, upright RGB; raises ``UnreadableImageError``."""
        return self.source.read(self.indices[index])

    def fingerprint(self, index: int) -> str:
        """SHA-256 of the image as it is stored; raises ``UnreadableImageError``."""
        return self.source.fingerprint(self.indices[index])
