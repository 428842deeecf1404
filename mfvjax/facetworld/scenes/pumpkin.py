"""Pumpkins: in the field by day, a lantern by night."""

from __future__ import annotations

import numpy as np

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, Color, Plane, mix, srgb
from mfvjax.facetworld.light import Light, cushion, daylight, relief, srgb_scaled
from mfvjax.facetworld.noise import noise
from mfvjax.facetworld.photo import bloom
from mfvjax.facetworld.shapes import Distance

NUM_RIBS = 9  # on the half that is seen
FIELD = (  # y, x and size, from far to near
    (-0.25, 0.10, 0.15),
    (-0.22, -0.70, 0.16),
    (-0.20, 0.75, 0.17),
    (0.08, -0.30, 0.26),
    (0.10, 0.45, 0.27),
    (0.55, -0.55, 0.42),
    (0.58, 0.42, 0.45),
)
NOSE = ((0.0, -0.02), (-0.09, 0.14), (0.09, 0.14))
HALF_GRIN = ((0.0, 0.58), (0.14, 0.47), (0.20, 0.56), (0.34, 0.52), (0.60, 0.22), (0.30, 0.34),
             (0.24, 0.26), (0.12, 0.37))  # fmt: skip


def _pumpkin(canvas: Canvas, x: float, y: float, size: float, color: Color, light: Light) -> Canvas:
    """Flattened ball with upright ribs and a stub. Returns the part it fills."""
    part = canvas.part(x, y, 1.15 * size, 1.1 * size)
    u, v = (part.x - x) / size, (part.y - y) / size
    stub = shapes.curve(u, v, [(0.0, -0.6), (0.03, -0.85), (0.12, -0.98)], 0.12, 0.08, 0.09) * size
    bark = light.shade(relief(part, cushion(stub, 0.1 * size)), srgb(0.36, 0.38, 0.16))
    part.paint(part.cover(stub), bark)
    v = v - 0.10 * np.exp(-((u / 0.3) ** 2)) * (v < 0)  # the hollow around the stub
    square = u * u + (v / 0.78) ** 2
    waist = np.sqrt(np.maximum(1 - (v / 0.8) ** 2, 0.04))
    around = np.arcsin(np.clip(u / waist, -0.999, 0.999)) * (NUM_RIBS / np.pi)
    rib = np.abs(np.cos(np.pi * (around + part.rng.normal(0, 0.08))))
    height = np.sqrt(np.maximum(1 - square, 0)) * (0.86 + 0.14 * np.sqrt(rib + 0.02))
    skin = color * np.exp(0.05 * noise(part, 12, octaves=2) - 0.35 * (1 - rib) ** 3)
    shaded = light.shade(relief(part, 0.75 * size * height), skin, gloss=0.25)
    part.paint(np.clip((1 - square) * (0.4 * size / part.pixel), 0, 1), shaded)
    return part


def in_the_field(canvas: Canvas) -> None:
    """Orange pumpkins on brown earth between vines, by day."""
    rng, level = canvas.rng, -0.42
    backdrops.sky(canvas, srgb(0.48, 0.64, 0.82), srgb(0.85, 0.88, 0.88), level=level)
    backdrops.hills(canvas, level + 0.05, srgb(0.42, 0.38, 0.20), height=0.2)
    backdrops.ground(canvas, level, srgb(0.40, 0.29, 0.18), srgb(0.55, 0.46, 0.28), rough=0.35)
    light = daylight(canvas)
    for y, x, size in FIELD:
        x, y = x + rng.normal(0, 0.06), y + rng.normal(0, 0.03)
        for _ in range(3):
            angle, green = rng.uniform(0, 6.28), canvas.tint(srgb(0.22, 0.40, 0.13), 0.12)
            aside = 1.1 * size * float(np.cos(angle))
            backdrops.leaf(canvas, x + aside, y + 0.5 * size, 0.5 * size, angle, green)
        backdrops.soft_shadow(canvas, x, y + 0.66 * size, size, 0.25 * size, 0.7)
        _pumpkin(canvas, x, y, size, canvas.tint(srgb(0.90, 0.42, 0.06), 0.06), light)


def lantern_by_night(canvas: Canvas) -> None:
    """A carved face, lit from inside, on a step in the dark."""
    canvas.pixels[...] = srgb(0.05, 0.05, 0.09) * (1 - 0.4 * backdrops.ramp(canvas.y, 0.4, -1))
    backdrops.planks(canvas, srgb(0.15, 0.11, 0.10), width=0.2, level=0.52)
    light = Light((-0.3, -0.6, 0.74), srgb(0.38, 0.32, 0.36), srgb(0.25, 0.22, 0.28))
    size, y = canvas.rng.uniform(0.68, 0.78), 0.1
    backdrops.soft_shadow(canvas, 0, y + 0.75 * size, size, 0.12, 0.8)
    part = _pumpkin(canvas, 0.0, y, size, canvas.tint(srgb(0.82, 0.34, 0.05), 0.05), light)
    u, v = part.x / size, (part.y - y) / size
    carved = _face(u, v, canvas.rng.normal(0, 0.03)) * size
    near = np.exp(-2.2 * (u * u + (v - 0.25) ** 2))
    flame = mix(srgb_scaled(1, 0.42, 0.05, 1.5), srgb_scaled(1, 0.85, 0.4, 2.6), near)
    part.paint(part.cover(carved - 0.025), srgb(0.85, 0.40, 0.06))
    part.paint(part.cover(carved), flame)
    spill = np.exp(-((canvas.x / 0.6) ** 2) - ((canvas.y - 0.85) / 0.16) ** 2)
    canvas.shine(0.10 * spill, srgb(1, 0.5, 0.15))
    bloom(canvas, 0.45)


def _face(u: Plane, v: Plane, slant: float) -> Distance:
    """Nose, eyes and grin, cut as far from symmetric as `slant` says."""
    eye = [(0.2, -0.08), (0.52, -0.1 + slant), (0.36, -0.36)]
    mirrored = [(-x, y) for x, y in reversed(HALF_GRIN[1:])]
    holes = [shapes.polygon(u, v, [*HALF_GRIN[:-1], HALF_GRIN[-1], *mirrored])]
    holes += [shapes.polygon(side * u, v, eye) for side in (-1, 1)]
    return np.minimum.reduce([*holes, shapes.polygon(u, v, NOSE)])
