"""Bell peppers: one red on white, several yellow, green on the plant, orange in the dark."""

from __future__ import annotations

import math

import numpy as np

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, Color, Plane, srgb
from mfvjax.facetworld.light import Light, daylight, draw_light, relief, srgb_scaled
from mfvjax.facetworld.photo import defocus

STEM = srgb(0.32, 0.45, 0.14)


def _pepper(
    canvas: Canvas, x: float, y: float, size: float, angle: float, color: Color, light: Light
) -> None:
    """One pepper: lobes side by side, narrower below, glossy, with a stem in a hollow.

    Args:
      canvas: painted over.
      x: abscissa of its center.
      y: ordinate of its center.
      size: half its height.
      angle: turn in radians; 0 stands upright.
      color: of its skin.
      light: of the scene.
    """
    part = canvas.part(x, y, 1.5 * size)
    u, v = part.local(x, y, angle)
    u, v = u / size, v / size
    rise = _lobes(part, u * (1 + 0.18 * v), v)
    hollow = np.exp(-((u / 0.3) ** 2) - ((v + 0.98) / 0.22) ** 2)
    height = np.sqrt(rise + 1e-4) - 0.4 * hollow
    normals = relief(part, np.float32(0.62 * size) * height)
    skin = light.shade(normals, color, gloss=0.8, sharpness=6)
    skin += 0.10 * (1 - normals[2]) ** 3 * light.ambient
    part.paint(np.minimum(rise * (0.45 * size / part.pixel), 1), skin)
    _stem(part, u, v, size, light)


def _lobes(part: Canvas, u: Plane, v: Plane) -> Plane:
    """How far inside the outline, squared: 0 outside, 1 on the crest of each of three lobes."""
    rise = np.zeros_like(u)
    for center, width, length in ((-0.42, 0.50, 0.95), (0.42, 0.50, 0.93), (0.03, 0.52, 1.0)):
        aside, down = part.rng.normal(0, 0.03), part.rng.normal(0, 0.03)
        square = ((u - center - aside) / width) ** 2 + ((v - down) / length) ** 2
        # The fourth power keeps the sides steep and the top flat, as thick flesh does.
        rise = np.maximum(rise, 1 - square * (0.55 + 0.45 * square))
    return rise


def _stem(part: Canvas, u: Plane, v: Plane, size: float, light: Light) -> None:
    cap = shapes.ellipse(u, v + 0.86, 0.3, 0.1) * size
    up = np.zeros_like(u), np.full_like(u, -0.5), np.full_like(u, 0.86)
    part.paint(part.cover(cap), light.shade(up, 0.7 * STEM))
    lean = part.rng.uniform(-0.2, 0.2)
    path = [(0.0, -0.88), (0.3 * lean, -1.08), (lean, -1.3)]
    stem = shapes.curve(u, v, path, 0.1, 0.07, 0.1) * size
    normals = relief(part, np.sqrt(np.maximum(-stem * 0.1 * size, 0)))
    part.paint(part.cover(stem), light.shade(normals, STEM, gloss=0.1))


def one_red_on_white(canvas: Canvas) -> None:
    """A single red pepper in a studio, on seamless white."""
    rng = canvas.rng
    white = canvas.tint(srgb(0.93, 0.93, 0.92), 0.02)
    canvas.pixels[...] = white * (1.02 - 0.13 * backdrops.ramp(canvas.y, 0.0, 1.2))
    light = draw_light(canvas, srgb_scaled(1, 0.98, 0.95, 0.85), srgb(0.62, 0.62, 0.64))
    size = rng.uniform(0.5, 0.62)
    away = -0.5 * light.direction[0] * size
    backdrops.soft_shadow(canvas, away, 0.9 * size, 0.85 * size, 0.16, 0.55)
    backdrops.soft_shadow(canvas, 0.0, 0.95 * size, 0.5 * size, 0.08, 0.5)
    red = canvas.tint(srgb(0.80, 0.08, 0.06), 0.06)
    _pepper(canvas, 0.0, 0.06, size, rng.normal(0, 0.12), red, light)


def several_yellow(canvas: Canvas) -> None:
    """A heap of yellow peppers that fills the frame."""
    rng = canvas.rng
    canvas.pixels[...] = srgb(0.30, 0.22, 0.08)
    light = draw_light(canvas, srgb_scaled(1, 0.96, 0.88, 0.8), srgb(0.55, 0.54, 0.50))
    for row, y in enumerate((-0.85, -0.3, 0.25, 0.8)):
        for column in range(3):
            x = (column - 1) * 0.82 + (0.4 if row % 2 else 0.0) + rng.normal(0, 0.06)
            size = rng.uniform(0.46, 0.56)
            backdrops.soft_shadow(canvas, x, y - 0.1, 0.55, 0.55, 0.75)
            yellow = canvas.tint(srgb(0.93, 0.72, 0.07), 0.07)
            _pepper(canvas, x, y + rng.normal(0, 0.04), size, rng.normal(0, 0.5), yellow, light)


def green_on_the_plant(canvas: Canvas) -> None:
    """A green pepper hanging among its leaves."""
    rng = canvas.rng
    dark, pale = backdrops.vegetation_light()
    backdrops.foliage(canvas, dark, pale)
    defocus(canvas, 0.035)
    light = daylight(canvas, 0.75)
    stalk = canvas.part(0, -0.8, 0.3, 0.6)
    line = shapes.curve(stalk.x, stalk.y, [(0.1, -1.4), (0.05, -1.0), (0.0, -0.6)], 0.045, 0.05)
    stalk.paint(stalk.cover(line), srgb(0.30, 0.46, 0.16))
    green = canvas.tint(srgb(0.16, 0.42, 0.09), 0.07)
    backdrops.soft_shadow(canvas, 0.05, 0.15, 0.6, 0.7, 0.5)
    _pepper(canvas, 0.0, 0.1, rng.uniform(0.5, 0.58), rng.normal(0, 0.12), green, light)
    for _ in range(7):
        angle = rng.uniform(0, 6.28)
        x, y = 0.85 * math.cos(angle), 0.8 * math.sin(angle) - 0.2
        color = canvas.tint(srgb(0.30, 0.50, 0.16), 0.15)
        backdrops.leaf(canvas, x, y, rng.uniform(0.3, 0.42), rng.uniform(0, 6.28), color)


def orange_in_the_dark(canvas: Canvas) -> None:
    """An orange pepper on a dark table, one lamp from the side, mirrored in the varnish."""
    rng = canvas.rng
    canvas.pixels[...] = srgb(0.05, 0.05, 0.06)
    lamp, room = srgb_scaled(1, 0.9, 0.75, 1.1), srgb(0.18, 0.17, 0.20)
    light = draw_light(canvas, lamp, room, side=(-1.3, -0.8))
    cover, nearness = backdrops.below(canvas, 0.25)
    pool = np.exp(-((canvas.x / 0.9) ** 2)) * (0.3 + 0.7 * nearness)
    canvas.paint(cover, srgb(0.23, 0.16, 0.12) * pool)
    size = rng.uniform(0.5, 0.6)
    orange = canvas.tint(srgb(0.93, 0.36, 0.05), 0.06)
    mirrored = canvas.part(0, 0.95, 0.7, 0.35)
    glow = np.exp(-((mirrored.x / 0.4) ** 2) - ((mirrored.y - 0.75) / 0.25) ** 2)
    mirrored.shine(0.14 * glow, orange)
    backdrops.soft_shadow(canvas, 0.1, 0.95 * size, 0.6 * size, 0.07, 0.9)
    _pepper(canvas, 0.0, 0.05, size, rng.normal(0, 0.12), orange, light)
