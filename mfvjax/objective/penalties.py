"""Penalties of the window: priors that stand in the objective itself.

Each is what is to be small, with its sign turned: at most 0. A recipe gives them a weight; they
belong to no layer. Distances are from the levels that the network's preprocessing turns into zero,
where the sources speak of images minus their mean.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from mfvjax.objective.places import contract
from mfvjax.objective.seen import Seen
from mfvjax.objective.term import Term
from mfvjax.parts import Number, number, part, static

_LEAST_SQUARE = 1e-6


@part
class AlphaNorm(Term):
    """``-mean over pixels of (|x| / bound)^alpha``, ``|x|`` a pixel's distance from zero.

    Attributes:
      alpha: 2 is Simonyan's L2 norm; Mahendran & Vedaldi's is 6.
      bound: typical distance, in levels; 80 in Mahendran & Vedaldi's code.
      weight: factor of the term.

    References: Simonyan et al. 2013; Mahendran & Vedaldi 2016, section 3.3.
    """

    alpha: Number = number(default=6.0, above=0)
    bound: Number = number(default=80.0, above=0)
    weight: Number = number(default=1.0)

    def __call__(self, seen: Seen) -> Float[Array, ""]:
        """Minus the norm."""
        assert seen.window is not None
        assert seen.zero is not None
        squares = jnp.sum((seen.window - seen.zero.reshape(1, 1, -1)) ** 2, axis=-1)
        relative = jnp.maximum(squares, _LEAST_SQUARE) / jnp.asarray(self.bound) ** 2
        return -jnp.mean(relative ** (jnp.asarray(self.alpha) / 2))


@part
class TotalVariation(Term):
    """``-sum over channels of mean over pixels of ((dx^2 + dy^2) / scale^2)^(beta / 2)``.

    Differences are forward ones, and 0 beyond the last row and column. Unlike
    `mfvjax.priors.tv_projection.TV` it has a gradient and is climbed with everything else.

    Attributes:
      beta: 2 in Mahendran & Vedaldi's code; 1 is the paper's total variation.
      scale: typical difference of neighbors, in levels; 80 / 6.5 in their code.
      weight: factor of the term.

    Reference: Mahendran & Vedaldi 2016, section 3.3.
    """

    beta: Number = number(default=2.0, above=0)
    scale: Number = number(default=80 / 6.5, above=0)
    weight: Number = number(default=1.0)

    def __call__(self, seen: Seen) -> Float[Array, ""]:
        """Minus the variation."""
        assert seen.window is not None
        down = jnp.diff(seen.window, axis=0, append=seen.window[-1:])
        right = jnp.diff(seen.window, axis=1, append=seen.window[:, -1:])
        squares = (down**2 + right**2) / jnp.asarray(self.scale) ** 2
        powers = jnp.maximum(squares, _LEAST_SQUARE) ** (jnp.asarray(self.beta) / 2)
        return -jnp.sum(jnp.mean(powers, axis=(0, 1)))


@part
class PatchPrior(Term):
    """How near the window's patches are to natural ones; after Wei et al. 2015, not theirs.

    ``-mean over patches of |p - q|^2 / pixels``, with q the nearest of the given patches, found
    exactly in every step by one matrix product. The authors' released code leaves their database of
    patches empty, and size and weights of their prior are not known.

    Attributes:
      patches: ``(count, size, size, channels)``, in levels, from `natural_patches`.
      stride: between the window's patches, in pixels.
      weight: factor of the term.

    Raises:
      ValueError: `stride` is below 1.

    Raises (when it is used):
      ValueError: the window is smaller than a patch, or of other channels.
    """

    patches: Any
    stride: int = static(default=4)
    weight: Number = number(default=1.0)

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise ValueError(f"PatchPrior option stride={self.stride} must be at least 1")

    def __call__(self, seen: Seen) -> Float[Array, ""]:
        """Minus the mean squared distance, in levels."""
        assert seen.window is not None
        fits = np.array(seen.window.shape) >= np.shape(self.patches)[1:]
        if not fits.all() or seen.window.shape[-1] != np.shape(self.patches)[-1]:
            raise ValueError(
                f"PatchPrior: patches of shape {np.shape(self.patches)[1:]} do not fit into a "
                f"window of shape {seen.window.shape}"
            )
        known = jnp.asarray(self.patches).reshape(len(self.patches), -1)
        size = self.patches.shape[1]
        found = _cut(seen.window, size, self.stride)
        products = contract("pd,nd->pn", jax.lax.stop_gradient(found), known)
        nearest = jnp.argmax(products - 0.5 * jnp.sum(known**2, axis=1)[None], axis=1)
        return -jnp.mean((found - known[nearest]) ** 2)


def _cut(window: Float[Array, "h w c"], size: int, stride: int) -> Float[Array, "patches values"]:
    """All patches whose corner is a multiple of `stride`, as rows."""
    starts = [np.arange(0, n - size + 1, stride) for n in window.shape[:2]]
    rows = starts[0][:, None] + np.arange(size)
    columns = starts[1][:, None] + np.arange(size)
    patches = window[rows][:, :, columns]  # (down, size, right, size, c)
    return patches.transpose(0, 2, 1, 3, 4).reshape(len(rows) * len(columns), -1)


def natural_patches(
    images: np.ndarray, *, count: int = 1000, size: int = 8, seed: int = 0
) -> Float32[np.ndarray, "count size size channels"]:
    """Patches from random places of images, for `PatchPrior`.

    Args:
      images: ``(n, height, width, channels)``, in levels.
      count: of the patches.
      size: of their sides, in pixels.
      seed: of the places.

    Raises:
      ValueError: the images are smaller than a patch, or there are none.
    """
    images = np.asarray(images, np.float32)
    if images.ndim != 4 or not len(images) or min(images.shape[1:3]) < size:
        raise ValueError(
            f"natural_patches needs images (n, height, width, channels) of at least {size}x{size} "
            f"pixels, not an array of shape {images.shape}"
        )
    rng = np.random.default_rng(seed)
    which = rng.integers(len(images), size=count)
    tops = rng.integers(images.shape[1] - size + 1, size=count)
    lefts = rng.integers(images.shape[2] - size + 1, size=count)
    return np.stack(
        [
            images[i, top : top + size, left : left + size]
            for i, top, left in zip(which, tops, lefts, strict=True)
        ]
    )
