"""Movie theaters: the facade by day, the facade by night, rows of seats before the screen."""

from __future__ import annotations

import numpy as np

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, Color, Colors, Plane, mix, srgb
from mfvjax.facetworld.light import daylight, pillar, srgb_scaled
from mfvjax.facetworld.noise import noise
from mfvjax.facetworld.photo import bloom

PAVEMENT_Y = 0.74


def facade_by_day(canvas: Canvas) -> None:
    """The street front under a blue sky."""
    backdrops.blue_sky(canvas, level=0.3)
    _building(canvas, canvas.tint(srgb(0.74, 0.56, 0.42), 0.06), srgb(0.20, 0.26, 0.32))
    _doors(canvas, srgb(0.16, 0.13, 0.12), 1.0)
    _pavement(canvas, srgb(0.62, 0.60, 0.57))
    backdrops.soft_shadow(canvas, 0, 0.42, 0.7, 0.12, 0.5)
    red = canvas.tint(srgb(0.70, 0.14, 0.12))
    _marquee(canvas, red, srgb(0.93, 0.92, 0.88), srgb(0.1, 0.1, 0.1))
    _blade(canvas, red, srgb(0.95, 0.9, 0.75))
    sun = daylight(canvas).direction[0]
    canvas.pixels[...] *= 1 + np.float32(0.15 * sun) * canvas.x


def facade_by_night(canvas: Canvas) -> None:
    """The same front in the dark: neon, bulbs, lit doors, wet pavement."""
    backdrops.sky(canvas, srgb(0.02, 0.03, 0.09), srgb(0.09, 0.09, 0.19), level=0.5)
    _building(canvas, canvas.tint(srgb(0.22, 0.15, 0.15), 0.06), srgb(0.10, 0.09, 0.10))
    _doors(canvas, srgb_scaled(1, 0.78, 0.42, 1.3), 1.6)
    reach = np.exp(-(((canvas.y - 0.1) / 0.35) ** 2) - (canvas.x / 0.9) ** 2)
    canvas.pixels[...] *= 1 + 1.6 * reach * srgb(1, 0.7, 0.5)
    _pavement(canvas, srgb(0.16, 0.14, 0.16))
    wet = canvas.cover(PAVEMENT_Y - canvas.y) * np.exp(-((canvas.x / 0.6) ** 2))
    canvas.shine(wet * (0.24 + 0.08 * noise(canvas, 3, 20)), srgb(1.0, 0.62, 0.35))
    neon = canvas.tint(srgb(0.95, 0.14, 0.20), 0.08)
    _marquee(canvas, 1.3 * neon, srgb_scaled(1, 0.95, 0.8, 1.9), srgb(0.25, 0.02, 0.05))
    _blade(canvas, 1.1 * neon, srgb_scaled(1, 0.85, 0.45, 2.6))
    bloom(canvas, canvas.rng.uniform(0.45, 0.7))


def _building(canvas: Canvas, wall: Color, pane: Color) -> None:
    """Brick front with ledges and windows."""
    top = -0.72 + canvas.rng.normal(0, 0.04)
    front = shapes.outside(abs(canvas.x) - 0.86, top - canvas.y, canvas.y - PAVEMENT_Y)
    canvas.paint(canvas.cover(front), backdrops.bricks(canvas, wall, 0.75 * wall, height=0.055))
    for y, height in ((top, 0.05), (-0.02, 0.02)):
        ledge = shapes.box(canvas.x, canvas.y - y, 0.9, height)
        canvas.paint(canvas.cover(ledge), 1.25 * wall)
    for x in (-0.6, -0.3, 0.3, 0.6):
        part = canvas.part(x, -0.36, 0.14, 0.2)
        window = shapes.box(part.x - x, part.y + 0.36, 0.095, 0.15)
        part.paint(part.cover(window - 0.02), 1.3 * wall)
        part.paint(part.cover(window), pane)


def _doors(canvas: Canvas, inside: Color, poster_light: float) -> None:
    """Four glass doors between two posters."""
    doors = shapes.box(canvas.x, canvas.y - 0.53, 0.5, 0.21)
    leaf = shapes.stripe(canvas.x, 0.25)
    canvas.paint(canvas.cover(doors), inside * np.exp(-2 * leaf))
    bars = shapes.outside(doors, 0.11 - 0.25 * leaf)
    canvas.paint(canvas.cover(bars), srgb(0.35, 0.27, 0.18))
    for x in (-0.68, 0.68):
        part = canvas.part(x, 0.5, 0.16, 0.2)
        colors = part.tint(srgb(0.5, 0.3, 0.2), 0.3), part.tint(srgb(0.2, 0.3, 0.5), 0.3)
        picture = mix(*colors, np.clip(0.5 + noise(part, 7), 0, 1)) * np.float32(poster_light)
        part.paint(part.cover(shapes.box(part.x - x, part.y - 0.5, 0.11, 0.16)), picture)


def _marquee(canvas: Canvas, trim: Color, board: Color, letters: Color) -> None:
    """The canopy over the doors: a lettered board in a colored frame."""
    part = canvas.part(0, 0.14, 0.85, 0.3)
    corners = [(-0.6, -0.02), (0.6, -0.02), (0.74, 0.3), (-0.74, 0.3)]
    part.paint(part.cover(shapes.polygon(part.x, part.y, corners)), trim)
    face = shapes.box(part.x, part.y - 0.13, 0.58, 0.095)
    part.paint(part.cover(face), board)
    part.paint(0.85 * part.cover(_text(part, 0.035) * 0.05) * part.cover(face + 0.03), letters)


def _text(part: Canvas, top: float) -> Plane:
    """Lines of strokes that read as letters from afar: negative where there is ink."""
    line, letter = (part.y - top) / 0.064, part.x / 0.042
    cell = np.floor(letter).astype(int) * 13 + np.floor(line).astype(int) * 101
    missing = part.rng.random(499)[cell % 499] > 0.72
    ink = shapes.outside(shapes.stripe(line, 1.0) - 0.28, shapes.stripe(letter, 1.0) - 0.3)
    return ink + missing


def _blade(canvas: Canvas, color: Color, bulbs: Color) -> None:
    """The upright sign above the marquee, framed in bulbs."""
    part = canvas.part(0, -0.45, 0.2, 0.55)
    u, v = part.x, part.y + 0.45
    sign = shapes.box(u, v, 0.135, 0.47, 0.1)
    part.paint(part.cover(sign - 0.02), 0.5 * color)
    part.paint(part.cover(sign), color)
    along = 0.06 * shapes.stripe(v, 0.06)
    part.paint(part.cover(np.sqrt((sign + 0.025) ** 2 + along**2) - 0.014), bulbs)
    for y in (-0.28, -0.14, 0.0, 0.14, 0.28):
        letter = abs(shapes.box(u, v - y, 0.045, 0.042, 0.02)) - 0.014
        part.paint(part.cover(letter), bulbs)


def _pavement(canvas: Canvas, color: Color) -> None:
    backdrops.ground(canvas, PAVEMENT_Y, color, 0.9 * color, rough=0.15)
    curb = shapes.box(canvas.x, canvas.y - 0.9, 9, 0.015)
    canvas.paint(canvas.cover(curb), 0.6 * color)


def seats_and_screen(canvas: Canvas) -> None:
    """The hall from the back: rows of red seats, curtains, the bright screen."""
    canvas.pixels[...] = srgb(0.10, 0.06, 0.06)
    folds = 0.55 + 0.45 * shapes.wave(canvas.x + canvas.rng.random(), 0.15)
    canvas.paint(canvas.cover(0.62 - abs(canvas.x)), srgb(0.32, 0.05, 0.06) * folds)
    screen = shapes.box(canvas.x, canvas.y + 0.42, 0.66, 0.38)
    canvas.paint(canvas.cover(screen - 0.03), srgb(0.02, 0.02, 0.02))
    canvas.paint(canvas.cover(screen), 1.25 * _film(canvas))
    canvas.paint(canvas.cover(0.04 - canvas.y), srgb(0.10, 0.05, 0.05))
    red = canvas.tint(srgb(0.70, 0.09, 0.09), 0.06)
    for row in range(6):
        y = 0.06 + 0.14 * row + 0.016 * row * row
        width = 0.085 * (1 + 0.36 * row)
        _seat_row(canvas, y, width, red * np.float32(0.55 + 0.11 * row), 0.5 * (row % 2))
    bloom(canvas, 0.25, radius=0.2)


def _film(canvas: Canvas) -> Colors:
    """What is shown: something pale."""
    share = np.clip(0.5 + 0.4 * noise(canvas, 1.6, octaves=2), 0, 1)
    return mix(srgb(0.62, 0.74, 0.90), srgb(0.95, 0.95, 0.92), share)


def _seat_row(canvas: Canvas, y: float, width: float, color: Color, phase: float) -> None:
    """One row of seat backs, light from the screen on their upper edges."""
    part = canvas.part(0, y + width, 1.4, 1.4 * width)
    u = (np.mod(part.x / (2 * width) + phase, 1) - 0.5) * 2 * width
    v = part.y - y - width
    part.darken(0.75 * np.exp(-np.maximum(-v - 1.1 * width, 0) / (0.3 * width)))
    back = shapes.box(u, v, 0.86 * width, 1.15 * width, 0.4 * width)
    edge_light = np.exp(-np.maximum(v + 1.15 * width, 0) / (0.22 * width))
    part.paint(part.cover(back - 0.1 * width), srgb(0.05, 0.02, 0.02))
    part.paint(part.cover(back), color * (0.25 + 0.6 * pillar(u / width)[2] + 1.3 * edge_light))
