"""Gaussian blur as two small matrix products, of any width that a step asks for."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

_TRUNCATE = 4.0


def gaussian_blur(image: Float[Array, "h w c"], sigma: ArrayLike) -> Float[Array, "h w c"]:
    """Each channel convolved with a Gaussian.

    As ``scipy.ndimage.gaussian_filter`` with its defaults: the image is mirrored at its border, and
    the Gaussian cut off four standard deviations away. It must not reach further than the image is
    long, which is where SciPy would mirror twice.

    Args:
      image: of any range.
      sigma: standard deviation in pixels; may be traced; at 0 the image stays as it is.
    """
    exact = jax.lax.Precision.HIGHEST
    rows, columns = (_matrix(n, sigma, image.dtype) for n in image.shape[:2])
    image = jnp.einsum("ah,hwc->awc", rows, image, precision=exact)
    return jnp.einsum("bw,awc->abc", columns, image, precision=exact)


def _matrix(length: int, sigma: ArrayLike, dtype: jnp.dtype) -> Float[Array, "n n"]:
    """What one axis is multiplied by: weights of a pixel and of its two mirror images."""
    sigma = jnp.asarray(sigma, dtype)
    reach = jnp.floor(_TRUNCATE * sigma + 0.5)
    i = jnp.arange(length, dtype=dtype)

    def weight(distance: Array) -> Array:
        exponent = -0.5 * (distance / jnp.maximum(sigma, 1e-6)) ** 2
        return jnp.where(jnp.abs(distance) <= reach, jnp.exp(exponent), 0)

    to, of = i[:, None], i[None, :]
    total = weight(to - of) + weight(to + 1 + of) + weight(2 * length - 1 - of - to)
    return total / jnp.sum(total, axis=1, keepdims=True)
