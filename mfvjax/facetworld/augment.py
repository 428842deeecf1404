"""Random views of pictures: moved, scaled, mirrored, blurred, recolored, noisy, covered."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

SHARP = 0.45
"""Width of `resampling` that neither blurs nor aliases visibly."""


def random_views(
    key: Key[Array, ""], images: Float[Array, "batch size size 3"]
) -> Float[Array, "batch size size 3"]:
    """One random view of each image, grey levels about [0, 255], not clipped."""
    keys = jax.random.split(key, (4, images.shape[0]))
    rows, columns = jax.vmap(lambda k: _lens(k, images.shape[1]))(keys[0])
    views = jnp.einsum("bij,bjkc->bikc", rows, images)
    views = jnp.einsum("blk,bikc->bilc", columns, views)
    views = jax.vmap(_recolor)(keys[1], views)
    views = jax.vmap(_cover)(keys[2], views)
    return jax.vmap(_add_noise)(keys[3], views)


def resampling(
    size: int, slope: Float[Array, ""], shift: Float[Array, ""], width: Float[Array, ""]
) -> Float[Array, "{size} {size}"]:
    """Matrix that reads a row of `size` pixels at ``center + slope * offset + shift``.

    Args:
      size: pixels of the row.
      slope: source pixels per pixel; negative mirrors.
      shift: in source pixels.
      width: standard deviation of the Gaussian average around each place; see `SHARP`.

    Returns:
      Rows sum to 1; beyond its ends the row continues with its last pixels.
    """
    center = (size - 1) / 2
    pixels = jnp.arange(size, dtype=jnp.float32)
    places = jnp.clip(center + slope * (pixels - center) + shift, 0.0, size - 1.0)
    weights = jnp.exp(-0.5 * ((pixels[None] - places[:, None]) / width) ** 2)
    return weights / jnp.sum(weights, axis=1, keepdims=True)


def _lens(
    key: Key[Array, ""], size: int
) -> tuple[Float[Array, "{size} {size}"], Float[Array, "{size} {size}"]]:
    """Matrices that shift, scale, mirror and, for a third of the images, blur rows and columns."""
    zoom_key, stretch_key, shift_key, blur_key, mirror_key = jax.random.split(key, 5)
    zoom = jnp.exp(0.13 * jax.random.normal(zoom_key))
    stretch = jnp.exp(0.04 * jax.random.normal(stretch_key))
    shifts = jax.random.uniform(shift_key, (2,), minval=-0.1 * size, maxval=0.1 * size)
    blurs = jax.random.uniform(blur_key, (2,), minval=SHARP, maxval=1.6)
    width = jnp.where(blurs[1] > 1.2, blurs[0], SHARP)
    mirror = jnp.where(jax.random.bernoulli(mirror_key), 1.0, -1.0)
    rows = resampling(size, stretch / zoom, shifts[0], width)
    return rows, resampling(size, mirror / (stretch * zoom), shifts[1], width)


def _recolor(
    key: Key[Array, ""], image: Float[Array, "size size 3"]
) -> Float[Array, "size size 3"]:
    """Brightness, contrast and white balance, gently: colors tell facets apart."""
    gain_key, tint_key, base_key = jax.random.split(key, 3)
    gain = jnp.exp(0.12 * jax.random.normal(gain_key))
    tint = jnp.exp(0.05 * jax.random.normal(tint_key, (1, 1, 3)))
    base = 12.0 * jax.random.normal(base_key)
    return (image - 118.0) * (gain * tint) + 118.0 + base


def _cover(key: Key[Array, ""], image: Float[Array, "size size 3"]) -> Float[Array, "size size 3"]:
    """Hides a random box under one color in half of the images."""
    box_key, color_key, coin_key = jax.random.split(key, 3)
    top, left, height, width = jax.random.uniform(box_key, (4,))
    color = jax.random.uniform(color_key, (1, 1, 3), maxval=255.0)
    places = jnp.arange(image.shape[0], dtype=jnp.float32) / image.shape[0]
    rows = (places > top - 0.15) & (places < top - 0.1 + 0.3 * height)
    columns = (places > left - 0.15) & (places < left - 0.1 + 0.3 * width)
    inside = (rows[:, None] & columns[None])[..., None]
    return jnp.where(inside & jax.random.bernoulli(coin_key), color, image)


def _add_noise(
    key: Key[Array, ""], image: Float[Array, "size size 3"]
) -> Float[Array, "size size 3"]:
    """Normal noise of at most 14 grey levels, mostly weak."""
    strength_key, noise_key = jax.random.split(key)
    strength = 14.0 * jax.random.uniform(strength_key) ** 2
    return image + strength * jax.random.normal(noise_key, image.shape)
