"""Whether a visualization has its facet's colors: a distance between two sets of pixels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real

from mfvjax.domain import RGB, Domain
from mfvjax.metrics.lab import rgb_to_lab


def color_distance(
    image: Real[np.ndarray, "height width 3"],
    real_images: Real[np.ndarray, "m h w 3"],
    *,
    num_pixels: int = 8192,
    num_directions: int = 64,
    seed: int = 0,
    domain: Domain = RGB,
) -> float:
    """How far the colors of `image` are from those of real images, wherever in the image they are.

    The sliced Wasserstein distance of their pixels in CIE L*a*b*, see `sliced_wasserstein`. Compare
    it with that of a control: an image of the same unit that was started from noise.

    Args:
      image: RGB.
      real_images: of its facet, at least one; leave out rows that only pad.
      num_pixels: as many are drawn from each side (all, if there are fewer), spread evenly in
        raster order. With the default two draws from one photograph differ by about 0.2.
      num_directions: see `sliced_wasserstein`.
      seed: of the draw.
      domain: of the images.

    Returns: L*a*b* units, at least 0: shifting all pixels by a color difference ΔE gives that ΔE.

    Raises:
      ValueError: no real image, `num_pixels` < 1, or the domain is not of RGB images.
    """
    if real_images.size == 0 or num_pixels < 1:
        raise ValueError(
            f"real_images and num_pixels must be at least one, got {real_images.shape[0]} images "
            f"and {num_pixels} pixels"
        )
    sides = [_draw(pixels, num_pixels, seed) for pixels in (image, real_images)]
    points, others = (rgb_to_lab(side, domain=domain) for side in sides)
    return sliced_wasserstein(points, others, num_directions=num_directions)


def sliced_wasserstein(
    points: Float[np.ndarray, "n 3"],
    others: Float[np.ndarray, "m 3"],
    *,
    num_directions: int = 64,
) -> float:
    """Twice the mean Wasserstein-1 distance of two point sets projected on directions in space.

    In one dimension the Wasserstein-1 distance is the area between the two distribution functions.
    The directions are a spiral over a half sphere, fixed and nearly uniform. The factor 2 makes
    a shift by a vector t cost |t|, since ``|cos|`` is 1/2 on average over directions in space; with
    64 directions the cost is |t| within 1 %.

    Raises:
      ValueError: a set is empty or not finite, or `num_directions` < 1.

    References: Rabin et al. 2011, "Wasserstein barycenter and its application to texture mixing"
      (sliced distance); Gonzalez 2010 (spiral of equal areas); one dimension as
      ``scipy.stats.wasserstein_distance``.
    """
    if num_directions < 1:
        raise ValueError(f"num_directions must be at least 1, got {num_directions}")
    for points_of_one in (points, others):
        if len(points_of_one) == 0 or not np.isfinite(points_of_one).all():
            raise ValueError("sliced_wasserstein needs points on both sides, all finite")
    directions = _directions(num_directions)
    first = np.sort(directions @ points.T, axis=1)
    second = np.sort(directions @ others.T, axis=1)
    return float(2 * _area_between(first, second).mean())


def _area_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Per row, the area between the quantile functions of sorted values, n and m of them."""
    n, m = first.shape[1], second.shape[1]
    if n == m:
        return np.abs(first - second).mean(1)
    # Both are steps: constant between neighbors among all multiples of 1/n and 1/m. In units of
    # 1/(n m) these are integers.
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    widths, starts = np.diff(edges), edges[:-1]
    gaps = np.abs(first[:, starts // m] - second[:, starts // n])
    return gaps @ (widths / (n * m))


def _directions(count: int) -> np.ndarray:
    """``(count, 3)`` unit vectors over the upper half sphere, each for an equal area."""
    golden_angle = np.pi * (3 - np.sqrt(5))
    up = (np.arange(count) + 0.5) / count
    angle = golden_angle * np.arange(count)
    around = np.sqrt(1 - up**2)
    return np.stack([around * np.cos(angle), around * np.sin(angle), up], axis=1)


def _draw(images: np.ndarray, count: int, seed: int) -> np.ndarray:
    """At most `count` pixels, one at random from each of `count` equal stretches."""
    pixels = images.reshape(-1, 3)
    if len(pixels) <= count:
        return pixels
    within = np.random.default_rng(seed).random(count)
    return pixels[((np.arange(count) + within) * (len(pixels) / count)).astype(np.int64)]
