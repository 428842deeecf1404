"""Ostriches: a head against the sky, a pair afar on the grass."""

from __future__ import annotations

import numpy as np

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, srgb
from mfvjax.facetworld.light import Light, daylight, relief
from mfvjax.facetworld.noise import noise
from mfvjax.facetworld.photo import defocus
from mfvjax.facetworld.shapes import Distance

SKIN = srgb(0.66, 0.50, 0.42)


def head_against_the_sky(canvas: Canvas) -> None:
    """Head and long neck in front of a blue sky, large eye, flat beak."""
    backdrops.blue_sky(canvas, level=1.2, amount=canvas.rng.uniform(0.1, 0.3))
    defocus(canvas, 0.03)
    light = daylight(canvas)
    down = noise(canvas, 24, octaves=2)
    body = _head_and_neck(canvas, canvas.rng.normal(0, 0.06)) + 0.008 * down
    height = np.sqrt(np.maximum(-body, 0) * 0.3) + 0.003 * down
    skin = canvas.tint(SKIN, 0.06) * np.exp(0.10 * down + 0.10 * noise(canvas, 5))
    lit = light.shade(relief(canvas, height), skin, gloss=0.05)
    canvas.paint(canvas.cover(body, soft=0.03), lit)
    _beak(canvas.part(-0.4, -0.26, 0.4, 0.3), light)
    _eye(canvas.part(0.0, -0.42, 0.2))
    crest = shapes.ellipse(canvas.x - 0.1, canvas.y + 0.58, 0.28, 0.09)
    crest = crest + 0.03 * noise(canvas, 30, 6)
    canvas.paint(0.75 * canvas.cover(crest, soft=0.05), srgb(0.36, 0.29, 0.24))


def _head_and_neck(canvas: Canvas, sway: float) -> Distance:
    x, y = canvas.x, canvas.y
    path = [(0.38 + sway, 1.5), (0.34 + sway, 0.9), (0.28, 0.4), (0.2, 0.0), (0.14, -0.3)]
    neck = shapes.curve(x, y, path, 0.27, 0.21, 0.17)
    skull = shapes.ellipse(x - 0.05, y + 0.38, 0.34, 0.24)
    beak = shapes.stroke(x, y, (-0.12, -0.34), (-0.58, -0.2), 0.15, 0.07)
    return shapes.melt(shapes.melt(neck, skull, 0.12), beak, 0.07)


def _beak(part: Canvas, light: Light) -> None:
    upper = shapes.stroke(part.x, part.y, (-0.2, -0.33), (-0.58, -0.21), 0.11, 0.06)
    normals = relief(part, np.sqrt(np.maximum(-upper, 0) * 0.15))
    part.paint(part.cover(upper), light.shade(normals, srgb(0.62, 0.42, 0.32), gloss=0.3))
    mouth = shapes.curve(part.x, part.y, [(-0.62, -0.17), (-0.4, -0.22), (-0.1, -0.24)], 0.012)
    part.paint(0.8 * part.cover(mouth), srgb(0.22, 0.13, 0.10))


def _eye(part: Canvas) -> None:
    u, v = part.x, part.y + 0.42
    part.paint(part.cover(shapes.ellipse(u, v, 0.125, 0.105)), srgb(0.30, 0.22, 0.18))
    part.paint(part.cover(shapes.disc(u, v, 0.085)), srgb(0.07, 0.04, 0.03))
    part.paint(part.cover(shapes.disc(u + 0.03, v + 0.035, 0.02)), srgb(1, 1, 1))


def pair_on_the_grass(canvas: Canvas) -> None:
    """Two birds, small, on a dry savanna."""
    rng = canvas.rng
    level = rng.uniform(-0.25, -0.15)
    backdrops.sky(canvas, srgb(0.55, 0.68, 0.80), srgb(0.88, 0.88, 0.84), level=level)
    backdrops.hills(canvas, level, srgb(0.45, 0.50, 0.45))
    near, far = srgb(0.66, 0.58, 0.28), srgb(0.70, 0.68, 0.42)
    backdrops.lawn(canvas, level, canvas.tint(near, 0.06), far)
    light = daylight(canvas)
    for x, y, size in ((-0.38, 0.12, 0.50), (0.40, 0.2, 0.56)):
        _bird(canvas, x + rng.normal(0, 0.06), y + rng.normal(0, 0.04), size, light)
    front = canvas.part(0, 0.75, 1.3, 0.35)
    tufts = front.cover(0.66 - front.y + 0.10 * noise(front, 20, 3), soft=0.05)
    front.paint(0.6 * tufts, near * np.exp(0.3 * noise(front, 26, 5)))


def _bird(canvas: Canvas, x: float, y: float, size: float, light: Light) -> None:
    """Black plumage, white wing tips and tail, bare neck and legs."""
    rng = canvas.rng
    part = canvas.part(x, y, size, 1.1 * size)
    u, v = (part.x - x) / size, (part.y - y) / size
    backdrops.soft_shadow(canvas, x, y + 0.85 * size, 0.45 * size, 0.1 * size, 0.5)
    skin = canvas.tint(SKIN, 0.05)
    for foot in (-0.08, 0.14):
        points = [(foot, 0.2), (foot + 0.05, 0.52), (foot - 0.02, 0.84), (foot - 0.12, 0.86)]
        part.paint(part.cover(shapes.curve(u, v, points, 0.055, 0.03, 0.025) * size), 0.85 * skin)
    lean = rng.normal(0, 0.04)
    neck = [(-0.28, 0.0), (-0.42 + lean, -0.3), (-0.38 + lean, -0.72), (-0.5 + lean, -0.78)]
    part.paint(part.cover(shapes.curve(u, v, neck, 0.09, 0.055, 0.05, 0.06) * size), skin)
    plume = 0.02 * noise(part, 30, octaves=2)
    for cx, cy, rx, ry, color in (
        (0.42, 0.0, 0.16, 0.13, srgb(0.90, 0.88, 0.84)),
        (0.04, 0.05, 0.42, 0.26, srgb(0.10, 0.09, 0.09)),
        (0.12, 0.15, 0.2, 0.09, srgb(0.85, 0.83, 0.80)),
    ):
        blob = shapes.ellipse(u - cx, v - cy, rx, ry) + plume
        height = np.sqrt(np.maximum(-blob, 0) * 0.4) * np.float32(size)
        part.paint(part.cover(blob * size), light.shade(relief(part, height), color, gloss=0.03))
