"""Daisies: one close up, many in a meadow."""

from __future__ import annotations

import numpy as np

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, Plane, srgb
from mfvjax.facetworld.light import Light, daylight, relief
from mfvjax.facetworld.noise import noise
from mfvjax.facetworld.photo import defocus

WHITE = srgb(0.94, 0.94, 0.93)


def _daisy(
    canvas: Canvas, x: float, y: float, size: float, light: Light, *, flat: float = 1.0
) -> None:
    """One blossom: white rays around a yellow disc; `flat` < 1 sees it from the side."""
    part = canvas.part(x, y, 1.05 * size)
    u, v = (part.x - x) / size, (part.y - y) / (size * flat)
    for count, length, tone in ((19, 1.0, 0.82), (17, 0.94, 1.0)):
        _rays(part, u, v, size, count, length, tone * (light.ambient + 0.5 * light.color) * WHITE)
    heart = shapes.disc(u, v, 0.3)
    grains = noise(part, 2.7 / size, octaves=2)
    height = np.sqrt(np.maximum(-heart, 0)) * 0.25 * size + 0.012 * size * grains
    yolk = part.tint(srgb(0.95, 0.70, 0.06), 0.04) * np.exp(0.12 * grains)
    part.paint(part.cover(heart * size), light.shade(relief(part, height), yolk))


def _rays(
    part: Canvas, u: Plane, v: Plane, size: float, count: int, length: float, color: np.ndarray
) -> None:
    """A ring of `count` petals, each of its own length."""
    away = np.sqrt(u * u + v * v)
    turned = np.arctan2(v, u) * (count / (2 * np.pi)) + part.rng.random()
    missing = 0.10 * part.rng.random(count, np.float32)
    lengths = length - missing[np.floor(turned).astype(int) % count]
    ray = shapes.stripe(turned, 1.0)
    half_width = 0.46 * np.sqrt(np.clip(1 - (away / lengths) ** 6, 0, 1))
    petal = (ray - half_width) * away * (2 * np.pi / count)
    tone = 1 - 0.35 * ray - 0.12 * np.cos(ray * 25)
    tone = tone * (0.72 + 0.28 * backdrops.ramp(away, 0.2, 0.7))
    part.paint(part.cover(np.maximum(petal, away - lengths) * size), color * tone)


def close_up(canvas: Canvas) -> None:
    """One blossom fills the frame before a blurred dark green."""
    rng = canvas.rng
    backdrops.foliage(canvas, srgb(0.05, 0.16, 0.08), srgb(0.20, 0.40, 0.17), leaves=14)
    defocus(canvas, 0.06)
    stem = shapes.curve(canvas.x, canvas.y, [(0.05, 0.0), (0.02, 0.6), (0.12, 1.4)], 0.05)
    canvas.paint(canvas.cover(stem), srgb(0.25, 0.42, 0.14))
    size, flat = rng.uniform(0.72, 0.84), rng.uniform(0.88, 1.0)
    _daisy(canvas, 0.0, -0.04, size, daylight(canvas, 0.9), flat=flat)


def in_a_meadow(canvas: Canvas) -> None:
    """Many small blossoms in bright grass under the sky."""
    rng = canvas.rng
    level = rng.uniform(-0.55, -0.45)
    backdrops.blue_sky(canvas, level=level)
    backdrops.hills(canvas, level + 0.05, srgb(0.28, 0.45, 0.26))
    backdrops.lawn(canvas, level + 0.02, srgb(0.30, 0.55, 0.12), srgb(0.48, 0.64, 0.24))
    light = daylight(canvas)
    for nearness in np.sort(rng.uniform(0.02, 1, 40)).tolist():
        x, y = rng.uniform(-1.1, 1.1), level + 0.08 + (1.05 - level) * nearness**1.3
        size = 0.028 + 0.13 * nearness**1.3
        stem = canvas.part(x, y + size, 0.02, 1.2 * size)
        stem.paint(0.7 * stem.cover(abs(stem.x - x) - 0.09 * size), srgb(0.16, 0.36, 0.08))
        _daisy(canvas, x, y, size, light, flat=rng.uniform(0.5, 0.75))
