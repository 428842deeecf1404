"""Pool tables: the balls close up, the whole table from afar."""

from __future__ import annotations

import numpy as np

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, Color, Colors, mix, srgb
from mfvjax.facetworld.light import Light, Normals, ball, draw_light, srgb_scaled
from mfvjax.facetworld.noise import noise
from mfvjax.facetworld.photo import bloom, defocus

BALLS = (
    srgb(0.93, 0.72, 0.08),
    srgb(0.10, 0.20, 0.60),
    srgb(0.80, 0.12, 0.08),
    srgb(0.34, 0.14, 0.48),
    srgb(0.92, 0.42, 0.08),
    srgb(0.55, 0.06, 0.10),
    srgb(0.05, 0.05, 0.06),
    srgb(0.93, 0.91, 0.84),
)
FELT = srgb(0.05, 0.42, 0.22)


# Places of the balls of the close view.
PLACES = ((-0.5, -0.55), (0.35, -0.6), (-0.02, -0.05), (0.78, -0.02), (-0.72, 0.2), (0.4, 0.5),
          (-0.3, 0.66))  # fmt: skip
POCKETS = ((-0.49, 0.03), (0.0, 0.02), (0.49, 0.03), (-0.8, 0.35), (0.0, 0.35), (0.8, 0.35))
DARK = srgb(0.02, 0.02, 0.02)


def balls_close_up(canvas: Canvas) -> None:
    """Large balls on green felt."""
    rng = canvas.rng
    cloth = 0.10 * noise(canvas, 30, octaves=2) + 0.05 * noise(canvas, 2)
    falloff = -0.25 * (canvas.x**2 + canvas.y**2)
    canvas.pixels[...] = canvas.tint(FELT, 0.05) * np.exp(falloff + cloth)
    light = draw_light(canvas, srgb_scaled(1, 0.96, 0.88, 0.95), srgb(0.48, 0.50, 0.48))
    for i, (x, y) in zip(rng.permutation(len(BALLS)), PLACES, strict=False):
        x, y, radius = x + rng.normal(0, 0.05), y + rng.normal(0, 0.05), rng.normal(0.27, 0.01)
        _ball(canvas, x, y, radius + 0.05 * y, BALLS[i], light)


def _ball(canvas: Canvas, x: float, y: float, radius: float, color: Color, light: Light) -> None:
    """One glossy ball with its shadow, the felt mirrored from below."""
    aside = x - 0.3 * float(np.sign(light.direction[0])) * radius
    backdrops.soft_shadow(canvas, aside, y + 0.75 * radius, 1.1 * radius, 0.45 * radius, 0.75)
    part = canvas.part(x, y, radius)
    normals = ball((part.x - x) / radius, (part.y - y) / radius)
    shaded = light.shade(normals, _pattern(part, normals, color), gloss=1.6, sharpness=7)
    bounce = 0.25 * np.maximum(normals[1], 0) ** 2
    edge = shapes.disc(part.x - x, part.y - y, radius)
    part.paint(part.cover(edge), shaded + bounce * FELT)


def _pattern(part: Canvas, normals: Normals, color: Color) -> Colors:
    """Plain or striped, with a number in a white circle; turned at random."""
    axis = part.rng.normal(0, 1, 3) + np.array([0, 0, 1.2])
    a, b, c = (float(component) for component in axis / np.linalg.norm(axis))
    x, y, z = normals
    white = srgb(0.92, 0.90, 0.82)
    skin = mix(color, color, x)
    if part.rng.random() < 0.4:
        skin = mix(white, color, backdrops.ramp(abs(b * x - a * y), 0.55, 0.5))
    toward = a * x + b * y + c * z
    skin = mix(skin, white, backdrops.ramp(toward, 0.86, 0.89))
    return mix(skin, srgb(0.05, 0.05, 0.05), backdrops.ramp(toward, 0.975, 0.985))


def table_from_afar(canvas: Canvas) -> None:
    """The table in a paneled room, a lamp above it."""
    rng = canvas.rng
    backdrops.plaster(canvas, canvas.tint(srgb(0.50, 0.36, 0.25), 0.06))
    groove = 0.35 * backdrops.ramp(shapes.stripe(canvas.x, 0.3), 0.44, 0.5)
    canvas.darken(groove + 0.25 * canvas.cover(abs(canvas.y + 0.05) - 0.02))
    backdrops.planks(canvas, srgb(0.42, 0.27, 0.16), width=0.12, level=0.12)
    defocus(canvas, 0.015)
    _table(canvas, canvas.tint(srgb(0.36, 0.17, 0.08), 0.06))
    light = Light((0, -0.8, 0.6), srgb_scaled(1, 0.93, 0.8, 1), srgb(0.4, 0.4, 0.4))
    for i in rng.permutation(len(BALLS)):
        x, y = rng.uniform(-0.5, 0.5), rng.uniform(0.09, 0.28)
        _ball(canvas, x, y, 0.028 + 0.02 * y, BALLS[i], light)
    for x in (-0.36, 0.0, 0.36):
        _lamp(canvas.part(x, -0.6, 0.2, 0.7), x)
    bloom(canvas, 0.3, threshold=0.6)


def _table(canvas: Canvas, wood: Color) -> None:
    """Legs, apron, rails, felt under the lamp, and pockets."""
    x, y = canvas.x, canvas.y
    backdrops.soft_shadow(canvas, 0, 0.78, 0.85, 0.16, 0.8)
    leg = shapes.box(abs(x) - 0.6, y - 0.65, 0.07, 0.2, 0.02)
    canvas.paint(canvas.cover(leg), 0.7 * wood * (1.1 - 5 * abs(abs(x) - 0.6)))
    canvas.paint(canvas.cover(shapes.box(x, y - 0.455, 0.86, 0.075)), 0.55 * wood)
    rails = shapes.polygon(x, y, [(-0.52, 0.0), (0.52, 0.0), (0.86, 0.38), (-0.86, 0.38)]) - 0.01
    canvas.paint(canvas.cover(rails), 1.3 * wood)
    felt = shapes.polygon(x, y, [(-0.48, 0.035), (0.48, 0.035), (0.79, 0.335), (-0.79, 0.335)])
    lamp = np.exp(-((x / 0.6) ** 2) - ((y - 0.17) / 0.3) ** 2)
    cloth = canvas.tint(srgb(0.07, 0.50, 0.27), 0.05)
    canvas.paint(canvas.cover(felt), cloth * (0.45 + 0.9 * lamp))
    for place in POCKETS:
        part = canvas.part(*place, 0.06)
        hole = shapes.ellipse(part.x - place[0], part.y - place[1], 0.045, 0.022)
        part.paint(part.cover(hole), DARK)


def _lamp(part: Canvas, x: float) -> None:
    """A green shade on a cord from the ceiling."""
    u, v = part.x - x, part.y
    part.paint(part.cover(shapes.outside(abs(u) - 0.008, v + 0.55)), srgb(0.08, 0.07, 0.06))
    corners = [(-0.04, -0.62), (0.04, -0.62), (0.15, -0.44), (-0.15, -0.44)]
    shade = shapes.polygon(u, v, corners)
    part.paint(part.cover(shade), srgb(0.05, 0.30, 0.16) * (1.2 - 4 * abs(u - 0.03)))
    opening = shapes.ellipse(u, v + 0.44, 0.14, 0.03)
    part.paint(part.cover(opening), srgb_scaled(1, 0.9, 0.65, 2.2))
