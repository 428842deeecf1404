"""Decorrelated colors, and the squashing of unbounded numbers into levels.

Lucid's color basis: the square root of the covariance of natural images' colors, divided by its
largest column norm, 0.46195 (``lucid/optvis/param/color.py``).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfvjax.contracts import Levels

_BASIS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]]) / 0.46195
_INVERSE = np.linalg.inv(_BASIS)
_MARGIN = 0.02  # levels nearer to the ends of the range have no finite, or no usable, inverse


def to_levels(values: Float[Array, "h w c"], *, colors: bool) -> Levels:
    """Levels of unbounded values: colors joined, then a sigmoid onto 0 to 255.

    Args:
      values: coordinates in the decorrelated basis with `colors`, else one per channel.
      colors: whether the channels are colors.
    """
    return 255 * jax.nn.sigmoid(_mixed(values, _BASIS) if colors else values)


def from_levels(image: Levels, *, colors: bool) -> Float[Array, "h w c"]:
    """The values that `to_levels` turns into `image`, clipped to 2 to 98 % of the range."""
    share = jnp.clip(image / 255, _MARGIN, 1 - _MARGIN)
    values = jnp.log(share) - jnp.log1p(-share)
    return _mixed(values, _INVERSE) if colors else values


def _mixed(values: Array, basis: np.ndarray) -> Array:
    exact = jax.lax.Precision.HIGHEST
    return jnp.einsum("hwt,rt->hwr", values, jnp.asarray(basis, values.dtype), precision=exact)
