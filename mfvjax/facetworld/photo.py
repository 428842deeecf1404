"""What a camera does to a scene: depth of field, bloom, vignette, exposure, lens, sensor."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from mfvjax.facetworld.canvas import Canvas, Colors


def halve(pixels: Colors) -> Float[np.ndarray, "3 rows columns"]:
    """Means of 2x2 pixels."""
    rows = pixels[:, 0::2] + pixels[:, 1::2]
    return (rows[:, :, 0::2] + rows[:, :, 1::2]) * np.float32(0.25)


def _coarse_blur(pixels: Colors, deviation: float) -> Colors:
    """Blur of `deviation` pixels, computed at half the resolution."""
    small = ndimage.gaussian_filter(halve(pixels), (0, deviation / 2, deviation / 2), truncate=3)
    # The tent filter over repeated pixels interpolates between them: no 2x2 blocks show.
    large = np.repeat(small, 2, 1)
    large[:, 1:-1] = (large[:, :-2] + 2 * large[:, 1:-1] + large[:, 2:]) * np.float32(0.25)
    large = np.repeat(large, 2, 2)
    large[..., 1:-1] = (large[..., :-2] + 2 * large[..., 1:-1] + large[..., 2:]) * np.float32(0.25)
    return large


def defocus(canvas: Canvas, radius: float) -> None:
    """Blurs all that was painted so far: it lies behind the plane in focus.

    Args:
      canvas: the whole canvas.
      radius: standard deviation in scene units.
    """
    canvas.pixels[...] = _coarse_blur(canvas.pixels, radius / canvas.pixel)


def bloom(canvas: Canvas, strength: float, *, radius: float = 0.12, threshold: float = 0.4) -> None:
    """Spreads the light of bright places over their surroundings, as lenses do at night."""
    bright = np.maximum(canvas.pixels - np.float32(threshold), 0)
    canvas.pixels[...] += np.float32(strength) * _coarse_blur(bright, radius / canvas.pixel)


def develop(canvas: Canvas) -> UInt8[np.ndarray, "size size 3"]:
    """The photograph: half the canvas's resolution, with everything a real one has.

    White balance, exposure, vignette, a soft shoulder for highlights, a slightly soft lens,
    contrast and sensor noise, each as strong as chance has it.
    """
    rng = canvas.rng
    balance = np.exp(rng.normal(0, 0.035, (3, 1, 1)) + rng.normal(0, 0.08)).astype(np.float32)
    vignette, contrast = rng.uniform(0.03, 0.16), rng.uniform(0.95, 1.1)
    grain, softness = rng.uniform(0.004, 0.014), rng.uniform(0.3, 0.75)
    light = halve(np.maximum(canvas.pixels, 0))
    size = light.shape[1]
    softness *= size / 96
    light = ndimage.gaussian_filter(light, (0, softness, softness), truncate=3)
    places = np.linspace(-1, 1, size, dtype=np.float32) ** 2
    light = light * balance * (1 - np.float32(vignette) * (places[:, None] + places[None]))
    # Identity up to 0.6, then a shoulder that reaches 1 only for infinite light.
    over = np.maximum(light - np.float32(0.6), 0)
    light = np.minimum(light, 0.6) + 0.4 * over / (over + np.float32(0.4))
    display = 0.45 + np.float32(contrast) * (light ** np.float32(1 / 2.2) - np.float32(0.45))
    shot = rng.standard_normal((4, size, size), np.float32) * np.float32(grain)
    display += 0.5 * shot[:3] + 0.8 * shot[3]
    return np.clip(display * 255 + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0)
