"""Random views of pictures: moved, scaled, mirrored, blurred, recolored, noisy, covered."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def random_views(
    key: Key[Array, ""], images: Float[Array, "batch size size 3"]
) -> Float[Array, "batch size size 3"]:
    """One random view of each image, grey levels in [0, 255], not clipped."""
    keys = jax.random.split(key, (4, images.shape[0]))
    rows, columns = jax.vmap(lambda k: _lens(k, images.shape[1]))(keys[0])
    views = jnp.einsum("bij,bjkc->bikc", rows, images)
    views = jnp.einsum("blk,bikc->bilc", columns, views)
    views = jax.vmap(_recolor)(keys[1], views)
    views = jax.vmap(_cover)(keys[2], views)
    return jax.vmap(_add_noise)(keys[3], views)


def _lens(
    key: Key[Array, ""], size: int
) -> tuple[Float[Array, "size size"], Float[Array, "size size"]]:
    """Two matrices that shift, scale, mirror and blur an image's rows and columns.

    Each output pixel is a Gaussian average around its source; beyond the border its edge counts.
    """
    zoom_key, stretch_key, shift_key, blur_key, flip_key = jax.random.split(key, 5)
    zoom = jnp.exp(0.13 * jax.random.normal(zoom_key))
    stretch = jnp.exp(0.04 * jax.random.normal(stretch_key))
    shifts = jax.random.uniform(shift_key, (2,), minval=-0.10 * size, maxval=0.10 * size)
    # A third of the views are clearly blurred, the others sharp.
    widths = jax.random.uniform(blur_key, (2,), minval=0.45, maxval=1.6)
    width = jnp.where(widths[1] > 1.2, widths[0], 0.45)
    mirror = jnp.where(jax.random.bernoulli(flip_key), 1.0, -1.0)
    places = jnp.arange(size, dtype=jnp.float32)
    offsets = places - (size - 1) / 2
    matrices = []
    for slope, shift in ((stretch / zoom, shifts[0]), (mirror / (stretch * zoom), shifts[1])):
        centers = jnp.clip((size - 1) / 2 + slope * offsets + shift, 0.0, size - 1.0)
        weights = jnp.exp(-0.5 * ((places[None] - centers[:, None]) / width) ** 2)
        matrices.append(weights / jnp.sum(weights, axis=1, keepdims=True))
    return matrices[0], matrices[1]


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
    size = image.shape[0]
    top, left, height, width = jax.random.uniform(box_key, (4,))
    color = jax.random.uniform(color_key, (1, 1, 3), maxval=255.0)
    places = jnp.arange(size, dtype=jnp.float32) / size
    rows = (places > top - 0.15) & (places < top - 0.1 + 0.3 * height)
    columns = (places > left - 0.15) & (places < left - 0.1 + 0.3 * width)
    inside = (rows[:, None] & columns[None])[..., None]
    return jnp.where(inside & jax.random.bernoulli(coin_key), color, image)


def _add_noise(
    key: Key[Array, ""], image: Float[Array, "size size 3"]
) -> Float[Array, "size size 3"]:
    strength_key, noise_key = jax.random.split(key)
    strength = 14.0 * jax.random.uniform(strength_key) ** 2
    return image + strength * jax.random.normal(noise_key, image.shape)
