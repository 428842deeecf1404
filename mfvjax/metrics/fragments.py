"""Repeated fragments: over how much of the image the unit's gradient is spread.

The energy of a pixel is the squared gradient of the unit with respect to it, summed over channels.
An image with one whole object excites the unit from one region; an image of fragments does so from
everywhere. The paper names fewer repeated fragments as the aim of center-biased regularization
(Nguyen et al. 2016, the section on it) and gives no number; both numbers are this package's.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def gradient_area(energy: Float[np.ndarray, "k h w"]) -> Float[np.ndarray, " k"]:
    """Share of the image that the energy effectively covers, its participation ratio.

    ``(sum e)^2 / (h w sum e^2)``: 1 if all pixels have the same energy, a if the energy is even
    over a share a of the pixels and 0 elsewhere, 1 / (h w) if it is in one pixel.

    Args:
      energy: squared gradient of each visualization, at least 0, in any unit.

    Returns: one number per map, in (0, 1]; NaN where a map is all 0 or not finite.

    Raises:
      ValueError: negative energy.

    References: participation ratio, Bell & Dean 1970, for localization.
    """
    energy = _normalized(energy)
    pixels = energy.shape[-1] * energy.shape[-2]
    return 1 / (pixels * (energy**2).sum((-2, -1)))


def gradient_spread(energy: Float[np.ndarray, "k h w"]) -> Float[np.ndarray, " k"]:
    """Root mean square distance of the energy from its center, over that of even energy.

    0 if all energy is in one pixel, 1 if it is even over the image, more than 1 (at most √3) if it
    is pushed to opposite borders. Unlike `gradient_area` it tells one object with fine structure
    from as much energy in scattered fragments.

    Args:
      energy: squared gradient of each visualization, at least 0, in any unit; at least two pixels.

    Returns: one number per map, in [0, √3); NaN where a map is all 0 or not finite.

    Raises:
      ValueError: negative energy, or a single pixel.
    """
    energy = _normalized(energy)
    height, width = energy.shape[-2:]
    if height * width < 2:
        raise ValueError(f"energy must have at least two pixels, got {height} x {width}")
    variance = _variance(energy.sum(-1)) + _variance(energy.sum(-2))
    return np.sqrt(variance / ((height**2 + width**2 - 2) / 12))


def _variance(weights: np.ndarray) -> np.ndarray:
    """Variance of the position along the last axis, whose weights add up to 1."""
    position = np.arange(weights.shape[-1])
    offset = position - (weights * position).sum(-1, keepdims=True)
    return (weights * offset**2).sum(-1)


def _normalized(energy: np.ndarray) -> np.ndarray:
    """Energies that add up to 1 in each map, in float64."""
    energy = energy.astype(np.float64)
    if (energy < 0).any():
        raise ValueError("energy is a squared gradient and cannot be negative")
    scale = energy.max((-2, -1), keepdims=True)  # first, so that tiny gradients do not underflow
    usable = (scale > 0) & np.isfinite(scale)
    energy = np.where(usable, energy, np.nan) / np.where(usable, scale, 1)
    return energy / energy.sum((-2, -1), keepdims=True)
