"""Views as SciPy samples them, in float64."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def bilinear(image, transform, size):
    """Samples of an image at ``matrix @ pixel + offset``, one channel after the other."""
    matrix, offset = (np.asarray(part, np.float64) for part in transform)
    pixels = np.moveaxis(np.indices(size, float), 0, -1)
    places = pixels @ matrix.T + offset
    channels = np.moveaxis(np.asarray(image, np.float64), -1, 0)
    coordinates = np.moveaxis(places, -1, 0)
    return np.stack(
        [ndimage.map_coordinates(c, coordinates, order=1, mode="nearest") for c in channels], -1
    )
