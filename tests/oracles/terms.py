"""Terms of objectives written as loops, in float64."""

from __future__ import annotations

import itertools

import numpy as np


def statistics(activation, positions=None):
    """Mean and deviation of each channel of ``(h, w, c)`` or ``(tokens, c)``."""
    columns = np.asarray(activation, np.float64).reshape(-1, np.shape(activation)[-1]).T
    weights = np.ones(columns.shape[1]) if positions is None else np.asarray(positions)
    means = [np.average(column, weights=weights) for column in columns]
    deviations = [
        np.sqrt(np.average((column - mean) ** 2, weights=weights))
        for column, mean in zip(columns, means, strict=True)
    ]
    return np.array(means), np.array(deviations)


def statistics_distance(activation, means, deviations, positions=None):
    """Relative squared distances of means and of deviations, added."""
    total = 0.0
    for found, wanted in zip(statistics(activation, positions), (means, deviations), strict=True):
        total += ((found - wanted) ** 2).sum() / (np.asarray(wanted) ** 2).sum()
    return total


def gram(activation):
    """Mean over positions of the product of each two channels."""
    flat = np.asarray(activation, np.float64).reshape(-1, np.shape(activation)[-1])
    count = flat.shape[1]
    result = np.zeros((count, count))
    for a, b in np.ndindex(count, count):
        result[a, b] = np.mean([place[a] * place[b] for place in flat])
    return result


def diversity(activations, groups):
    """Of each facet: minus its likeness to each other facet of its group, over the group's size."""
    values = np.zeros(len(activations))
    for a, b in itertools.permutations(range(len(activations)), 2):
        if groups[a] == groups[b]:
            one, other = gram(activations[a]), gram(activations[b])
            likeness = (one * other).sum() / (np.linalg.norm(one) * np.linalg.norm(other))
            values[a] -= likeness / list(groups).count(groups[a])
    return values


def alpha_norm(window, zero, alpha, bound):
    """Mahendran & Vedaldi's ``R_alpha``: norms of colors, relative to `bound`."""
    height, width, _ = window.shape
    total = 0.0
    for row, column in np.ndindex(height, width):
        total += (np.linalg.norm(window[row, column] - zero) / bound) ** alpha
    return total / (height * width)


def total_variation(window, beta, scale):
    """Mahendran & Vedaldi's ``R_TV``: forward differences, none beyond the last pixel."""
    height, width, channels = window.shape
    total = 0.0
    for row, column, channel in np.ndindex(height, width, channels):
        here = window[row, column, channel]
        down = window[row + 1, column, channel] - here if row + 1 < height else 0
        right = window[row, column + 1, channel] - here if column + 1 < width else 0
        total += ((down**2 + right**2) / scale**2) ** (beta / 2)
    return total / (height * width)


def patch_distance(window, patches, stride):
    """Mean squared difference of each patch from the nearest given one, over patches and pixels."""
    side = patches.shape[1]
    nearest = []
    for row in range(0, window.shape[0] - side + 1, stride):
        for column in range(0, window.shape[1] - side + 1, stride):
            found = window[row : row + side, column : column + side]
            nearest.append(min(((found - patch) ** 2).mean() for patch in patches))
    return np.mean(nearest)


def slope(function, point, step=1e-5):
    """Central difference quotients of a function of an array."""
    result = np.zeros_like(point)
    for place in np.ndindex(point.shape):
        ends = []
        for sign in (1, -1):
            moved = point.copy()
            moved[place] += sign * step
            ends.append(function(moved))
        result[place] = (ends[0] - ends[1]) / (2 * step)
    return result
