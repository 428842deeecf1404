"""Enlarging the canvas between phases: cubic spline zoom as two small dense matrices."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def zoomed_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """``(height, width)`` after a zoom by `scale`, rounded as SciPy does (half to even).

    227 becomes 272 and then 326 at a scale of 1.2.

    Raises:
      ValueError: `scale` leaves no pixel.
    """
    height, width = (round(n * scale) for n in size)
    if min(height, width) < 1:
        raise ValueError(f"scale {scale} leaves nothing of an image of size {tuple(size)}")
    return height, width


def spline_zoom(
    images: Float[Array, "*batch h w c"], size: tuple[int, int]
) -> Float[Array, "*batch a b c"]:
    """Resamples images to `size` ``(height, width)`` by an interpolating cubic spline.

    Corners stay corners: pixel i of n reads position ``i * (n_in - 1) / (n - 1)``. Equal to
    ``scipy.ndimage.zoom(order=3)`` with its defaults (prefilter, ``grid_mode=False``), but for the
    black border that rounding gives SciPy at a few sizes. The zoom is linear and separable, so one
    matrix per axis holds all of it. May overshoot [0, 255].

    Args:
      images: any number of leading axes.
      size: of the result, larger or smaller.

    Returns:
      Images of the new size, same dtype.

    Raises:
      ValueError: `size` has an axis shorter than one pixel.
    """
    if min(size) < 1:
        raise ValueError(f"size {tuple(size)} has an axis shorter than one pixel")
    rows, columns = (
        jnp.asarray(_zoom_matrix(n_in, n_out), images.dtype)
        for n_in, n_out in zip(images.shape[-3:-1], size, strict=True)
    )
    exact = jax.lax.Precision.HIGHEST
    images = jnp.einsum("ah,...hwc->...awc", rows, images, precision=exact)
    return jnp.einsum("bw,...awc->...abc", columns, images, precision=exact)


@functools.lru_cache(maxsize=64)
def _zoom_matrix(n_in: int, n_out: int) -> np.ndarray:
    """The ``(n_out, n_in)`` matrix of SciPy's zoom along one axis: column i is zoomed spike i."""
    from scipy import ndimage  # JAX itself depends on SciPy

    # For some sizes SciPy's default mode rounds the last sample to a place past the image and reads
    # zero there, a black border; "mirror" is the same everywhere else.
    columns = [ndimage.zoom(spike, n_out / n_in, order=3, mode="mirror") for spike in np.eye(n_in)]
    matrix = np.stack(columns, axis=1)
    matrix.setflags(write=False)
    return matrix
