"""Projections of Yosinski et al. 2015, pixel by pixel in float64, after their published toolbox."""

from __future__ import annotations

import numpy as np


def small_norm(window, zero, percentile):
    """Pixels whose color is shorter than the percentile of all colors become zero."""
    apart = window - zero
    norms = np.array([[np.linalg.norm(color) for color in row] for row in apart])
    return _with_zeros(window, zero, norms < np.percentile(norms, percentile))


def small_contribution(window, zero, gradient, percentile):
    """Pixels that would change the objective least, set to zero, are so."""
    change = np.zeros(window.shape[:2])
    for place in np.ndindex(change.shape):
        change[place] = abs(float(np.dot(zero - window[place], gradient[place])))
    return _with_zeros(window, zero, change < np.percentile(change, percentile))


def _with_zeros(window, zero, is_small):
    result = window.copy()
    for place in np.argwhere(is_small):
        result[tuple(place)] = zero
    return result
