"""One step of the release, written plainly in float64 NumPy around a gradient that is handed in."""

from __future__ import annotations

import numpy as np
from skimage.restoration import denoise_tv_bregman


def release_step(window, gradient, *, step_size, fidelity, margin, sweeps=100, eps=1e-3):
    """``make_step`` of the authors' scripts: mask, normalize, ascend, clip, denoise.

    Args:
      window: ``(h, w, 3)``, grey levels.
      gradient: of the objective with respect to it.
    """
    height, width, _ = window.shape
    masked = np.zeros_like(gradient, dtype=np.float64)
    inner = (slice(margin, height - margin), slice(margin, width - margin))
    masked[inner] = gradient[inner]
    moved = np.clip(window + step_size / np.abs(masked).mean() * masked, 0, 255)
    return denoise_tv_bregman(moved, weight=fidelity, max_num_iter=sweeps, eps=eps)
