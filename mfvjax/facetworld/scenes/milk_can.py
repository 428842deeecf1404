"""A milk can in the yard. One facet: everything varies continuously."""

from __future__ import annotations

import numpy as np

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, Color, Colors, Plane, mix, srgb
from mfvjax.facetworld.light import Light, cushion, daylight, pillar, relief
from mfvjax.facetworld.noise import noise
from mfvjax.facetworld.photo import defocus

TOP, BOTTOM, RADIUS = -0.78, 0.78, 0.43
# Half the width at some heights: neck, shoulder, body.
PROFILE = ((TOP, -0.50, -0.46, -0.16, -0.08, BOTTOM), (0.22, 0.20, 0.22, 0.40, RADIUS, RADIUS))


def in_the_yard(canvas: Canvas) -> None:
    """A metal can on grass before a brick barn."""
    brick = canvas.tint(srgb(0.52, 0.20, 0.15), 0.06)
    canvas.pixels[...] = backdrops.bricks(canvas, brick, srgb(0.45, 0.36, 0.30), height=0.11)
    backdrops.lawn(canvas, 0.32, srgb(0.26, 0.44, 0.13), srgb(0.32, 0.46, 0.18))
    defocus(canvas, 0.022)
    backdrops.soft_shadow(canvas, 0.05, 0.78, 0.55, 0.12, 0.75)
    _can(canvas.part(0, 0, 0.62, 1.0), daylight(canvas))


def _can(part: Canvas, light: Light) -> None:
    u, v = part.x, part.y
    tin = part.tint(srgb(0.66, 0.68, 0.70), 0.05)
    for side in (-1, 1):
        grip = abs(shapes.ellipse(u - side * 0.36, v + 0.3, 0.12, 0.15)) - 0.028
        part.paint(part.cover(grip), light.shade(relief(part, cushion(grip, 0.03)), tin, gloss=0.6))
    half = np.interp(v, *PROFILE).astype(np.float32)
    sag = 0.05 * (1 - (u / RADIUS) ** 2)  # rings and foot seen from a little above
    outline = shapes.outside(abs(u) - half, TOP - v, v - BOTTOM - sag)
    x, _, z = pillar(u / half + 0.05 * noise(part, 2.2, octaves=2))
    tilt = np.where((v > -0.46) & (v < -0.1), -0.45, 0.0).astype(np.float32)
    skin = _weathered(part, tin) * (0.75 + 0.45 * np.cos(9.5 * x + 0.6) * z)  # mirrored yard
    part.paint(part.cover(outline), light.shade((x, tilt, z), skin, gloss=0.8, sharpness=4))
    for y, radius in ((-0.1, 0.44), (0.3, 0.435), (0.7, 0.44), (-0.48, 0.23)):
        ring = shapes.box(u, v - y - sag, radius, 0.022, 0.02)
        part.paint(0.8 * part.cover(ring), light.shade((x, 0 * x - 0.5, z), tin, gloss=0.6))
    lid = shapes.ellipse(u, v + 0.8, 0.28, 0.085)
    part.paint(part.cover(lid), light.shade((0.5 * x, 0 * x - 0.7, z), tin, gloss=0.5))
    knob = shapes.box(u, v + 0.89, 0.1, 0.04, 0.03)
    part.paint(part.cover(knob), light.shade(relief(part, cushion(knob, 0.04)), 0.8 * tin))


def _weathered(part: Canvas, tin: Color) -> Colors:
    """Stains that run down, darker toward the ground, and specks of rust."""
    specks: Plane = 0.45 * backdrops.ramp(noise(part, 6, octaves=3), 0.9, 2.4)
    stains = 0.10 * noise(part, 5, 2, octaves=3) - 0.35 * backdrops.ramp(part.y, 0.45, 0.95)
    return mix(tin, srgb(0.45, 0.30, 0.20), specks) * np.exp(stains)
