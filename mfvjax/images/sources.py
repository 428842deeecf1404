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
from jaxtyping import Num

from mfvjax.domain import RGB, Domain
from mfvjax.images.decode import Decoding, check_pictures, from_rgb
from mfvjax.images.unreadable import UnreadableImageError

Path: TypeAlias = str | os.PathLike[str]


class ImageSource(abc.ABC):
    """Images that are read one at a time, by index from 0, from any number of threads.

    Attributes:
      names: a stable identifier of each image.
      labels: the class of each image; ``None`` where the source does not know it.
      decoding: how stored bytes become RGB; ``None`` where nothing is decoded.
      domain: what the images are.
      address: the folder, file or other text by which the source was opened; ``None`` if only from
        objects in memory.
    """

    names: Sequence[str]
    labels: Sequence[str] | None = None
    decoding: Decoding | None = None
    domain: Domain = RGB
    address: str | None = None

    def __len__(self) -> int:
        return len(self.names)

    @abc.abstractmethod
    def read(self, index: int) -> Num[np.ndarray, "height width channels"]:
        """One image of the domain, upright, of `Domain.dtype`.

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


def joint_fingerprint(source: ImageSource, indices: Sequence[int]) -> str:
    """SHA-256 over the names and contents of some images, in the order given.

    Raises:
      UnreadableImageError: an image is missing.
    """
    digest = hashlib.sha256()
    for index, fingerprint in zip(indices, fingerprints(source, indices), strict=True):
        digest.update(f"{source.names[index]}\0{fingerprint}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


class EncodedSource(ImageSource):
    """Base of sources that hold encoded images.

    Args:
      names: of the images.
      labels: the class of each image.
      decoding: how bytes become RGB.
      domain: of the images; RGB is turned into grey for it. See `mfvjax.images.decode.from_rgb`.

    Raises:
      ValueError: the domain is of no pictures.
    """

    def __init__(
        self,
        names: Sequence[str],
        labels: Sequence[str] | None,
        decoding: Decoding | None,
        domain: Domain = RGB,
    ):
        check_pictures(domain)
        self.domain = domain
        self.names = names
        self.labels = labels
        self.decoding: Decoding = Decoding() if decoding is None else decoding

    @abc.abstractmethod
    def encoded(self, index: int) -> bytes:
        """The encoded image; raises ``UnreadableImageError`` where it is missing."""

    def read(self, index: int) -> Num[np.ndarray, "height width channels"]:
        """Decodes one image, upright; raises ``UnreadableImageError``."""
        picture = self.decoding.decode(self.encoded(index), name=self.names[index])
        return from_rgb(picture, self.domain)

    def fingerprint(self, index: int) -> str:
        """SHA-256 of the encoded image; raises ``UnreadableImageError``."""
        return hashlib.sha256(self.encoded(index)).hexdigest()


class ArraySource(ImageSource):
    """Images that are in memory already; named by their index.

    Args:
      images: arrays ``(height, width, channels)``, or ``(height, width)`` where there is one
        channel, integer or float. Where the domain `Domain.is_8bit`, floats are rounded to whole
        grey levels when they are read; else they stay floats.
      domain: what the images are.

    Raises:
      ValueError: there is none, or one has another shape or dtype.
    """

    def __init__(self, images: Sequence[Any] | np.ndarray, domain: Domain = RGB):
        self.domain = domain
        if isinstance(images, np.ndarray) and domain.channels == 1 and images.ndim == 3:
            _check_is_batch(images)
        self._images = [_with_channels(np.asarray(image), domain) for image in images]
        if not self._images:
            raise ValueError("there are no images in the array")
        for index, image in enumerate(self._images):
            _check_image(index, image, domain)
        self.names = [str(index) for index in range(len(self._images))]

    def read(self, index: int) -> Num[np.ndarray, "height width channels"]:
        """The image; rounded to whole grey levels if the domain `Domain.is_8bit`.

        Raises:
          UnreadableImageError: a value is not in the domain's range, or the values are floats,
            the range is [0, 255] and none is above 1, as if they were in [0, 1].
        """
        image = self._images[index]
        if image.dtype == self.domain.dtype == np.uint8:
            return image
        low, high = image.min(), image.max()
        if not self.domain.holds(image if self.domain.is_8bit else image.astype(np.float32)):
            wanted = f"[{self.domain.low:g}, {self.domain.high:g}]"
            reason = f"its values reach from {low} to {high}, not within {wanted}"
            if self.domain != RGB:
                reason += f": the domain is {self.domain}"
            raise UnreadableImageError(self.names[index], reason)
        if not self.domain.is_8bit:
            return image.astype(np.float32)
        if image.dtype.kind == "f" and 0 < high <= 1:
            reason = f"its largest value is {high}: levels are in [0, 255], not [0, 1]"
            raise UnreadableImageError(self.names[index], reason)
        return np.rint(image).astype(np.uint8)

    def fingerprint(self, index: int) -> str:
        """SHA-256 of the array's shape, dtype and values."""
        image = self._images[index]
        header = f"{image.shape} {image.dtype.str} ".encode()
        return hashlib.sha256(header + image.tobytes()).hexdigest()


def _check_is_batch(images: np.ndarray) -> None:
    if images.shape[-1] == 1:
        raise ValueError(
            f"an array of the shape {images.shape} may be one image or many that are one pixel "
            "wide; give (images, height, width, 1)"
        )


def _with_channels(image: np.ndarray, domain: Domain) -> np.ndarray:
    return image[..., None] if image.ndim == 2 and domain.channels == 1 else image


def _check_image(index: int, image: np.ndarray, domain: Domain) -> None:
    if image.ndim != 3 or image.shape[-1] != domain.channels or 0 in image.shape:
        raise ValueError(
            f"image {index} has the shape {image.shape}, but (height, width, {domain.channels}) is "
            f"needed: the domain is {domain}; a batch has the shape (images, height, width, "
            f"{domain.channels})"
        )
    if image.dtype.kind not in "uif":
        raise ValueError(f"image {index} has the dtype {image.dtype}, not numbers")


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
        self.domain = source.domain

    @functools.cached_property
    def labels(self) -> Sequence[str] | None:  # type: ignore[override]
        """The class of each image, where the other source knows it."""
        labels = self.source.labels
        return None if labels is None else [labels[index] for index in self.indices]

    def read(self, index: int) -> Num[np.ndarray, "height width channels"]:
        """One image, upright; raises ``UnreadableImageError``."""
        return self.source.read(self.indices[index])

    def fingerprint(self, index: int) -> str:
        """SHA-256 of the image as it is stored; raises ``UnreadableImageError``."""
        return self.source.fingerprint(self.indices[index])
