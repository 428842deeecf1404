"""Where a visualization's activation lies beside those of real images."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real


def activation_percentile(
    activations: Float[np.ndarray, " k"], real: Real[np.ndarray, " n"]
) -> Float[np.ndarray, " k"]:
    """Percentage of the real images whose activation is lower; equal ones count half.

    100 means that the visualization excites the unit more than every real image, 50 that it does so
    as much as their median. NaN where an activation is NaN.

    Args:
      activations: of the visualizations.
      real: of the real images, at least one.

    Returns: percent, in [0, 100].

    Raises:
      ValueError: `real` is empty or not finite.

    References: the percentile rank (mean rule), `scipy.stats.percentileofscore(kind="mean")`.
    """
    if len(real) == 0 or not np.isfinite(real).all():
        raise ValueError(f"real must hold at least one activation, all finite, got {real!r}")
    ordered = np.sort(real)
    below = np.searchsorted(ordered, activations, side="left")
    up_to = np.searchsorted(ordered, activations, side="right")
    percent = 100 * (below + up_to) / (2 * len(real))
    return np.where(np.isnan(activations), np.nan, percent)


def activation_ratio(
    activations: Float[np.ndarray, " k"], real: Real[np.ndarray, " n"]
) -> Float[np.ndarray, " k"]:
    """Each activation as a multiple of the largest real one.

    1: as much as the image that excites the unit most; far above 1 the unit sees what no image
    shows it.

    Args:
      activations: of the visualizations.
      real: of the real images, at least one.

    Returns: multiples; NaN where no real image excites the unit (the largest is not above 0).

    Raises:
      ValueError: `real` is empty or not finite.
    """
    if len(real) == 0 or not np.isfinite(real).all():
        raise ValueError(f"real must hold at least one activation, all finite, got {real!r}")
    largest = float(real.max())
    ratios = activations.astype(np.float64) / (largest if largest > 0 else np.nan)
    return np.where(np.isfinite(activations), ratios, np.nan)
