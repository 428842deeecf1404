"""Fourier coefficients of the image, scaled so that low frequencies move most."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfvjax.contracts import Levels, Scene, Size
from mfvjax.parametrizations.color import from_levels, to_levels
from mfvjax.parts import Number, number, part, static


@part
class Fourier:
    """Scaled Fourier coefficients in decorrelated colors, behind a sigmoid (Lucid's way).

    With t the inverse transform of ``coefficients * scale`` divided by `divisor`, where
    ``scale = sqrt(w h) / max(f, 1 / max(w, h)) ** decay`` and f is the frequency in cycles per
    pixel, the image is ``255 * sigmoid(colors @ t)``. The coefficients are real and imaginary parts
    ``(rows, columns / 2 + 1, channels, 2)``. Images with levels within 2 to 98 % are encoded
    exactly, others clipped to that. (For an odd width Lucid transforms one column more, and cuts it
    off; here every size is transformed as it is.)

    Attributes:
      decay: exponent of the frequency.
      divisor: 4 in Lucid, 5 in the code of feature accentuation.
      decorrelated: whether colors are; of no effect where channels are no colors.

    References: Olah et al. 2017, "Feature Visualization"; ``lucid/optvis/param/spatial.py``.
    """

    decay: Number = number(default=1.0)
    divisor: Number = number(default=4.0, above=0)
    decorrelated: bool = static(default=True)

    is_local: ClassVar[bool] = False

    def encode(self, image: Levels, scene: Scene) -> Float[Array, "h half c 2"]:
        """The coefficients of an image."""
        values = from_levels(image, colors=self.decorrelated and scene.is_color)
        spectrum = jnp.fft.rfft2(values * self.divisor, axes=(0, 1))
        return jnp.stack([spectrum.real, spectrum.imag], axis=-1) / self._scale(scene.size)

    def decode(self, numbers: Float[Array, "h half c 2"], scene: Scene) -> Levels:
        """The image of coefficients."""
        scaled = numbers * self._scale(scene.size)
        spectrum = jax.lax.complex(scaled[..., 0], scaled[..., 1])
        values = jnp.fft.irfft2(spectrum, scene.size, axes=(0, 1)) / self.divisor
        return to_levels(values, colors=self.decorrelated and scene.is_color)

    def _scale(self, size: Size) -> Float[Array, "h half 1 1"]:
        height, width = size
        least = np.float32(1 / max(size))
        radius = jnp.maximum(jnp.asarray(frequencies(size)), least)
        return (np.float32(np.sqrt(height * width)) / radius**self.decay)[..., None, None]


def frequencies(size: Size) -> Float[np.ndarray, "h half"]:
    """Radial frequency of each coefficient of a real image of `size`, in cycles per pixel."""
    rows = np.fft.fftfreq(size[0])[:, None]
    columns = np.fft.rfftfreq(size[1])[None, :]
    return np.sqrt(rows**2 + columns**2).astype(np.float32)
