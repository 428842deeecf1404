"""Where a visualization's activation lies among those of real images."""

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
