"""Convertibles: from the side, from the front and from behind, in six colors and places."""

from __future__ import annotations

import numpy as np

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, srgb
from mfvjax.facetworld.light import daylight, draw_light, srgb_scaled
from mfvjax.facetworld.noise import noise
from mfvjax.facetworld.photo import bloom, defocus
from mfvjax.facetworld.scenes import car


def red_from_the_side(canvas: Canvas) -> None:
    """On a coast road, sea and blue sky behind."""
    backdrops.blue_sky(canvas, level=-0.05)
    backdrops.water(canvas, -0.05, srgb(0.08, 0.32, 0.48), srgb(0.36, 0.58, 0.70), srgb(1, 1, 1))
    rail = abs(canvas.y - 0.22) - 0.03
    canvas.paint(canvas.cover(rail), srgb(0.80, 0.80, 0.78))
    backdrops.ground(canvas, 0.3, srgb(0.40, 0.40, 0.41), srgb(0.52, 0.52, 0.52), rough=0.12)
    car.side(canvas, canvas.tint(srgb(0.82, 0.05, 0.05), 0.06), daylight(canvas), level=0.55)


def white_at_dusk(canvas: Canvas) -> None:
    """In profile before an orange sky."""
    glow = canvas.tint(srgb(1.0, 0.55, 0.22), 0.06)
    backdrops.sky(canvas, srgb(0.30, 0.18, 0.38), glow, level=0.15)
    backdrops.clouds(canvas, srgb(0.85, 0.40, 0.36), amount=0.45, level=0.1)
    backdrops.hills(canvas, 0.2, srgb(0.18, 0.10, 0.16), height=0.25)
    backdrops.ground(canvas, 0.2, srgb(0.20, 0.14, 0.15), srgb(0.45, 0.26, 0.20), rough=0.2)
    light = draw_light(canvas, srgb_scaled(1, 0.84, 0.7, 1.0), srgb(0.72, 0.66, 0.74))
    car.side(canvas, srgb(0.93, 0.92, 0.92), light, level=0.55)
    bloom(canvas, 0.25, threshold=0.6)


def yellow_from_the_front(canvas: Canvas) -> None:
    """In a street between gray houses."""
    rng = canvas.rng
    canvas.pixels[...] = srgb(0.80, 0.84, 0.88)
    for side in (-1, 1):
        edge = 0.42 + rng.normal(0, 0.05)
        house = shapes.outside(edge - side * canvas.x, -0.95 - 0.25 * side * canvas.x - canvas.y)
        tone = canvas.tint(srgb(0.55, 0.53, 0.52), 0.1)
        canvas.paint(canvas.cover(house), tone)
        panes = shapes.outside(shapes.stripe(canvas.x, 0.2), shapes.stripe(canvas.y, 0.26)) < 0.27
        canvas.paint(canvas.cover(house + 0.04) * panes, srgb(0.30, 0.35, 0.40))
    backdrops.ground(canvas, 0.2, srgb(0.34, 0.34, 0.35), srgb(0.50, 0.50, 0.51), rough=0.14)
    defocus(canvas, 0.03)
    car.front(canvas, canvas.tint(srgb(0.95, 0.72, 0.05), 0.05), daylight(canvas), level=0.6)


def black_in_the_showroom(canvas: Canvas) -> None:
    """From the front, on a white floor before a white wall."""
    level = 0.15
    canvas.pixels[...] = srgb(0.93, 0.93, 0.94) * (1 - 0.10 * backdrops.ramp(canvas.y, -1, level))
    cover, nearness = backdrops.below(canvas, level)
    canvas.paint(cover, srgb(0.86, 0.86, 0.88) * (0.9 + 0.2 * nearness))
    tubes = shapes.box(np.mod(canvas.x, 0.9) - 0.45, canvas.y + 0.85, 0.3, 0.03, 0.02)
    canvas.paint(canvas.cover(tubes, soft=0.02), srgb_scaled(1, 1, 1, 1.5))
    light = draw_light(canvas, srgb_scaled(1, 1, 1, 0.9), srgb(0.75, 0.76, 0.78))
    car.front(canvas, srgb(0.06, 0.06, 0.07), light, level=0.6)


def blue_from_behind(canvas: Canvas) -> None:
    """Leaving on a desert road."""
    backdrops.sky(canvas, srgb(0.45, 0.66, 0.86), srgb(0.93, 0.88, 0.78), level=0.0)
    backdrops.hills(canvas, 0.02, srgb(0.66, 0.42, 0.30), height=0.35)
    backdrops.ground(canvas, 0.0, canvas.tint(srgb(0.80, 0.56, 0.34)), srgb(0.86, 0.70, 0.50))
    road = abs(canvas.x) - 0.12 - 0.9 * np.maximum(canvas.y, 0)
    cover = canvas.cover(np.maximum(road, -canvas.y))
    canvas.paint(cover, srgb(0.38, 0.37, 0.37) * np.exp(0.1 * noise(canvas, 16, 30)))
    defocus(canvas, 0.02)
    car.rear(canvas, canvas.tint(srgb(0.06, 0.25, 0.70), 0.06), daylight(canvas), level=0.6)


def green_in_the_woods(canvas: Canvas) -> None:
    """From behind, on a forest track in autumn shade."""
    rng = canvas.rng
    backdrops.foliage(canvas, srgb(0.10, 0.16, 0.07), srgb(0.55, 0.60, 0.26), leaves=16)
    for x in rng.permutation(np.linspace(-1.1, 1.1, 9)):
        place, width = float(x) + rng.normal(0, 0.05), rng.uniform(0.03, 0.07)
        trunk = abs(canvas.x - place) - width
        bark = srgb(0.22, 0.16, 0.11) * (1.1 + 0.5 * (canvas.x - place) / width)
        canvas.paint(canvas.cover(np.maximum(trunk, canvas.y - 0.25)), bark)
    backdrops.ground(canvas, 0.22, srgb(0.34, 0.25, 0.14), srgb(0.36, 0.33, 0.16), rough=0.4)
    defocus(canvas, 0.03)
    light = daylight(canvas, 0.65)
    car.rear(canvas, canvas.tint(srgb(0.05, 0.33, 0.17), 0.05), light, level=0.6)
