"""Signed distances of plane shapes: negative inside, in the units of the coordinates given.

Ellipses and unions are first-order approximations, exact on the outline, where they matter.
Formulas: Inigo Quilez, "2D distance functions".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from mfvjax.facetworld.canvas import Plane

Distance: TypeAlias = Plane


def disc(x: Plane, y: Plane, radius: float) -> Plane:
    """Distance to a circle around the origin."""
    return np.sqrt(x * x + y * y) - radius


def ellipse(x: Plane, y: Plane, radius_x: float, radius_y: float) -> Plane:
    """Distance to an axis-aligned ellipse around the origin (exact on the outline only)."""
    u, v = x / radius_x, y / radius_y
    length = np.sqrt(u * u + v * v)
    slope = np.sqrt((u / radius_x) ** 2 + (v / radius_y) ** 2) + 1e-6
    return length * (length - 1) / slope


def box(x: Plane, y: Plane, half_width: float, half_height: float, corner: float = 0.0) -> Plane:
    """Distance to a rectangle around the origin whose corners are rounded with radius `corner`."""
    across = np.abs(x) - (half_width - corner)
    down = np.abs(y) - (half_height - corner)
    outside = np.sqrt(np.maximum(across, 0) ** 2 + np.maximum(down, 0) ** 2)
    return outside + np.minimum(np.maximum(across, down), 0) - corner


def stroke(
    x: Plane, y: Plane, start: tuple[float, float], end: tuple[float, float], *radii: float
) -> Plane:
    """Distance to a thick line with round ends.

    Args:
      x: abscissae.
      y: ordinates.
      start: one end ``(x, y)``.
      end: the other end.
      *radii: half the thickness; with two, at the start and at the end.
    """
    span_x, span_y = end[0] - start[0], end[1] - start[1]
    along = ((x - start[0]) * span_x + (y - start[1]) * span_y) / (span_x**2 + span_y**2 + 1e-9)
    along = np.clip(along, 0, 1)
    across, down = x - start[0] - along * span_x, y - start[1] - along * span_y
    return np.sqrt(across * across + down * down) - (radii[0] + (radii[-1] - radii[0]) * along)


def curve(x: Plane, y: Plane, points: Sequence[tuple[float, float]], *radii: float) -> Plane:
    """Distance to a thick line through `points`, as thick on the way as `radii` say in turn."""
    marks = np.linspace(0, len(radii) - 1, len(points))
    widths = np.interp(marks, np.arange(len(radii)), radii)
    parts = [
        stroke(x, y, points[i], points[i + 1], widths[i], widths[i + 1])
        for i in range(len(points) - 1)
    ]
    return np.minimum.reduce(parts)


def polygon(x: Plane, y: Plane, points: Sequence[tuple[float, float]]) -> Plane:
    """Distance to a polygon, convex or not, its corners in either order."""
    nearest = np.full_like(x, np.inf)
    inside = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        span_x, span_y = x1 - x0, y1 - y0
        from_x, from_y = x - np.float32(x0), y - np.float32(y0)
        along = (from_x * span_x + from_y * span_y) / (span_x**2 + span_y**2 + 1e-12)
        along = np.clip(along, 0, 1)
        square = (from_x - along * span_x) ** 2 + (from_y - along * span_y) ** 2
        nearest = np.minimum(nearest, square)
        if y0 != y1:
            inside ^= ((y >= y0) != (y >= y1)) & (from_x < from_y * (span_x / span_y))
    return np.where(inside, -1, 1).astype(np.float32) * np.sqrt(nearest)


def melt(first: Plane, second: Plane, width: float) -> Plane:
    """Union of two shapes whose seam is filled over about `width`."""
    blend = np.clip(0.5 + 0.5 * (second - first) / width, 0, 1)
    return second + (first - second) * blend - width * blend * (1 - blend)


def outside(*distances: Distance) -> Distance:
    """Intersection of shapes: one is outside it as far as outside the farthest of them."""
    return np.maximum.reduce(np.broadcast_arrays(*distances))


def wave(places: Plane, period: float) -> Plane:
    """A sine between -1 and 1 that repeats every `period`."""
    return np.sin(places * np.float32(2 * np.pi / period))


def stripe(places: Plane, period: float) -> Plane:
    """Distance to the middle of a repeated cell, in cells: 0 in the middle, 0.5 on the edges."""
    return np.abs(np.mod(places / np.float32(period), 1) - np.float32(0.5))
