"""From a source to batches of one size: decoded in parallel, bounded in memory."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Int, Num

from mfvjax.images.resize import ResizeRule, ResizeShorter
from mfvjax.images.sources import ImageSource, checked_indices
from mfvjax.images.unreadable import (
    SkippedImage,
    UnreadableImageError,
    check_limit,
    check_unreadable,
)

OnError: TypeAlias = Literal["skip", "raise"]


@dataclasses.dataclass(frozen=True)
class Batch:
    """Images of one size, padded with black images to the same number in every batch.

    Attributes:
      images: of the source's domain and its `Domain.dtype`; the first `count` are real, the others
        are the domain's lowest value.
      indices: in the source, of the real ones, ascending if they were asked for so.
      skipped: images between these, or after the last, that could not be read.
    """

    images: Num[np.ndarray, "batch height width channels"]
    indices: Int[np.ndarray, " count"]
    skipped: tuple[SkippedImage, ...] = ()

    @property
    def count(self) -> int:
        """Number of real images."""
        return len(self.indices)


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What `load_images` read and what it could not.

    Attributes:
      indices: in the source, of the images that were loaded, row by row.
      skipped: the images that could not be read.
    """

    indices: Int[np.ndarray, " images"]
    skipped: tuple[SkippedImage, ...] = ()


def iterate_batches(
    source: ImageSource,
    *,
    size: tuple[int, int],
    batch_size: int,
    indices: Sequence[int] | np.ndarray | None = None,
    resize_shorter: ResizeShorter = "fit",
    warp: bool = False,
    on_error: OnError = "skip",
    max_unreadable: float = 1.0,
    num_workers: int | None = None,
) -> Iterator[Batch]:
    """Reads, resizes and crops images in threads, and yields them in order.

    At most two batches of finished crops and one decoded image per worker are in memory. Decoding
    of the next batches goes on while the caller works on one. Batches are filled with readable
    images; the last one may be shorter, or hold nothing but its report of skipped images.

    Args:
      source: where the images come from.
      size: ``(height, width)`` of every image.
      batch_size: images in a batch, at least 1.
      indices: images to read; all unless given.
      resize_shorter: see ``ResizeRule``.
      warp: see ``ResizeRule``.
      on_error: what to do with an unreadable image.
      max_unreadable: the largest share of the images that may be skipped; as soon as there are
        more, nothing more is read.
      num_workers: decoding threads; the number of processors, at most 16, unless given.

    Raises:
      IndexError: an index is outside the source.
      TooManyUnreadableError: more than `max_unreadable` of the images are unreadable.
      TypeError: the source gives an image that is not of its own domain.
      UnreadableImageError: an image is unreadable and `on_error` is ``"raise"``.
      ValueError: a number is below 1, `on_error` is neither, `max_unreadable` is no share, or the
        rule is not possible.
    """
    check_limit(max_unreadable)
    if on_error not in ("skip", "raise"):
        raise ValueError(f"on_error must be 'skip' or 'raise', not {on_error!r}")
    num_workers = min(os.cpu_count() or 1, 16) if num_workers is None else num_workers
    if batch_size < 1 or num_workers < 1:
        raise ValueError(f"batch_size={batch_size} and num_workers={num_workers} must be >= 1")
    rule = ResizeRule(size, resize_shorter, warp)
    chosen = range(len(source)) if indices is None else checked_indices(source, indices)
    return _iterate(source, rule, chosen, batch_size, on_error, max_unreadable, num_workers)


def load_images(
    source: ImageSource,
    indices: Sequence[int] | np.ndarray | None = None,
    *,
    size: tuple[int, int],
    resize_shorter: ResizeShorter = "fit",
    warp: bool = False,
    on_error: OnError = "raise",
    num_workers: int | None = None,
) -> tuple[Num[np.ndarray, "images height width channels"], LoadReport]:
    """Reads images into one array of the source's `Domain.dtype`, in the order of `indices`.

    Args:
      source: where the images come from.
      indices: images to read; all unless given.
      size: ``(height, width)`` of every image.
      resize_shorter: see ``ResizeRule``.
      warp: see ``ResizeRule``.
      on_error: what to do with an unreadable image; skipped ones have no row.
      num_workers: decoding threads; see `iterate_batches`.

    Raises:
      IndexError: an index is outside the source.
      UnreadableImageError: an image is unreadable and `on_error` is ``"raise"``.
      ValueError: as `iterate_batches`.
    """
    batches = iterate_batches(
        source,
        size=size,
        batch_size=64,
        indices=indices,
        resize_shorter=resize_shorter,
        warp=warp,
        on_error=on_error,
        num_workers=num_workers,
    )
    count = len(source) if indices is None else len(indices)
    images = np.zeros((count, *size, source.domain.channels), source.domain.dtype)
    kept: list[int] = []
    skipped: list[SkippedImage] = []
    for batch in batches:
        images[len(kept) : len(kept) + batch.count] = batch.images[: batch.count]
        kept.extend(batch.indices.tolist())
        skipped.extend(batch.skipped)
    return images[: len(kept)], LoadReport(np.array(kept, np.int64), tuple(skipped))


def _iterate(
    source: ImageSource,
    rule: ResizeRule,
    chosen: Sequence[int],
    batch_size: int,
    on_error: OnError,
    max_unreadable: float,
    num_workers: int,
) -> Iterator[Batch]:
    images: list[np.ndarray] = []
    indices: list[int] = []
    skipped: list[SkippedImage] = []
    skipped_so_far: list[SkippedImage] = []
    domain = source.domain

    def finish() -> Batch:
        batch = np.full((batch_size, *rule.size, domain.channels), domain.low, domain.dtype)
        for row, image in enumerate(images):
            batch[row] = image
        done = Batch(batch, np.array(indices, np.int64), tuple(skipped))
        for values in (images, indices, skipped):
            values.clear()  # type: ignore[attr-defined]
        return done

    # Closed at once, not at some later time, when the caller stops or an image is refused.
    crops = _read_ahead(source, rule, chosen, 2 * batch_size, num_workers)
    with contextlib.closing(crops):
        for index, result in crops:
            if isinstance(result, UnreadableImageError):
                if on_error == "raise":
                    raise result
                skipped.append(SkippedImage(index, result.name, result.reason))
                skipped_so_far.append(skipped[-1])
                check_unreadable(skipped_so_far, len(chosen), max_unreadable)
                continue
            images.append(result)
            indices.append(index)
            if len(images) == batch_size:
                yield finish()
    if images or skipped:
        yield finish()


def _read_ahead(
    source: ImageSource, rule: ResizeRule, chosen: Sequence[int], ahead: int, num_workers: int
) -> Generator[tuple[int, np.ndarray | UnreadableImageError], None, None]:
    """Yields crops, or why there is none, in order; at most `ahead` are waiting or under way."""

    def read(index: int) -> np.ndarray | UnreadableImageError:
        try:
            return rule.apply(_checked(source, index, source.read(index)))
        except UnreadableImageError as error:
            return error

    executor = ThreadPoolExecutor(num_workers, thread_name_prefix="mfvjax-decode")
    waiting: collections.deque[tuple[int, Future]] = collections.deque()
    try:
        for index in chosen:
            waiting.append((index, executor.submit(read, index)))
            if len(waiting) >= ahead:
                index, future = waiting.popleft()
                yield index, future.result()
        while waiting:
            index, future = waiting.popleft()
            yield index, future.result()
    finally:
        # Also when the caller stops early: what has not begun never will.
        executor.shutdown(wait=True, cancel_futures=True)


def _checked(source: ImageSource, index: int, image: np.ndarray) -> np.ndarray:
    """The image, if it is what its source says: a user's source may be mistaken."""
    domain = source.domain
    if image.ndim != 3 or image.shape[2] != domain.channels or image.dtype != domain.dtype:
        raise TypeError(
            f"image {source.names[index]!r} is {image.dtype} of the shape {image.shape}, but its "
            f"source is {domain}: {domain.dtype}, (height, width, {domain.channels})"
        )
    return image
