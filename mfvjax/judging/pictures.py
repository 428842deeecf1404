"""The pictures of a run as a judge takes them: cut as for own scores, resized, in its range."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int, Num

from mfvjax.domain import Domain
from mfvjax.images.resize import ResizeRule
from mfvjax.run import Run


def check_domain(domain: Domain, judge_domain: Domain, judge_name: str) -> None:
    """Raises ``ValueError`` where a judge cannot see images of `domain` as its own.

    Photographs and grey pictures of another range are brought to the judge's; other values, such as
    a spectrogram's decibels, mean something and must agree.
    """
    alike = domain.is_picture and domain.kind == judge_domain.kind
    if domain != judge_domain and not alike:
        raise ValueError(
            f"judge {judge_name!r} takes {judge_domain}, but the images of the run are {domain}"
        )


def for_judge(
    images: Num[np.ndarray, "n h w c"],
    domain: Domain,
    *,
    size: tuple[int, int],
    judge_domain: Domain,
) -> Float32[np.ndarray, "n height width c"]:
    """Images resized to a judge's input, in its range; no pixel is outside it.

    Pillow's bilinear filter, which averages where it shrinks. Pictures keep their proportions: the
    shorter side fits, and the center is cut out; other images are warped.

    Args:
      images: of `domain`.
      domain: see `check_domain`.
      size: ``(height, width)`` of the judge's input.
      judge_domain: of its images.
    """
    rule = ResizeRule(size, warp=not domain.is_picture)
    clipped = images.astype(np.float32).clip(np.float32(domain.low), np.float32(domain.high))
    resized = np.stack([rule.apply(image) for image in clipped])
    if domain == judge_domain:
        return resized
    levels = (resized - np.float32(domain.low)) * np.float32(judge_domain.span / domain.span)
    moved = levels + np.float32(judge_domain.low)
    return moved.clip(np.float32(judge_domain.low), np.float32(judge_domain.high))


def shown_windows(run: Run) -> Num[np.ndarray, "k h w c"]:
    """The center of each final canvas, of the size of the mean images: what own scores look at."""
    return center_windows(run.shown.images, run.facets.mean_images.shape[1:3])


def center_windows(
    images: Num[np.ndarray, "n height width c"], size: tuple[int, ...]
) -> Num[np.ndarray, "n h w c"]:
    """The center of each canvas, `size` ``(height, width)`` or as large as the canvas is."""
    height, width = (min(*sides) for sides in zip(images.shape[1:3], size, strict=True))
    top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
    return images[:, top : top + height, left : left + width]


def real_images(run: Run) -> tuple[Num[np.ndarray, "n h w c"], Int[np.ndarray, " n"]]:
    """The real images nearest to each facet's center, without blanks, and the facet of each."""
    there = run.facets.nearest >= 0
    return run.facets.nearest_images[there], np.nonzero(there)[0]
