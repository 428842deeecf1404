"""Hot-air balloons: one close by, several at dawn, one glowing by night."""

from __future__ import annotations

import numpy as np

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, Color, mix, srgb
from mfvjax.facetworld.light import Light, ball, daylight, draw_light, srgb_scaled
from mfvjax.facetworld.photo import bloom, defocus

COLORS = (
    srgb(0.85, 0.12, 0.10),
    srgb(0.95, 0.70, 0.08),
    srgb(0.10, 0.30, 0.70),
    srgb(0.92, 0.90, 0.86),
    srgb(0.12, 0.52, 0.30),
    srgb(0.90, 0.42, 0.10),
    srgb(0.50, 0.15, 0.45),
)
# Of the balloons in the distance.
PLACES = ((-0.62, -0.55), (0.02, -0.66), (0.62, -0.42), (-0.32, 0.0), (0.3, 0.08), (-0.78, 0.22),
          (0.8, 0.3))  # fmt: skip


def _balloon(
    canvas: Canvas,
    x: float,
    y: float,
    size: float,
    colors: tuple[Color, Color],
    light: Light,
    *,
    glow: float = 0.0,
) -> None:
    """Envelope of upright gores in two colors, ropes and basket.

    Args:
      canvas: painted over.
      x: abscissa of the envelope's center.
      y: ordinate of the envelope's center.
      size: radius of the envelope.
      colors: of the gores, in turn.
      light: of the scene.
      glow: light of the burner that shines through.
    """
    part = canvas.part(x, y + 0.45 * size, 1.1 * size, 1.6 * size)
    u, v = (part.x - x) / size, (part.y - y) / size
    rope = shapes.stroke(abs(u), v, (0.24, 1.2), (0.13, 1.62), 0.015) * size
    part.paint(part.cover(rope), srgb(0.15, 0.12, 0.10))
    basket = shapes.box(u, v - 1.72, 0.15, 0.12, 0.03) * size
    weave = 1.5 - 2.5 * abs(u) + 0.25 * shapes.wave(v, 0.07)
    part.paint(part.cover(basket), srgb(0.42, 0.27, 0.14) * weave)
    # Below its equator the envelope narrows to a mouth instead of closing.
    upper, lower = np.minimum(v, 0), np.maximum(v, 0)
    half = np.sqrt(np.maximum(1 - upper**2, 0)) * (1 - 0.78 * (lower / 1.25) ** 1.6)
    envelope = shapes.outside(abs(u) - half, -1 - v, v - 1.25) * (0.8 * size)
    across = u / np.maximum(half, 0.05)
    normals = ball(across * np.sqrt(np.maximum(1 - 0.6 * v * v, 0.05)), 0.75 * v)
    gore = np.arcsin(np.clip(across, -1, 1)) * (8 / np.pi)
    skin = mix(*colors, backdrops.ramp(np.cos(np.pi * gore), -0.15, 0.15))
    skin = skin * (1 - 0.25 * np.exp(-20 * shapes.stripe(gore + 0.5, 1.0)))
    inner = glow * np.exp(-1.1 * (u * u + (0.8 * (v - 0.5)) ** 2))
    part.paint(part.cover(envelope), light.shade(normals, skin, gloss=0.12) + inner * skin)


def one_close_by(canvas: Canvas) -> None:
    """A red and yellow balloon that fills the frame, on a blue sky."""
    rng = canvas.rng
    backdrops.blue_sky(canvas, level=1.0)
    defocus(canvas, 0.02)
    colors = canvas.tint(COLORS[0], 0.06), canvas.tint(COLORS[1], 0.06)
    _balloon(canvas, rng.normal(0, 0.05), -0.24, rng.uniform(0.58, 0.66), colors, daylight(canvas))


def several_at_dawn(canvas: Canvas) -> None:
    """Small balloons of many colors over misty hills."""
    rng = canvas.rng
    rose = canvas.tint(srgb(1.0, 0.78, 0.66), 0.04)
    backdrops.sky(canvas, srgb(0.52, 0.60, 0.82), rose, level=0.5)
    backdrops.hills(canvas, 0.62, srgb(0.62, 0.50, 0.58), height=0.3)
    backdrops.hills(canvas, 0.82, srgb(0.42, 0.34, 0.42), height=0.3)
    cover, nearness = backdrops.below(canvas, 0.8)
    canvas.paint(cover, mix(srgb(0.40, 0.34, 0.40), srgb(0.24, 0.22, 0.24), nearness))
    light = draw_light(canvas, srgb_scaled(1, 0.82, 0.65, 0.85), srgb(0.58, 0.54, 0.62))
    for i in rng.permutation(len(PLACES)):
        x, y = PLACES[i][0] + rng.normal(0, 0.06), PLACES[i][1] + rng.normal(0, 0.06)
        first, second = rng.permutation(len(COLORS))[:2]
        size = rng.uniform(0.15, 0.22)
        _balloon(canvas, x, y, size, (COLORS[first], COLORS[second]), light)


def glowing_by_night(canvas: Canvas) -> None:
    """On a dark field, its burner lighting the envelope from inside."""
    rng = canvas.rng
    backdrops.sky(canvas, srgb(0.03, 0.04, 0.12), srgb(0.14, 0.14, 0.28), level=0.8)
    backdrops.ground(canvas, 0.82, srgb(0.07, 0.08, 0.06), srgb(0.05, 0.06, 0.07))
    light = Light((0, -0.3, 0.95), srgb(0.15, 0.16, 0.22), srgb(0.18, 0.2, 0.3))
    colors = canvas.tint(srgb(0.95, 0.42, 0.10), 0.06), canvas.tint(srgb(0.80, 0.22, 0.08), 0.06)
    x = rng.normal(0, 0.05)
    _balloon(canvas, x, -0.26, rng.uniform(0.56, 0.64), colors, light, glow=rng.uniform(1.5, 2.1))
    flame = canvas.part(x, 0.62, 0.12, 0.2)
    fire = np.exp(-(((flame.x - x) / 0.03) ** 2) - ((flame.y - 0.6) / 0.08) ** 2)
    flame.shine(2.5 * fire, srgb(1.0, 0.75, 0.35))
    spill = np.exp(-(((canvas.x - x) / 0.5) ** 2) - ((canvas.y - 0.95) / 0.14) ** 2)
    canvas.shine(0.20 * spill, srgb(1.0, 0.55, 0.20))
    bloom(canvas, 0.4)
