"""A fishing reel on the planks of a pier. One facet: everything varies continuously."""

from __future__ import annotations

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, Color, srgb
from mfvjax.facetworld.light import Light, cushion, daylight, pillar, relief
from mfvjax.facetworld.noise import noise
from mfvjax.facetworld.photo import defocus
from mfvjax.facetworld.shapes import Distance

BLACK = srgb(0.09, 0.09, 0.10)
STEEL = srgb(0.78, 0.79, 0.82)
ROD_Y = -0.62


def on_the_pier(canvas: Canvas) -> None:
    """A spinning reel under its rod."""
    backdrops.planks(canvas, canvas.tint(srgb(0.50, 0.42, 0.33), 0.06), width=0.34)
    defocus(canvas, 0.012)
    light = daylight(canvas, 0.9)
    backdrops.soft_shadow(canvas, 0.08, 0.36, 0.62, 0.42, 0.65)
    _rod(canvas, light)
    x, y = canvas.x, canvas.y
    foot = shapes.curve(x, y, [(-0.02, -0.56), (0.02, -0.3), (0.2, 0.0)], 0.10, 0.055, 0.12)
    _round(canvas, foot, BLACK, light, 0.08)
    gears = shapes.ellipse(x - 0.24, y - 0.18, 0.27, 0.25)
    shaft = shapes.box(x - 0.02, y - 0.18, 0.25, 0.19, 0.08)
    _round(canvas, shapes.melt(gears, shaft, 0.1), BLACK, light, 0.2)
    _spool(canvas, light)
    _crank(canvas, light)


def _round(canvas: Canvas, shape: Distance, color: Color, light: Light, width: float) -> None:
    """A glossy body with round edges."""
    normals = relief(canvas, cushion(shape, width))
    canvas.paint(canvas.cover(shape), light.shade(normals, color, gloss=0.7, sharpness=5))


def _rod(canvas: Canvas, light: Light) -> None:
    """The rod across the frame and its cork grip."""
    part = canvas.part(0, ROD_Y, 1.4, 0.13)
    down = part.y - ROD_Y
    for radius, color, gap in ((0.05, BLACK, 0.0), (0.1, srgb(0.76, 0.58, 0.38), 0.3)):
        across, along, out = pillar(down / radius)
        skin = light.shade((0 * along, across, out), color, gloss=0.3)
        if gap:
            skin = skin * (1 + 0.12 * noise(part, 20, octaves=2))
        cylinder = shapes.outside(abs(down) - radius, gap - abs(part.x + 0.05))
        part.paint(part.cover(cylinder), skin)


def _spool(canvas: Canvas, light: Light) -> None:
    """The spool with its wound line, its golden lips and the bail over it."""
    part = canvas.part(-0.42, 0.18, 0.34, 0.42)
    u, v = part.x + 0.42, part.y - 0.18
    gold = part.tint(srgb(0.86, 0.62, 0.20), 0.05)
    drums = (
        (0.0, 0.20, 0.24, srgb(0.80, 0.84, 0.80)),
        (-0.2, 0.045, 0.30, gold),
        (0.19, 0.05, 0.31, gold),
    )
    for x, half_width, half_height, color in drums:
        across, along, out = pillar(v / half_height)
        skin = light.shade((0 * along, across, out), color, gloss=0.9, sharpness=4)
        if color is not gold:
            skin = skin * (0.85 + 0.15 * shapes.wave(u, 0.024))
        part.paint(part.cover(shapes.box(u - x, v, half_width, half_height, 0.02)), skin)
    wire = canvas.part(-0.3, -0.05, 0.4, 0.4)
    path = [(-0.1, -0.16), (-0.3, -0.25), (-0.56, -0.2), (-0.66, 0.0), (-0.62, 0.2)]
    _round(wire, shapes.curve(wire.x, wire.y, path, 0.02), STEEL, light, 0.02)


def _crank(canvas: Canvas, light: Light) -> None:
    """Arm, hub and knob, turned a little at random."""
    hub = (0.28, 0.2)
    knob = hub[0] + canvas.rng.uniform(0.2, 0.36), hub[1] + canvas.rng.uniform(0.32, 0.40)
    arm = canvas.part(0.4, 0.4, 0.45)
    _round(arm, shapes.stroke(arm.x, arm.y, hub, knob, 0.045, 0.035), STEEL, light, 0.04)
    _round(arm, shapes.disc(arm.x - hub[0], arm.y - hub[1], 0.085), STEEL, light, 0.06)
    grip = shapes.box(arm.x - knob[0], arm.y - knob[1], 0.085, 0.13, 0.07)
    _round(arm, grip, srgb(0.16, 0.12, 0.11), light, 0.08)
