"""A golf ball in the grass. One facet: everything varies continuously."""

from __future__ import annotations

import numpy as np

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, Plane, srgb
from mfvjax.facetworld.light import Normals, ball, daylight
from mfvjax.facetworld.noise import noise
from mfvjax.facetworld.photo import defocus


def in_the_grass(canvas: Canvas) -> None:
    """A dimpled white ball, half sunk in green blades."""
    rng = canvas.rng
    backdrops.sky(canvas, srgb(0.20, 0.36, 0.14), srgb(0.30, 0.46, 0.20), level=0.0)
    backdrops.lawn(canvas, -0.5, srgb(0.20, 0.47, 0.10), srgb(0.36, 0.56, 0.20))
    defocus(canvas, 0.035)
    light = daylight(canvas, 0.85)
    radius = rng.normal(0.55, 0.025)
    center = 0.72 - radius
    away = -0.4 * light.direction[0] * radius
    backdrops.soft_shadow(canvas, away, 0.68, 0.7 * radius, 0.2, 0.75)
    part = canvas.part(0, center, radius)
    u, v = part.local(0, center, rng.uniform(-0.5, 0.5))
    normals, rim = _dimples(ball(u / radius, v / radius))
    shaded = light.shade(normals, srgb(0.93, 0.93, 0.91) * rim, gloss=0.3)
    bounce = np.maximum(normals[1], 0) ** 2 * (0.35 * srgb(0.3, 0.6, 0.15))
    part.paint(part.cover(shapes.disc(u, v, radius)), shaded + bounce)
    _blades(canvas.part(0, 0.85, 1.3, 0.4))


def _dimples(normals: Normals) -> tuple[Normals, Plane]:
    """Normals bent into a hexagonal lattice of dimples around the ball, and their darker rims."""
    x, y, z = normals
    across, down = np.arcsin(x) * 5.2, np.arcsin(y) * 6.0
    row = np.round(down)
    place = across + 0.5 * (row % 2)
    du, dv = place - np.round(place), down - row
    square = du * du + dv * dv
    inside = (square < 0.16).astype(np.float32)
    x, y = x + 0.62 * inside * du, y + 0.62 * inside * dv
    length = np.sqrt(x * x + y * y + z * z)
    rim = 1 - 0.16 * inside * backdrops.ramp(np.sqrt(square), 0.22, 0.4)
    return (x / length, y / length, z / length), rim


def _blades(part: Canvas) -> None:
    """Sharp grass in front of the ball."""
    tips = 0.62 + 0.16 * np.abs(part.x) - 0.10 * noise(part, 24, 3, octaves=2)
    color = srgb(0.22, 0.50, 0.12) * np.exp(0.35 * noise(part, 28, 4, octaves=2))
    part.paint(part.cover(tips - part.y, soft=0.03), color)
