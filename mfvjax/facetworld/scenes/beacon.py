"""Beacons: the striped tower by day, its lamp by night, its outline at sunset."""

from __future__ import annotations

import numpy as np

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, Color, mix, srgb
from mfvjax.facetworld.light import Light, daylight, draw_light, pillar, relief, srgb_scaled
from mfvjax.facetworld.noise import noise
from mfvjax.facetworld.photo import bloom

FOOT, GALLERY, LAMP = 0.72, -0.50, -0.63


def _tower(canvas: Canvas, white: Color, band: Color, lamp: Color, light: Light) -> None:
    """Tapered tower with bands, gallery, lantern room and roof."""
    part = canvas.part(0, -0.1, 0.4, 0.85)
    u, v = part.x, part.y
    half = 0.15 + 0.10 * (v - GALLERY) / (FOOT - GALLERY)
    bands = backdrops.ramp(shapes.stripe(v - GALLERY, 0.45), 0.26, 0.24)
    skin = mix(white, band, bands) * np.exp(0.05 * noise(part, 10, octaves=2))
    normals = pillar(u / half, -0.1)
    tower = shapes.outside(abs(u) - half, GALLERY - v, v - FOOT)
    part.paint(part.cover(tower), light.shade(normals, skin, gloss=0.08))
    for y in (0.36, 0.02, -0.3):
        window = shapes.box(u - 0.02, v - y, 0.03, 0.05, 0.02)
        part.paint(part.cover(window), srgb(0.08, 0.08, 0.10))
    glass = part.cover(shapes.box(u, v - LAMP, 0.11, 0.12))
    part.paint(glass, lamp * (0.55 + 0.75 * np.exp(-((u / 0.08) ** 2))))
    part.darken(0.7 * glass * (shapes.stripe(u, 0.055) > 0.42))
    iron = light.shade(normals, 0.75 * band, gloss=0.2)
    part.paint(part.cover(shapes.box(u, v - GALLERY, 0.21, 0.03)), iron)
    rail = part.cover(shapes.box(u, v - GALLERY + 0.06, 0.21, 0.035))
    part.darken(0.6 * rail * (shapes.stripe(u, 0.04) > 0.35))
    roof = shapes.polygon(u, v, [(-0.15, -0.74), (0.0, -0.86), (0.15, -0.74)])
    part.paint(part.cover(roof - 0.01), iron)


def _rocks(canvas: Canvas, color: Color, light: Light) -> None:
    """The cliff it stands on."""
    part = canvas.part(0, 0.9, 1.4, 0.5)
    rough = noise(part, 3, octaves=4, gain=0.6)
    top = 0.56 + 0.30 * abs(part.x - 0.05) ** 1.5 + 0.05 * rough
    stone = color * np.exp(0.22 * noise(part, 9, octaves=3))
    part.paint(part.cover(top - part.y), light.shade(relief(part, 0.05 * rough), stone))


def by_day(canvas: Canvas) -> None:
    """Red and white before sea and blue sky."""
    backdrops.blue_sky(canvas, level=0.45)
    backdrops.water(canvas, 0.42, srgb(0.06, 0.28, 0.42), srgb(0.30, 0.55, 0.68), srgb(1, 1, 1))
    light = daylight(canvas)
    red = canvas.tint(srgb(0.80, 0.10, 0.08), 0.06)
    _tower(canvas, srgb(0.92, 0.91, 0.88), red, srgb(0.65, 0.75, 0.80), light)
    _rocks(canvas, srgb(0.52, 0.48, 0.42), light)


def by_night(canvas: Canvas) -> None:
    """Under stars, its beams in the haze."""
    rng = canvas.rng
    backdrops.sky(canvas, srgb(0.02, 0.04, 0.12), srgb(0.10, 0.17, 0.32), level=0.5)
    for x, y in rng.uniform((-1.1, -1.1), (1.1, 0.3), (45, 2)).tolist():
        star = canvas.part(x, y, 0.02)
        star.paint(0.8 * star.cover(shapes.disc(star.x - x, star.y - y, 0.009)), srgb(1, 1, 1))
    near, far = srgb(0.02, 0.05, 0.10), srgb(0.06, 0.11, 0.20)
    backdrops.water(canvas, 0.42, near, far, srgb(0.3, 0.3, 0.3))
    away = abs(canvas.x)
    beam = np.exp(-(((canvas.y - LAMP + 0.12 * away) / (0.05 + 0.16 * away)) ** 2))
    canvas.shine(beam / (0.5 + 1.1 * away), srgb_scaled(1, 0.92, 0.66, rng.uniform(0.35, 0.5)))
    light = Light((0, -0.4, 0.9), srgb(0.12, 0.14, 0.20), srgb(0.26, 0.30, 0.42))
    lamp = srgb_scaled(1, 0.92, 0.65, 3.5)
    _tower(canvas, srgb(0.70, 0.70, 0.72), srgb(0.40, 0.14, 0.16), lamp, light)
    _rocks(canvas, srgb(0.22, 0.22, 0.24), light)
    bloom(canvas, 0.7, radius=0.1)


def at_sunset(canvas: Canvas) -> None:
    """A dark outline before an orange sky, the sun low on the water."""
    gold = canvas.tint(srgb(1.0, 0.60, 0.18), 0.05)
    backdrops.sky(canvas, srgb(0.52, 0.24, 0.36), gold, level=0.4)
    backdrops.clouds(canvas, srgb(0.95, 0.42, 0.28), amount=0.5, level=0.3)
    x = canvas.rng.uniform(0.5, 0.62)
    sun = canvas.part(x, 0.3, 0.2)
    sun.paint(sun.cover(shapes.disc(sun.x - x, sun.y - 0.3, 0.13)), srgb_scaled(1, 0.88, 0.5, 2.2))
    glint = srgb(1, 0.7, 0.3)
    backdrops.water(canvas, 0.42, srgb(0.30, 0.14, 0.16), srgb(0.90, 0.50, 0.22), glint)
    path = canvas.cover(0.43 - canvas.y) * np.exp(-(((canvas.x - x) / 0.14) ** 2))
    canvas.shine(path * (0.5 + 0.3 * noise(canvas, 3, 26)), glint)
    dusk, ambient = srgb_scaled(1, 0.5, 0.25, 0.25), srgb(0.22, 0.15, 0.17)
    light = draw_light(canvas, dusk, ambient, side=(0.9, 1.3))
    lamp = srgb_scaled(1, 0.8, 0.45, 1.1)
    _tower(canvas, srgb(0.36, 0.28, 0.28), srgb(0.22, 0.10, 0.10), lamp, light)
    _rocks(canvas, srgb(0.14, 0.10, 0.10), light)
    bloom(canvas, 0.3, threshold=0.6)
