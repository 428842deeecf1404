"""Antialiased bilinear resizing, pixel by pixel in float64, from the definition of the filter."""

import numpy as np


def _weights(source: int, target: int) -> np.ndarray:
    """Rows of a triangle filter as wide as the larger of the two pixel sizes."""
    scale = source / target
    width = max(scale, 1.0)
    matrix = np.zeros((target, source))
    for i in range(target):
        center = (i + 0.5) * scale
        for j in range(source):
            matrix[i, j] = max(0.0, 1.0 - abs(j + 0.5 - center) / width)
        matrix[i] /= matrix[i].sum()
    return matrix


def triangle_resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`image` ``(h, w, c)`` resized to `size`, not rounded."""
    rows, columns = _weights(image.shape[0], size[0]), _weights(image.shape[1], size[1])
    return np.einsum("ij,jkc,lk->ilc", rows, image.astype(np.float64), columns)
