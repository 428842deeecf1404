"""CIE L*a*b*: colors whose distances are roughly what people see."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real

from mfvjax.domain import RGB, Domain

# Rows X, Y, Z; columns the linear red, green and blue of IEC 61966-2-1 (sRGB, white D65).
_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = _TO_XYZ.sum(1)  # so that white and every grey are exactly neutral
_DELTA = 6 / 29


def rgb_to_lab(
    colors: Real[np.ndarray, "*batch 3"], *, domain: Domain = RGB
) -> Float[np.ndarray, "*batch 3"]:
    """Converts sRGB levels to CIE L*a*b* 1976 under D65, in float64.

    L* runs from 0 to 100, a* and b* within about [-110, 100]; a Euclidean distance (ΔE*ab)
    of about 2 can just be seen.

    Args:
      colors: RGB in the range of `domain`; levels outside are clipped.
      domain: of RGB images; its lowest value is black, its highest white.

    Raises:
      ValueError: the domain is not of RGB images.

    References: IEC 61966-2-1; CIE 15:2004, sec. 8.2.1. Differs from scikit-image's `rgb2lab` in the
      last digits of the white point, by at most 0.01.
    """
    if not domain.is_color:
        raise ValueError(f"images in {domain} have no colors")
    levels = np.clip((colors.astype(np.float64) - domain.low) / domain.span, 0, 1)
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    ratios = linear @ (_TO_XYZ / _WHITE[:, None]).T
    line = ratios / (3 * _DELTA**2) + 4 / 29
    x, y, z = np.moveaxis(np.where(ratios > _DELTA**3, np.cbrt(ratios), line), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
