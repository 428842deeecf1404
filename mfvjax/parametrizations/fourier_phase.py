"""Phases of the Fourier coefficients, their magnitudes fixed by real images (MACO)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from mfvjax.contracts import Levels, Scene
from mfvjax.parametrizations.color import from_levels, to_levels
from mfvjax.parts import Number, number, part, static

_LEAST_STD = 1e-5


@part
class FourierPhase:
    """Only the phases move; magnitudes are those of images that the caller chose.

    The transform of ``magnitude * exp(i phase)`` is brought to mean 0 and standard deviation
    `contrast` over the whole image, which makes the scale of the magnitudes irrelevant, then joined
    to colors and squashed as in `mfvjax.parametrizations.fourier.Fourier`. An image is encoded by
    its phases alone: noise gives phases spread evenly over the circle.

    Attributes:
      magnitude: ``(rows, columns / 2 + 1, channels)`` of the canvas's size, from `mean_magnitude`;
        one for all facets, or a `mfvjax.parts.PerFacet` of one each.
      contrast: before the sigmoid; 1 in the published code.
      decorrelated: as in `Fourier`; the magnitudes must have been taken alike.

    Deviates from the published code, which also standardizes the phases themselves: here a phase
    is what it is, so that an image's phases are a start.

    Reference: Fel et al. 2023, "Unlocking Feature Visualization for Deeper Networks with MAgnitude
    Constrained Optimization".
    """

    magnitude: Any
    contrast: Number = number(default=1.0, above=0)
    decorrelated: bool = static(default=True)

    is_local: ClassVar[bool] = False

    def encode(self, image: Levels, scene: Scene) -> Float[Array, "h half c"]:
        """The phases of an image."""
        values = from_levels(image, colors=self.decorrelated and scene.is_color)
        return jnp.angle(jnp.fft.rfft2(values, axes=(0, 1)))

    def decode(self, numbers: Float[Array, "h half c"], scene: Scene) -> Levels:
        """The image of phases.

        Raises:
          ValueError: the magnitudes are those of another size.
        """
        height, width = scene.size
        needed = (height, width // 2 + 1, scene.channels)
        if jnp.shape(self.magnitude) != needed:
            raise ValueError(
                f"FourierPhase: magnitude of shape {jnp.shape(self.magnitude)}, but a canvas of "
                f"{height}x{width} needs {needed}; use mean_magnitude(images, size=({height}, "
                f"{width}))"
            )
        magnitude = jnp.asarray(self.magnitude, numbers.dtype)
        spectrum = jax.lax.complex(magnitude * jnp.cos(numbers), magnitude * jnp.sin(numbers))
        values = jnp.fft.irfft2(spectrum, scene.size, axes=(0, 1))
        values = (values - jnp.mean(values)) / (jnp.std(values) + _LEAST_STD)
        return to_levels(values * self.contrast, colors=self.decorrelated and scene.is_color)


def mean_magnitude(
    images: Iterable[np.ndarray], *, size: tuple[int, int], colors: bool = True
) -> Float32[np.ndarray, "h half c"]:
    """Mean magnitude of the Fourier coefficients of images, for `FourierPhase`.

    Args:
      images: ``(height, width, channels)`` each, in levels; resized to `size` by a cubic spline.
      size: of the canvas.
      colors: whether channels are colors, to be decorrelated.

    Raises:
      ValueError: there is no image, or colors are asked of images that have none.
    """
    from mfvjax.priors.resample import spline_zoom

    total, count = None, 0
    for image in images:
        if colors and image.shape[-1] != 3:
            raise ValueError(
                f"mean_magnitude: colors=True needs images of 3 channels, not of {image.shape[-1]}"
            )
        levels = spline_zoom(jnp.asarray(image, jnp.float32), size)
        values = from_levels(jnp.clip(levels, 0, 255), colors=colors)
        found = np.abs(np.asarray(jnp.fft.rfft2(values, axes=(0, 1))))
        total, count = found if total is None else total + found, count + 1
    if total is None:
        raise ValueError("mean_magnitude needs at least one image")
    return (total / count).astype(np.float32)
