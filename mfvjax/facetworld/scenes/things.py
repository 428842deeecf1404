"""Things with one facet: a fishing reel, a milk can, a golf ball, a wall clock.

Their poses and colors vary continuously, so that their pictures form one group.
"""

from __future__ import annotations

import numpy as np

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, mix, srgb
from mfvjax.facetworld.light import ball, cushion, daylight, draw_light, pillar, relief, srgb_scaled
from mfvjax.facetworld.noise import noise
from mfvjax.facetworld.photo import defocus


def fishing_reel(canvas: Canvas) -> None:
    """A spinning reel under its rod, on the planks of a pier."""
    rng = canvas.rng
    backdrops.planks(canvas, canvas.tint(srgb(0.50, 0.42, 0.33), 0.06), width=0.34)
    defocus(canvas, 0.012)
    light = daylight(canvas, 0.9)
    backdrops.soft_shadow(canvas, 0.08, 0.36, 0.62, 0.42, 0.65)
    black, metal = srgb(0.09, 0.09, 0.10), srgb(0.72, 0.73, 0.76)
    rod = np.abs(canvas.y + 0.62) - 0.05
    normals = pillar((canvas.y + 0.62) / 0.05)
    canvas.paint(
        canvas.cover(rod), light.shade(normals[1:2] + normals[0:1] + normals[2:], black, gloss=0.8)
    )
    cork = np.maximum(np.abs(canvas.y + 0.62) - 0.1, 0.35 - np.abs(canvas.x + 0.05))
    grip = light.shade(
        (np.zeros_like(canvas.x), (canvas.y + 0.62) / 0.11, normals[2]), srgb(0.76, 0.58, 0.38)
    )
    canvas.paint(canvas.cover(cork), grip * np.exp(0.15 * noise(canvas, 20, octaves=2)))
    foot = shapes.curve(
        canvas.x, canvas.y, [(-0.02, -0.56), (0.02, -0.3), (0.2, 0.0)], 0.10, 0.055, 0.12
    )
    canvas.paint(
        canvas.cover(foot), light.shade(relief(canvas, cushion(foot, 0.08)), black, gloss=0.6)
    )
    body = shapes.melt(shapes.ellipse(canvas.x - 0.24, canvas.y - 0.18, 0.27, 0.25),
                       shapes.box(canvas.x - 0.02, canvas.y - 0.18, 0.25, 0.19, 0.08), 0.1)  # fmt: skip
    canvas.paint(
        canvas.cover(body),
        light.shade(relief(canvas, cushion(body, 0.2)), black, gloss=0.7, sharpness=5),
    )
    _spool(canvas, light)
    turn = rng.normal(0.9, 0.12)
    knob = 0.28 + 0.46 * np.cos(turn), 0.2 + 0.46 * np.sin(turn)
    crank = shapes.stroke(canvas.x, canvas.y, (0.28, 0.2), knob, 0.045, 0.035)
    canvas.paint(
        canvas.cover(crank),
        light.shade(relief(canvas, cushion(crank, 0.04)), metal, gloss=1.0, sharpness=5),
    )
    hub = shapes.disc(canvas.x - 0.28, canvas.y - 0.2, 0.085)
    canvas.paint(
        canvas.cover(hub), light.shade(relief(canvas, cushion(hub, 0.06)), metal, gloss=1.0)
    )
    handle = shapes.box(canvas.x - knob[0], canvas.y - knob[1], 0.085, 0.13, 0.07)
    wood = light.shade(relief(canvas, cushion(handle, 0.08)), srgb(0.16, 0.12, 0.11), gloss=0.5)
    canvas.paint(canvas.cover(handle), wood)


def _spool(canvas: Canvas, light) -> None:  # noqa: ANN001
    """The spool with its wound line, its golden lips and the bail over it."""
    part = canvas.part(-0.42, 0.18, 0.34, 0.42)
    u, v = part.x + 0.42, part.y - 0.18
    gold = part.tint(srgb(0.86, 0.62, 0.20), 0.05)
    for x, half, width, color in (
        (0.0, 0.24, 0.2, srgb(0.80, 0.84, 0.80)),
        (-0.2, 0.3, 0.045, gold),
        (0.19, 0.31, 0.05, gold),
    ):
        drum = shapes.box(u - x, v, width, half, 0.02)
        across, down, out = pillar(v / half)
        shaded = light.shade((0 * down, across, out), color, gloss=0.9, sharpness=4)
        if x == 0.0:
            shaded = shaded * (0.85 + 0.15 * np.sin(u * 260))
        part.paint(part.cover(drum), shaded)
    wire = canvas.part(-0.3, -0.05, 0.4, 0.4)
    bail = shapes.curve(
        wire.x,
        wire.y,
        [(-0.1, -0.16), (-0.3, -0.25), (-0.56, -0.2), (-0.66, 0.0), (-0.62, 0.2)],
        0.02,
    )
    wire.paint(
        wire.cover(bail),
        light.shade(relief(wire, cushion(bail, 0.02)), srgb(0.85, 0.85, 0.87), gloss=0.8),
    )


def milk_can(canvas: Canvas) -> None:
    """A dented metal can in a meadow before a barn."""
    rng = canvas.rng
    barn = backdrops.bricks(
        canvas, canvas.tint(srgb(0.52, 0.20, 0.15), 0.06), srgb(0.45, 0.36, 0.30), height=0.11
    )
    canvas.pixels[...] = barn * 0.9
    backdrops.lawn(canvas, 0.32, srgb(0.26, 0.44, 0.13), srgb(0.32, 0.46, 0.18))
    defocus(canvas, 0.022)
    light = daylight(canvas)
    backdrops.soft_shadow(canvas, 0.05, 0.78, 0.55, 0.12, 0.75)
    part = canvas.part(0, 0, 0.62, 1.0)
    u, v = part.x, part.y
    tin = part.tint(srgb(0.66, 0.68, 0.70), 0.05)
    dents = noise(part, 2.2, octaves=2)
    stains = np.exp(0.10 * noise(part, 5, 2, octaves=3) - 0.35 * backdrops.ramp(v, 0.45, 0.95))
    rust = mix(
        tin, srgb(0.45, 0.30, 0.20), 0.45 * backdrops.ramp(noise(part, 6, octaves=3), 0.9, 2.4)
    )
    for side in (-1, 1):
        grip = np.abs(shapes.ellipse(u - side * 0.36, v + 0.3, 0.12, 0.15)) - 0.028
        part.paint(part.cover(grip), light.shade(relief(part, cushion(grip, 0.03)), tin, gloss=0.6))
    profile = np.interp(
        v[:, :1], [-0.78, -0.5, -0.46, -0.16, -0.08, 0.78], [0.22, 0.2, 0.22, 0.40, 0.43, 0.43]
    )
    half = np.interp(
        v, [-0.78, -0.5, -0.46, -0.16, -0.08, 0.78], [0.22, 0.2, 0.22, 0.40, 0.43, 0.43]
    )
    del profile
    half = half.astype(np.float32)
    outline = np.maximum(
        np.abs(u) - half, np.maximum(-0.78 - v, v - 0.78 - 0.05 * (1 - (u / 0.43) ** 2))
    )
    tilt = np.where((v > -0.46) & (v < -0.1), -0.45, 0.0).astype(np.float32)
    x, _, z = pillar(u / half + 0.05 * dents)
    # Two dark bands where the surroundings are mirrored make it metal, not plaster.
    mirrored = 0.75 + 0.45 * np.cos(9.5 * x + 0.6) * z
    shaded = light.shade((x, tilt, z), rust * (mirrored * stains), gloss=0.8, sharpness=4)
    part.paint(part.cover(outline), shaded)
    for y, radius in ((-0.1, 0.44), (0.3, 0.435), (0.7, 0.44), (-0.48, 0.23)):
        ring = shapes.box(u, v - y - 0.05 * (1 - (u / 0.43) ** 2), radius, 0.022, 0.02)
        part.paint(0.8 * part.cover(ring), light.shade((x, -0.5 + 0 * x, z), tin, gloss=0.6))
    lid = shapes.ellipse(u, v + 0.8, 0.28, 0.085)
    part.paint(part.cover(lid), light.shade((0.5 * x, -0.7 + 0 * x, z), tin, gloss=0.5))
    knob = shapes.box(u, v + 0.89, 0.1, 0.04, 0.03)
    part.paint(
        part.cover(knob), light.shade(relief(part, cushion(knob, 0.04)), 0.8 * tin, gloss=0.5)
    )
    del rng


def golf_ball(canvas: Canvas) -> None:
    """A dimpled white ball in the grass."""
    rng = canvas.rng
    backdrops.sky(canvas, srgb(0.20, 0.36, 0.14), srgb(0.30, 0.46, 0.20), level=0.0)
    backdrops.lawn(canvas, -0.5, srgb(0.20, 0.47, 0.10), srgb(0.36, 0.56, 0.20))
    defocus(canvas, 0.035)
    light = daylight(canvas, 0.85)
    radius = rng.uniform(0.5, 0.6)
    center = 0.72 - radius
    backdrops.soft_shadow(
        canvas, -0.3 * np.sign(light.direction[0]) * radius, 0.68, 0.7 * radius, 0.2, 0.75
    )
    part = canvas.part(0, center, radius)
    u, v = part.local(0, center, rng.uniform(-0.5, 0.5))
    x, y, z = ball(u / radius, v / radius)
    # Dimples: a hexagonal lattice wrapped around the ball by its angles.
    across, down = np.arcsin(x) * 5.2, np.arcsin(y) * 6.0
    row = np.round(down)
    place = across + 0.5 * (row % 2)
    du, dv = place - np.round(place), down - row
    square = du * du + dv * dv
    dent = np.where(square < 0.16, 1.0, 0.0).astype(np.float32) * 0.62
    bent = x + dent * du, y + dent * dv, z
    length = np.sqrt(bent[0] ** 2 + bent[1] ** 2 + bent[2] ** 2)
    normals = tuple(n / length for n in bent)
    rim = 1 - 0.16 * backdrops.ramp(np.sqrt(square), 0.22, 0.4) * (square < 0.16)
    white = srgb(0.93, 0.93, 0.91)
    shaded = light.shade((normals[0], normals[1], normals[2]), white * rim, gloss=0.3)
    green = (0.35 * np.maximum(y, 0) ** 2) * srgb(0.3, 0.6, 0.15)
    part.paint(part.cover(shapes.disc(u, v, radius)), shaded + green)
    front = canvas.part(0, 0.85, 1.3, 0.4)
    blades = 0.62 + 0.16 * np.abs(front.x) - 0.10 * noise(front, 24, 3, octaves=2)
    color = srgb(0.22, 0.50, 0.12) * np.exp(0.35 * noise(front, 28, 4, octaves=2))
    front.paint(front.cover(blades - front.y, soft=0.03), color)


def wall_clock(canvas: Canvas) -> None:
    """A round clock on a painted wall, the hands anywhere."""
    rng = canvas.rng
    backdrops.plaster(canvas, canvas.tint(srgb(0.62, 0.70, 0.72), 0.08))
    light = draw_light(canvas, srgb_scaled(1, 0.97, 0.9, 0.75), srgb(0.62, 0.63, 0.65))
    side, radius = -light.direction[0], rng.uniform(0.62, 0.72)
    backdrops.soft_shadow(canvas, 0.12 * side, 0.12, 0.95 * radius, 0.95 * radius, 0.7)
    part = canvas.part(0, 0, radius)
    u, v = part.x, part.y
    edge = shapes.disc(u, v, radius)
    ring = np.maximum(edge, 0.84 * radius - np.sqrt(u * u + v * v))
    part.paint(
        part.cover(edge), srgb(0.93, 0.92, 0.88) * (0.98 - 0.12 * backdrops.ramp(edge, -0.3, -0.08))
    )
    wood = part.tint(srgb(0.20, 0.11, 0.07), 0.06)
    part.paint(
        part.cover(ring),
        light.shade(relief(part, cushion(ring, 0.05)), wood, gloss=0.8, sharpness=5),
    )
    ink = srgb(0.06, 0.06, 0.07)
    for hour in range(12):
        angle = hour * np.pi / 6
        sin, cos = float(np.sin(angle)), float(np.cos(angle))
        near = radius * (0.60 if hour % 3 == 0 else 0.66)
        mark = shapes.stroke(
            u, v, (near * sin, -near * cos), (0.75 * radius * sin, -0.75 * radius * cos), 0.016
        )
        part.paint(part.cover(mark), ink)
    time = rng.uniform(0, 2 * np.pi)
    for angle, length, width in ((time, 0.4, 0.032), (12 * time, 0.62, 0.022)):
        tip = (radius * length * float(np.sin(angle)), -radius * length * float(np.cos(angle)))
        hand = shapes.stroke(u, v, (-0.2 * tip[0], -0.2 * tip[1]), tip, width, 0.6 * width)
        shade = shapes.stroke(u - 0.02 * side, v - 0.025, (0, 0), tip, width)
        part.darken(0.25 * part.cover(shade, soft=0.03))
        part.paint(part.cover(hand), ink)
    part.paint(part.cover(shapes.disc(u, v, 0.045)), srgb(0.55, 0.40, 0.15))
