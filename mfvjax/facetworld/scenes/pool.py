"""Pool tables: the balls close up, the whole table from afar."""

from __future__ import annotations

import numpy as np

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, Color, mix, srgb
from mfvjax.facetworld.light import Light, ball, draw_light, srgb_scaled
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


def _ball(canvas: Canvas, x: float, y: float, radius: float, color: Color, light: Light) -> None:
    """One glossy ball, striped or plain, its number in a white circle."""
    rng = canvas.rng
    side = -np.sign(light.direction[0])
    backdrops.soft_shadow(
        canvas, x + 0.3 * side * radius, y + 0.75 * radius, 1.1 * radius, 0.45 * radius, 0.75
    )
    part = canvas.part(x, y, radius)
    u, v = (part.x - x) / radius, (part.y - y) / radius
    normals = ball(u, v)
    # The pattern is fixed to the ball, the ball turned at random.
    axis = rng.normal(0, 1, 3) + np.array([0, 0, 1.2])
    axis /= np.linalg.norm(axis)
    toward = sum(float(a) * n for a, n in zip(axis, normals, strict=True))
    skin = mix(color, color, u)
    white = srgb(0.92, 0.90, 0.82)
    if rng.random() < 0.4:
        across = normals[0] * float(axis[1]) - normals[1] * float(axis[0])
        skin = mix(white, color, backdrops.ramp(np.abs(across), 0.55, 0.5))
    skin = mix(skin, white, backdrops.ramp(toward, 0.86, 0.89))
    skin = mix(skin, srgb(0.05, 0.05, 0.05), backdrops.ramp(toward, 0.975, 0.985))
    shaded = light.shade(normals, skin, gloss=1.6, sharpness=7)
    bounce = np.maximum(normals[1], 0) ** 2
    part.paint(
        part.cover(shapes.disc(part.x - x, part.y - y, radius)), shaded + 0.25 * bounce * FELT
    )


def balls_close_up(canvas: Canvas) -> None:
    """Large balls on green felt."""
    rng = canvas.rng
    cloth = 0.10 * noise(canvas, 30, octaves=2) + 0.05 * noise(canvas, 2)
    pool = np.exp(-0.25 * (canvas.x**2 + canvas.y**2))
    canvas.pixels[...] = canvas.tint(FELT, 0.05) * (pool * np.exp(cloth))
    light = draw_light(canvas, srgb_scaled(1, 0.96, 0.88, 0.95), srgb(0.48, 0.50, 0.48))
    colors = rng.permutation(len(BALLS))
    places = [
        (-0.5, -0.55),
        (0.35, -0.6),
        (-0.02, -0.05),
        (0.78, -0.02),
        (-0.72, 0.2),
        (0.4, 0.5),
        (-0.3, 0.66),
    ]
    for i, (x, y) in enumerate(places):
        shift = rng.normal(0, 0.05, 2)
        radius = 0.27 + 0.05 * y + rng.normal(0, 0.01)
        _ball(canvas, x + float(shift[0]), y + float(shift[1]), radius, BALLS[colors[i]], light)


def table_from_afar(canvas: Canvas) -> None:
    """The table in a paneled room, a lamp above it."""
    rng = canvas.rng
    backdrops.plaster(canvas, canvas.tint(srgb(0.50, 0.36, 0.25), 0.06))
    panel = np.abs(np.mod(canvas.x / 0.3, 1) - 0.5)
    canvas.darken(
        0.35 * backdrops.ramp(panel, 0.44, 0.5)
        + 0.25 * canvas.cover(0.02 - np.abs(canvas.y + 0.05))
    )
    backdrops.planks(canvas, srgb(0.42, 0.27, 0.16), width=0.12, level=0.12)
    defocus(canvas, 0.015)
    wood = canvas.tint(srgb(0.36, 0.17, 0.08), 0.06)
    backdrops.soft_shadow(canvas, 0, 0.78, 0.85, 0.16, 0.8)
    for x in (-0.6, 0.6):
        leg = canvas.part(x, 0.68, 0.12, 0.25)
        block = shapes.box(leg.x - x, leg.y - 0.65, 0.07, 0.2, 0.02)
        leg.paint(leg.cover(block), 0.7 * wood * (1.1 - 5 * np.abs(leg.x - x)))
    far, near, edge = (0.52, 0.0), (0.86, 0.38), 0.07
    apron = [
        (-near[0], near[1]),
        (near[0], near[1]),
        (near[0], near[1] + 0.15),
        (-near[0], near[1] + 0.15),
    ]
    canvas.paint(canvas.cover(shapes.polygon(canvas.x, canvas.y, apron)), 0.55 * wood)
    frame = [(-far[0], far[1]), far, near, (-near[0], near[1])]
    canvas.paint(canvas.cover(shapes.polygon(canvas.x, canvas.y, frame) - 0.01), 1.3 * wood)
    felt = [
        (-far[0] + 0.04, 0.035),
        (far[0] - 0.04, 0.035),
        (near[0] - edge, 0.335),
        (edge - near[0], 0.335),
    ]
    lamp = np.exp(-((canvas.x / 0.6) ** 2) - ((canvas.y - 0.17) / 0.3) ** 2)
    cloth = canvas.tint(srgb(0.07, 0.50, 0.27), 0.05) * (0.45 + 0.9 * lamp)
    canvas.paint(canvas.cover(shapes.polygon(canvas.x, canvas.y, felt)), cloth)
    for x, y in ((-0.49, 0.03), (0.49, 0.03), (-0.8, 0.35), (0.8, 0.35), (0, 0.02), (0, 0.35)):
        part = canvas.part(x, y, 0.06)
        part.paint(
            part.cover(shapes.ellipse(part.x - x, part.y - y, 0.045, 0.022)), srgb(0.02, 0.02, 0.02)
        )
    light = Light((0, -0.8, 0.6), srgb_scaled(1, 0.93, 0.8, 1), srgb(0.4, 0.4, 0.4))
    for i in rng.permutation(len(BALLS)):
        x, y = rng.uniform(-0.5, 0.5), rng.uniform(0.09, 0.28)
        _ball(canvas, x, y, 0.028 + 0.02 * y, BALLS[i], light)
    _lamp(canvas)
    bloom(canvas, 0.3, threshold=0.6)


def _lamp(canvas: Canvas) -> None:
    """Three shades on a bar that hangs from the ceiling."""
    for x in (-0.36, 0.0, 0.36):
        part = canvas.part(x, -0.6, 0.2, 0.7)
        cord = np.maximum(np.abs(part.x - x) - 0.008, part.y + 0.55)
        part.paint(part.cover(cord), srgb(0.08, 0.07, 0.06))
        shade = shapes.polygon(
            part.x - x, part.y, [(-0.04, -0.62), (0.04, -0.62), (0.15, -0.44), (-0.15, -0.44)]
        )
        part.paint(
            part.cover(shade), srgb(0.05, 0.30, 0.16) * (1.2 - 4 * np.abs(part.x - x - 0.03))
        )
        bulb = shapes.ellipse(part.x - x, part.y + 0.44, 0.14, 0.03)
        part.paint(part.cover(bulb), srgb_scaled(1, 0.9, 0.65, 2.2))
