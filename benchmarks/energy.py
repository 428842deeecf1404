"""The energy that total-variation denoising lowers: the yardstick of its results."""

from __future__ import annotations

import numpy as np


def tv_energy(denoised: np.ndarray, image: np.ndarray, fidelity: float) -> float:
    """``sum |grad u| + fidelity / 2 * ||u - image||^2`` of ``(..., h, w, c)`` images, in float64.

    Differences to the right and down, zero past the border; their vector's length is summed.
    """
    u, f = np.asarray(denoised, np.float64), np.asarray(image, np.float64)
    right, down = np.zeros_like(u), np.zeros_like(u)
    right[..., :, :-1, :] = u[..., :, 1:, :] - u[..., :, :-1, :]
    down[..., :-1, :, :] = u[..., 1:, :, :] - u[..., :-1, :, :]
    return float(np.hypot(right, down).sum() + fidelity / 2 * np.square(u - f).sum())
