"""A wall clock. One facet: everything varies continuously."""

from __future__ import annotations

import math

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, srgb
from mfvjax.facetworld.light import cushion, draw_light, relief, srgb_scaled

INK = srgb(0.06, 0.06, 0.07)


def on_the_wall(canvas: Canvas) -> None:
    """A round white dial in a dark rim on a painted wall, the hands anywhere."""
    backdrops.plaster(canvas, canvas.tint(srgb(0.62, 0.70, 0.72), 0.08))
    light = draw_light(canvas, srgb_scaled(1, 0.97, 0.9, 0.75), srgb(0.62, 0.63, 0.65))
    radius = canvas.rng.normal(0.67, 0.02)
    away = -0.12 * light.direction[0]
    backdrops.soft_shadow(canvas, away, 0.12, 0.95 * radius, 0.95 * radius, 0.7)
    part = canvas.part(0, 0, radius)
    edge = shapes.disc(part.x, part.y, radius)
    dial = srgb(0.93, 0.92, 0.88) * (0.98 - 0.12 * backdrops.ramp(edge, -0.3, -0.08))
    part.paint(part.cover(edge), dial)
    ring = shapes.outside(edge, -edge - 0.16 * radius)
    wood = part.tint(srgb(0.20, 0.11, 0.07), 0.06)
    rim = light.shade(relief(part, cushion(ring, 0.05)), wood, gloss=0.8, sharpness=5)
    part.paint(part.cover(ring), rim)
    for hour in range(12):
        start = 0.60 if hour % 3 == 0 else 0.66
        _line(part, hour * math.pi / 6, start * radius, 0.75 * radius, 0.016)
    time = canvas.rng.uniform(0, 2 * math.pi)
    _line(part, time, -0.08 * radius, 0.40 * radius, 0.032)
    _line(part, 12 * time, -0.12 * radius, 0.62 * radius, 0.022)
    part.paint(part.cover(shapes.disc(part.x, part.y, 0.045)), srgb(0.55, 0.40, 0.15))


def _line(part: Canvas, angle: float, start: float, end: float, width: float) -> None:
    """A mark or hand along `angle` (clockwise from the top), with its shadow on the dial."""
    x, y = math.sin(angle), -math.cos(angle)
    ends = (start * x, start * y), (end * x, end * y)
    shadow = shapes.stroke(part.x, part.y - 0.015, *ends, width)
    part.darken(0.25 * part.cover(shadow, soft=0.03))
    part.paint(part.cover(shapes.stroke(part.x, part.y, *ends, width)), INK)
