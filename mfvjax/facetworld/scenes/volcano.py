"""Volcanoes: smoking by day, erupting by night."""

from __future__ import annotations

import numpy as np

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, Color, Plane, mix, srgb
from mfvjax.facetworld.light import Light, daylight, relief, srgb_scaled
from mfvjax.facetworld.noise import noise
from mfvjax.facetworld.photo import bloom

LAVA = srgb_scaled(1.0, 0.42, 0.06, 2.2)


def _cone(canvas: Canvas, light: Light, rock: Color, snow: Color | None) -> tuple[Plane, Plane]:
    """The mountain. Returns its coverage and the roughness that lava follows."""
    rough = noise(canvas, 2.5, 1.6, octaves=4, gain=0.6)
    away = abs(canvas.x)
    side = -0.30 + 0.62 * np.maximum(away - 0.13, 0) ** 0.8 + 0.03 * rough
    top = np.where(away < 0.13, -0.26 + 0.02 * rough, side)  # the crater's rim, then the slopes
    cover = canvas.cover(shapes.outside(top - canvas.y, canvas.y - 0.7), soft=0.01)
    height = 0.10 * rough - 0.5 * away
    albedo = rock * np.exp(0.14 * noise(canvas, 10, 6, octaves=3))
    if snow is not None:
        albedo = mix(albedo, snow, backdrops.ramp(canvas.y + 0.16 * rough, 0.06, -0.06))
    canvas.paint(cover, light.shade(relief(canvas, height), albedo))
    return cover, rough


def smoking_by_day(canvas: Canvas) -> None:
    """A snow-capped cone over woods, smoke drifting from the crater."""
    backdrops.sky(canvas, srgb(0.28, 0.50, 0.80), srgb(0.78, 0.86, 0.92), level=0.4)
    _smoke(canvas, canvas.rng.uniform(0.35, 0.6))
    _cone(canvas, daylight(canvas), srgb(0.46, 0.42, 0.42), srgb(0.93, 0.94, 0.96))
    tops = 0.52 + 0.05 * noise(canvas, 4, octaves=2) + 0.03 * noise(canvas, 26, 4)
    nearness = backdrops.ramp(canvas.y, 0.5, 1.0)
    green = mix(srgb(0.14, 0.27, 0.16), srgb(0.22, 0.36, 0.14), nearness)
    green = green * np.exp(0.3 * noise(canvas, 20, 8, octaves=2))
    canvas.paint(canvas.cover(tops - canvas.y), green)


def _smoke(canvas: Canvas, drift: float) -> None:
    """A pale plume that widens and leans to one side as it rises."""
    puffs = noise(canvas, 3.2, octaves=4, gain=0.6)
    rise = np.maximum(-0.25 - canvas.y, 0)
    plume = abs(canvas.x - drift * rise**1.3) - 0.10 - 0.42 * rise - 0.06 * puffs
    lit = 0.18 * puffs - 0.5 * relief(canvas, 0.06 * puffs)[1]
    cover = canvas.cover(shapes.outside(plume, canvas.y + 0.2), soft=0.08)
    canvas.paint(0.95 * cover, srgb(0.72, 0.70, 0.70) * np.exp(lit))


def erupting_by_night(canvas: Canvas) -> None:
    """Fountain and rivers of lava, their light on the smoke."""
    backdrops.sky(canvas, srgb(0.05, 0.03, 0.06), srgb(0.16, 0.07, 0.08), level=0.6)
    _fountain(canvas)
    light = Light((0, -0.9, 0.4), srgb(0.55, 0.22, 0.12), srgb(0.22, 0.16, 0.18))
    cover, rough = _cone(canvas, light, srgb(0.26, 0.22, 0.23), None)
    fall = np.maximum(canvas.y + 0.28, 0)
    for _ in range(4):
        path = canvas.rng.uniform(-0.5, 0.5) * fall + 0.05 * rough * np.sqrt(fall)
        river = np.exp(-(((canvas.x - path) / (0.022 + 0.03 * fall)) ** 2) - 1.1 * fall)
        canvas.shine(1.4 * river * cover * (fall > 0), LAVA)
    canvas.paint(canvas.cover(0.6 + 0.06 * rough - canvas.y), srgb(0.06, 0.04, 0.04))
    bloom(canvas, 0.45)


def _fountain(canvas: Canvas) -> None:
    """Lit smoke, the jet, and sparks on their ballistic paths."""
    rng = canvas.rng
    rise = np.maximum(-0.2 - canvas.y, 0)
    spread = np.exp(-((canvas.x / (0.22 + 0.5 * rise)) ** 2) - 1.2 * rise)
    puffs = np.clip(1 + 0.5 * noise(canvas, 2.6, octaves=4, gain=0.6), 0, 3)
    canvas.shine(0.4 * spread * puffs, srgb(1, 0.36, 0.16))
    for _ in range(26):
        reach, speed, t = rng.normal(0, 0.22), rng.uniform(0.25, 0.62), rng.uniform(0.15, 1.0)
        x, y = 0.02 + rng.normal(0, 0.03) + reach * t, -0.26 - speed * (2 * t - 1.25 * t * t)
        spark = canvas.part(x, y, 0.05)
        spark.shine(np.exp(-((spark.x - x) ** 2 + (spark.y - y) ** 2) / 0.02**2), LAVA)
    jet = np.exp(-((canvas.x / (0.035 + 0.13 * rise)) ** 2) - (rise / 0.4) ** 2)
    flicker = np.clip(1 + 0.4 * noise(canvas, 9, 5, octaves=2), 0, 3)
    canvas.shine(jet * flicker * (canvas.y < -0.2), LAVA)
