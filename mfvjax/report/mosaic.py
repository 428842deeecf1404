"""The map as one picture: every thumbnail at its place, framed in its facet's color.

For paper: a browser that prints a thousand pieces of one sheet writes the sheet a thousand times.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int, UInt8

from mfvjax.report.colors import facet_color
from mfvjax.report.embed import resize


def thumbnail_side(num_images: int) -> float:
    """Side of a thumbnail in sides of the map: together they would cover about 0.4 of it."""
    return min(max(math.sqrt(0.4 / num_images), 0.022), 0.075)


def mosaic(
    thumbnails: UInt8[np.ndarray, "n t t 3"],
    points: Float[np.ndarray, "n 2"],
    assignment: Int[np.ndarray, " n"],
    *,
    size: int,
) -> UInt8[np.ndarray, "{size} {size} 4"]:
    """Paints the thumbnails on nothing (RGB and opacity), facet after facet.

    Args:
      thumbnails: of the images.
      points: centers in the unit square, y down; what hangs over the edge is cut off.
      assignment: facet of each image.
      size: side of the picture in pixels.
    """
    cell = max(round(thumbnail_side(len(points)) * size), 1)
    frame = max(round(0.0022 * size), 1)
    whole = cell + 2 * frame
    # A rim as wide as half a thumbnail keeps the loop free of cases; it is cut off at the end.
    rim = whole // 2 + 1
    canvas = np.zeros((size + 2 * rim, size + 2 * rim, 4), np.uint8)
    for i in np.argsort(assignment, kind="stable"):
        color = facet_color(int(assignment[i]))
        left, top = np.rint(points[i] * size).astype(int) + rim - whole // 2
        tile = canvas[top : top + whole, left : left + whole]
        tile[:] = [*(int(color[at : at + 2], 16) for at in (1, 3, 5)), 255]
        tile[frame:-frame, frame:-frame, :3] = resize(thumbnails[i], (cell, cell))
    return canvas[rim:-rim, rim:-rim]
