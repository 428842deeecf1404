"""Images of Fourier coefficients as sums over waves, in float64: slow, and without an FFT."""

from __future__ import annotations

import numpy as np

# lucid/optvis/param/color.py: rows are red, green and blue.
COLORS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]]) / 0.46195


def lucid_image(numbers, size, *, decay=1.0, divisor=4.0, colors=True):
    """Lucid's ``fft_image`` and ``to_valid_rgb``, in levels.

    Args:
      numbers: ``(h, w // 2 + 1, c, 2)``, real and imaginary parts.
      size: ``(h, w)``.
      decay: exponent of the frequency.
      divisor: of the inverse transform.
      colors: whether channels are decorrelated colors.
    """
    spectrum = (numbers[..., 0] + 1j * numbers[..., 1]) * lucid_scale(size, decay)[..., None]
    return squashed(inverse_transform(spectrum, size) / divisor, colors)


def lucid_scale(size, decay):
    """``sqrt(w h) / max(f, 1 / max(w, h)) ** decay`` of each coefficient."""
    height, width = size
    scale = np.zeros((height, width // 2 + 1))
    for row in range(height):
        for column in range(width // 2 + 1):
            down = row / height if row < (height + 1) // 2 else row / height - 1
            radius = np.hypot(down, column / width)
            scale[row, column] = np.sqrt(width * height) / max(radius, 1 / max(size)) ** decay
    return scale


def phase_image(phases, magnitude, size, *, contrast=1.0, colors=True):
    """MACO's image of phases ``(h, w // 2 + 1, c)``, standardized over all pixels and channels."""
    values = inverse_transform(magnitude * np.exp(1j * phases), size)
    values = (values - values.mean()) / values.std()
    return squashed(contrast * values, colors)


def inverse_transform(spectrum, size):
    """The real image ``(h, w, c)`` of half a spectrum ``(h, w // 2 + 1, c)``."""
    height, width = size
    rows = np.exp(2j * np.pi * np.outer(np.arange(height), np.arange(height)) / height)
    columns = np.exp(2j * np.pi * np.outer(np.arange(width), np.arange(width // 2 + 1)) / width)
    twice = [1 if 2 * k in (0, width) else 2 for k in range(width // 2 + 1)]
    waves = np.einsum("ak,bl,klc->abc", rows, columns * twice, spectrum)
    return waves.real / (height * width)


def transform(values):
    """Half the spectrum of a real image ``(h, w, c)``."""
    height, width, _ = values.shape
    rows = np.exp(-2j * np.pi * np.outer(np.arange(height), np.arange(height)) / height)
    columns = np.exp(-2j * np.pi * np.outer(np.arange(width // 2 + 1), np.arange(width)) / width)
    return np.einsum("ka,lb,abc->klc", rows, columns, values)


def squashed(values, colors):
    """Levels of numbers: joined to colors, pixel by pixel, then the logistic function."""
    if colors:
        values = np.array([[COLORS @ pixel for pixel in row] for row in values])
    return 255 / (1 + np.exp(-values))


def unsquashed(image, colors):
    """Inverse of `squashed`, of an image within 2 to 98 % of the range."""
    values = np.log(image / (255 - image))
    if colors:
        values = np.array([[np.linalg.solve(COLORS, pixel) for pixel in row] for row in values])
    return values
