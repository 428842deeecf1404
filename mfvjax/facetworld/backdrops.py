"""What lies behind and below the things: skies, ground, water, walls, leaves."""

from __future__ import annotations

import numpy as np

from mfvjax.facetworld import shapes
from mfvjax.facetworld.canvas import Canvas, Color, Colors, Plane, mix, srgb
from mfvjax.facetworld.noise import noise


def ramp(values: Plane, low: float, high: float) -> Plane:
    """0 up to `low`, 1 from `high`, smooth between (falls if `high` is the smaller)."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def sky(canvas: Canvas, zenith: Color, horizon: Color, *, level: float = 0.2) -> None:
    """A clear sky over the whole canvas, `horizon` colored from scene ordinate `level` down."""
    canvas.pixels[...] = mix(horizon, zenith, ramp(canvas.y, level, -1.3))


def clouds(canvas: Canvas, color: Color, *, amount: float = 0.5, level: float = 0.2) -> None:
    """Drifting clouds above scene ordinate `level`, flatter toward it.

    Args:
      canvas: painted over.
      color: of their lit side.
      amount: 0 is a blue sky, 1 an overcast one.
      level: ordinate of the horizon.
    """
    puffs = 0.75 * noise(canvas, 1.3, 2.6, octaves=4, gain=0.55)
    density = ramp(puffs, 1.0 - 2 * amount, 2.0 - 1.6 * amount) * ramp(canvas.y, level, level - 0.5)
    shadow = 0.82 + 0.18 * ramp(np.gradient(puffs, axis=0), -0.03, 0.03)
    canvas.paint(0.9 * density, color * shadow)


def blue_sky(canvas: Canvas, *, level: float = 0.2, amount: float | None = None) -> None:
    """A fair day."""
    sky(canvas, canvas.tint(srgb(0.22, 0.45, 0.80), 0.06), srgb(0.70, 0.82, 0.93), level=level)
    amount = canvas.rng.uniform(0.25, 0.5) if amount is None else amount
    clouds(canvas, srgb(0.97, 0.97, 0.98), amount=amount, level=level)


def below(canvas: Canvas, level: float) -> tuple[Plane, Plane]:
    """Coverage of the ground below `level`, and its nearness: 0 far, 1 at the lower edge."""
    return canvas.cover(level - canvas.y), np.clip((canvas.y - level) / (1.15 - level), 0, 1)


def ground(
    canvas: Canvas, level: float, near: Color, far: Color, *, rough: float = 0.25, flat: float = 2.5
) -> None:
    """Earth, sand, asphalt: speckled below `level`, finer and paler toward the horizon.

    Args:
      canvas: painted over.
      level: ordinate of the horizon.
      near: color at the viewer's feet.
      far: color at the horizon.
      rough: contrast of the texture.
      flat: how much longer than high its patches are.
    """
    cover, nearness = below(canvas, level)
    fine = noise(canvas, 14, 14 * flat, octaves=2)
    coarse = noise(canvas, 4, 4 * flat, octaves=3)
    texture = np.exp(np.float32(rough) * (fine + (coarse - 0.6 * fine) * nearness))
    canvas.paint(cover, mix(far, near, nearness) * texture)


def lawn(canvas: Canvas, level: float, near: Color, far: Color) -> None:
    """Grass below `level`: blades in front, a smooth green toward the horizon."""
    cover, nearness = below(canvas, level)
    blades = noise(canvas, 26, 7, octaves=2)
    patches = noise(canvas, 3, 8, octaves=3)
    texture = np.exp(0.34 * blades * (0.25 + 0.75 * nearness) + 0.16 * patches)
    canvas.paint(cover, mix(far, near, nearness) * texture)


def water(canvas: Canvas, level: float, near: Color, far: Color, glint: Color) -> None:
    """Open water below `level`, rippled, with `glint` on the crests."""
    cover, nearness = below(canvas, level)
    ripples = noise(canvas, 5, 34, octaves=2)
    swell = noise(canvas, 2, 11, octaves=2)
    waves = ripples * (0.3 + 0.4 * nearness) + 0.5 * swell
    color = mix(far, near, nearness) * np.exp(0.22 * waves)
    color += (0.35 * ramp(waves, 0.9, 2.2)) * glint
    canvas.paint(cover, color)


def hills(canvas: Canvas, level: float, color: Color, *, height: float = 0.15) -> None:
    """A ridge of about `height` standing on `level`, with a little texture."""
    row = canvas.x[0] * np.float32(2.2)
    phases = canvas.rng.uniform(0, 6.3, 3).astype(np.float32)
    ridge = np.sin(row + phases[0]) + 0.5 * np.sin(2.7 * row + phases[1])
    ridge = (ridge + 0.2 * np.sin(6.1 * row + phases[2])) * np.float32(0.3 * height)
    top = level - 0.6 * height + ridge[None]
    cover = canvas.cover(np.maximum(top - canvas.y, canvas.y - level - 0.25))
    canvas.paint(cover, color * np.exp(0.12 * noise(canvas, 9, octaves=2)))


def planks(
    canvas: Canvas, color: Color, *, width: float, upright: bool = False, level: float = -9.0
) -> None:
    """Boards of `width` below ordinate `level`, each with its own tint and grain."""
    u = canvas.x if upright else canvas.y
    place = u / width + canvas.rng.random()
    board = np.floor(place).astype(int)
    tints = canvas.rng.normal(0, 0.16, 64).astype(np.float32)[board % 64]
    grain = noise(canvas, 22, 1.6, octaves=2) if upright else noise(canvas, 1.6, 22, octaves=2)
    gap = ramp(shapes.stripe(place, 1.0), 0.46, 0.5)
    color = color * np.exp(tints + 0.16 * grain - 1.6 * gap)
    canvas.paint(canvas.cover(level - canvas.y), color)


def bricks(canvas: Canvas, color: Color, mortar: Color, *, height: float) -> Colors:
    """Colors of a wall in running bond, courses of `height` (returned, not painted)."""
    row = np.floor(canvas.y / height).astype(int)
    place = canvas.x / (2.2 * height) + 0.5 * (row % 2)
    column = np.floor(place).astype(int)
    tints = canvas.rng.normal(0, 0.14, 997).astype(np.float32)[(row * 31 + column * 7) % 997]
    bed, head = shapes.stripe(canvas.y, height), shapes.stripe(place, 1.0)
    joint = np.maximum(ramp(bed, 0.38, 0.46), ramp(head, 0.44, 0.48))
    wall = color * np.exp(tints + 0.08 * noise(canvas, 20))
    return wall + (mortar - wall) * joint


def plaster(canvas: Canvas, color: Color, *, rough: float = 0.05) -> None:
    """A painted wall in uneven light, over the whole canvas."""
    uneven = noise(canvas, 0.8, octaves=2) * 0.07 + rough * noise(canvas, 16, octaves=3, gain=0.7)
    slope = canvas.rng.normal(0, 0.12) * canvas.x + canvas.rng.normal(0, 0.1) * canvas.y
    canvas.pixels[...] = color * np.exp(uneven + slope)


def foliage(canvas: Canvas, dark: Color, light: Color, *, leaves: int = 26) -> None:
    """A thicket over the whole canvas: mottled greens, leaves, spots of light between them."""
    depth = noise(canvas, 2.5, octaves=4, gain=0.7)
    canvas.pixels[...] = mix(dark, light, ramp(depth, -1.6, 2.4))
    for _ in range(leaves):
        x, y = canvas.rng.uniform(-1.1, 1.1, 2)
        share = np.float32(canvas.rng.beta(1.6, 2.2))
        color = canvas.tint(dark + (light - dark) * share, 0.1)
        leaf(canvas, x, y, canvas.rng.uniform(0.12, 0.26), canvas.rng.uniform(0, 6.28), color)


def leaf(canvas: Canvas, x: float, y: float, length: float, angle: float, color: Color) -> None:
    """One leaf, its halves lit differently along the rib.

    Args:
      canvas: painted over.
      x: abscissa of its center.
      y: ordinate of its center.
      length: from center to tip.
      angle: of the rib, clockwise from the x axis, in radians.
      color: of the lighter half.
    """
    part = canvas.part(x, y, length)
    u, v = part.local(x, y, angle)
    # The overlap of two discs is pointed at both ends.
    radius = 1.15 * length
    rise = radius - 0.45 * length
    shape = np.maximum(shapes.disc(u, v - rise, radius), shapes.disc(u, v + rise, radius))
    half = ramp(v, -0.02 * length, 0.02 * length)
    veins = 0.06 * np.sin((u - np.abs(v)) * (22 / length))
    shading = 1.0 - 0.3 * half - 0.35 * np.exp(-np.abs(v) * (30 / length)) + veins
    part.paint(part.cover(shape), color * shading)


def soft_shadow(
    canvas: Canvas, x: float, y: float, radius_x: float, radius_y: float, strength: float = 0.6
) -> None:
    """Darkens an ellipse that fades from its center: the shadow where a thing stands."""
    part = canvas.part(x, y, 2.2 * radius_x, 2.2 * radius_y)
    u, v = (part.x - x) / radius_x, (part.y - y) / radius_y
    part.darken(np.float32(strength) * np.exp(-1.2 * (u * u + v * v)))


def vegetation_light() -> tuple[Color, Color]:
    """Dark and light green of leaves in the sun."""
    return srgb(0.07, 0.18, 0.06), srgb(0.45, 0.62, 0.25)
