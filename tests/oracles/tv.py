"""Total variation the slow way: loops over pixels, a dual solver, and the energy itself."""

import math

import numpy as np


def release_loop(image, fidelity, num_sweeps, tolerance=None):
    """The released scripts' denoising of an ``(h, w, c)`` image, one pixel after another.

    Keeps d and b of every pixel, as the description of the method does. Returns the denoised image
    and the number of sweeps.
    """
    height, width, channels = image.shape
    penalty = 2 * fidelity
    u = np.zeros((height + 2, width + 2, channels))
    u[1:-1, 1:-1] = image
    u[0, 1:-1], u[-1, 1:-1] = image[1], image[-1]
    u[1:-1, 0], u[1:-1, -1] = image[:, 1], image[:, -1]
    d = np.zeros((2, height + 2, width + 2, channels))
    b = np.zeros_like(d)
    for count in range(1, num_sweeps + 1):
        squares = 0.0
        for r in range(1, height + 1):
            for c in range(1, width + 1):
                for k in range(channels):
                    old = u[r, c, k]
                    gradient = (u[r, c + 1, k] - old, u[r + 1, c, k] - old)
                    total = u[r + 1, c, k] + u[r - 1, c, k] + u[r, c + 1, k] + u[r, c - 1, k]
                    total += (d - b)[0, r, c - 1, k] - (d - b)[0, r, c, k]
                    total += (d - b)[1, r - 1, c, k] - (d - b)[1, r, c, k]
                    new = fidelity * image[r - 1, c - 1, k] + penalty * total
                    u[r, c, k] = new / (fidelity + 4 * penalty)
                    squares += (u[r, c, k] - old) ** 2
                    t = [g + b[axis, r, c, k] for axis, g in enumerate(gradient)]
                    size = math.hypot(*t) * penalty
                    for axis in range(2):
                        d[axis, r, c, k] = t[axis] * size / (size + 1)
                        b[axis, r, c, k] = t[axis] - d[axis, r, c, k]
        if tolerance is not None and math.sqrt(squares / image.size) <= tolerance:
            return u[1:-1, 1:-1], count
    return u[1:-1, 1:-1], num_sweeps


def dual_descent(image, fidelity, num_steps, isotropic=True):
    """Accelerated projected gradient on the dual of the energy, for an ``(h, w, c)`` image."""
    image = np.asarray(image, np.float64)
    p = np.zeros((2, *image.shape))
    q, momentum = p, 1.0
    for _ in range(num_steps):
        ahead = q + fidelity / 8 * forward_differences(image + divergence(q) / fidelity)
        size = np.hypot(*ahead) if isotropic else np.abs(ahead)
        new = ahead / np.maximum(size, 1)
        after = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        q = new + (momentum - 1) / after * (new - p)
        p, momentum = new, after
    return image + divergence(p) / fidelity


def forward_differences(image):
    """Differences to the right and down, ``(2, h, w, c)``; zero where there is no neighbor."""
    result = np.zeros((2, *image.shape))
    result[0, :, :-1] = image[:, 1:] - image[:, :-1]
    result[1, :-1] = image[1:] - image[:-1]
    return result


def divergence(p):
    """Minus the transpose of `forward_differences`."""
    result = p[0] + p[1]
    result[:, 1:] -= p[0, :, :-1]
    result[1:] -= p[1, :-1]
    return result


def energy(denoised, image, fidelity, isotropic=True):
    """``sum |grad u| + fidelity / 2 * ||u - image||^2`` in float64."""
    denoised, image = np.asarray(denoised, np.float64), np.asarray(image, np.float64)
    gradient = forward_differences(denoised)
    variation = np.hypot(*gradient) if isotropic else np.abs(gradient)
    return variation.sum() + fidelity / 2 * np.square(denoised - image).sum()
