"""Daisies close up and in a meadow; pumpkins in the field and as lanterns."""

from __future__ import annotations

import numpy as np

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, Color, mix, srgb
from mfvjax.facetworld.light import Light, daylight, relief, srgb_scaled
from mfvjax.facetworld.noise import noise
from mfvjax.facetworld.photo import bloom, defocus


def _daisy(
    canvas: Canvas, x: float, y: float, size: float, light: Light, *, flat: float = 1.0
) -> None:
    """One blossom: white rays around a yellow disc; `flat` < 1 sees it from the side."""
    rng = canvas.rng
    part = canvas.part(x, y, 1.05 * size)
    u, v = (part.x - x) / size, (part.y - y) / (size * flat)
    away, around = np.sqrt(u * u + v * v), np.arctan2(v, u)
    for count, length, tone in ((19, 1.0, 0.82), (17, 0.94, 1.0)):
        turned = around * (count / 6.2832) + rng.random()
        ray = np.abs(np.mod(turned, 1) - 0.5)
        lengths = (
            length
            - 0.10 * rng.random(count).astype(np.float32)[np.floor(turned).astype(int) % count]
        )
        width = 0.46 * np.sqrt(np.clip(1 - (away / lengths) ** 6, 0, 1))
        petal = (ray - width) * away * (6.28 / count) * size
        groove = 1 - 0.35 * ray - 0.12 * np.cos(ray * 25)
        color = srgb(0.94, 0.94, 0.93) * (
            tone * groove * (0.72 + 0.28 * backdrops.ramp(away, 0.2, 0.7))
        )
        part.paint(
            part.cover(np.maximum(petal, (away - lengths) * size)),
            color * (light.ambient + 0.5 * light.color),
        )
    heart = shapes.disc(u, v, 0.3)
    grains = noise(part, 16 / (6 * size), octaves=2)
    height = np.sqrt(np.maximum(-heart, 0)) * 0.25 * size + 0.012 * size * grains
    yolk = part.tint(srgb(0.95, 0.70, 0.06), 0.04) * np.exp(0.12 * grains)
    part.paint(part.cover(heart * size), light.shade(relief(part, height), yolk))


def daisy_close_up(canvas: Canvas) -> None:
    """One blossom fills the frame before a blurred dark green."""
    rng = canvas.rng
    backdrops.foliage(canvas, srgb(0.05, 0.16, 0.08), srgb(0.20, 0.40, 0.17), leaves=14)
    defocus(canvas, 0.06)
    stem = shapes.curve(canvas.x, canvas.y, [(0.05, 0.0), (0.02, 0.6), (0.12, 1.4)], 0.05)
    canvas.paint(canvas.cover(stem), srgb(0.25, 0.42, 0.14))
    _daisy(
        canvas,
        0.0,
        -0.04,
        rng.uniform(0.72, 0.84),
        daylight(canvas, 0.9),
        flat=rng.uniform(0.88, 1.0),
    )


def daisies_in_a_meadow(canvas: Canvas) -> None:
    """Many small blossoms in bright grass under the sky."""
    rng = canvas.rng
    level = rng.uniform(-0.55, -0.45)
    backdrops.blue_sky(canvas, level=level)
    backdrops.hills(canvas, level + 0.05, srgb(0.28, 0.45, 0.26))
    backdrops.lawn(canvas, level + 0.02, srgb(0.30, 0.55, 0.12), srgb(0.48, 0.64, 0.24))
    light = daylight(canvas)
    near = np.sort(rng.uniform(0.02, 1, 44))
    for depth in near:
        y = level + 0.08 + (1.05 - level) * float(depth) ** 1.3
        size = 0.028 + 0.13 * float(depth) ** 1.3
        x = rng.uniform(-1.1, 1.1)
        stem = canvas.part(x, y + size, 0.02, 1.2 * size)
        stem.paint(0.7 * stem.cover(np.abs(stem.x - x) - 0.09 * size), srgb(0.16, 0.36, 0.08))
        _daisy(canvas, x, y, size, light, flat=rng.uniform(0.5, 0.75))


def _pumpkin(canvas: Canvas, x: float, y: float, size: float, color: Color, light: Light) -> Canvas:
    """Flattened ball with upright ribs and a stub. Returns the part it fills."""
    rng = canvas.rng
    part = canvas.part(x, y, 1.15 * size, 1.1 * size)
    u, v = (part.x - x) / size, (part.y - y) / size
    stub = shapes.curve(u, v, [(0.0, -0.6), (0.03, -0.85), (0.12, -0.98)], 0.12, 0.08, 0.09) * size
    part.paint(
        part.cover(stub),
        light.shade(relief(part, cushioned(stub, 0.1 * size)), srgb(0.36, 0.38, 0.16)),
    )
    dip = 0.10 * np.exp(-((u / 0.3) ** 2)) * (v < 0)
    square = u * u + ((v - dip) / 0.78) ** 2
    waist = np.sqrt(np.maximum(1 - ((v - dip) / 0.8) ** 2, 0.04))
    around = np.arcsin(np.clip(u / waist, -0.999, 0.999)) * (9 / np.pi) + 0.5 + rng.normal(0, 0.08)
    rib = np.abs(np.cos(np.pi * (around - 0.5)))
    height = np.sqrt(np.maximum(1 - square, 0)) * (0.86 + 0.14 * np.sqrt(rib + 0.02))
    skin = color * np.exp(0.05 * noise(part, 12, octaves=2) - 0.35 * (1 - rib) ** 3)
    shaded = light.shade(relief(part, 0.75 * size * height), skin, gloss=0.25)
    edge = (1 - square) * (0.4 * size / part.pixel)
    part.paint(np.clip(edge, 0, 1), shaded)
    return part


def cushioned(distance: np.ndarray, width: float) -> np.ndarray:
    """Height of a shape with round edges `width` wide."""
    return np.sqrt(np.clip(-distance / width, 0, 1)) * np.float32(width)


def pumpkins_in_the_field(canvas: Canvas) -> None:
    """Orange pumpkins on brown earth between vines, by day."""
    rng = canvas.rng
    level = -0.42
    backdrops.sky(canvas, srgb(0.48, 0.64, 0.82), srgb(0.85, 0.88, 0.88), level=level)
    backdrops.hills(canvas, level + 0.05, srgb(0.42, 0.38, 0.20), height=0.2)
    backdrops.ground(canvas, level, srgb(0.40, 0.29, 0.18), srgb(0.55, 0.46, 0.28), rough=0.35)
    light = daylight(canvas)
    for y, x, size in ((-0.22, -0.7, 0.16), (-0.25, 0.1, 0.15), (-0.2, 0.75, 0.17), (0.08, -0.3, 0.26),
                       (0.1, 0.45, 0.27), (0.55, -0.55, 0.42), (0.58, 0.42, 0.45)):  # fmt: skip
        x, y = x + rng.normal(0, 0.06), y + rng.normal(0, 0.03)
        for _ in range(3):
            angle, green = rng.uniform(0, 6.28), canvas.tint(srgb(0.22, 0.40, 0.13), 0.12)
            backdrops.leaf(
                canvas, x + 1.1 * size * np.cos(angle), y + 0.5 * size, 0.5 * size, angle, green
            )
        backdrops.soft_shadow(canvas, x, y + 0.66 * size, size, 0.25 * size, 0.7)
        _pumpkin(canvas, x, y, size, canvas.tint(srgb(0.90, 0.42, 0.06), 0.06), light)


def lantern_by_night(canvas: Canvas) -> None:
    """A carved face, lit from inside, on a step in the dark."""
    rng = canvas.rng
    canvas.pixels[...] = srgb(0.05, 0.05, 0.09) * (1 - 0.4 * backdrops.ramp(canvas.y, 0.4, -1))
    backdrops.planks(canvas, srgb(0.15, 0.11, 0.10), width=0.2, level=0.52)
    light = Light((-0.3, -0.6, 0.74), srgb(0.38, 0.32, 0.36), srgb(0.25, 0.22, 0.28))
    size, y = rng.uniform(0.68, 0.78), 0.1
    backdrops.soft_shadow(canvas, 0, y + 0.75 * size, size, 0.12, 0.8)
    part = _pumpkin(canvas, 0.0, y, size, canvas.tint(srgb(0.82, 0.34, 0.05), 0.05), light)
    u, v = part.x / size, (part.y - y) / size
    holes = [shapes.polygon(u, v, [(0, -0.02), (-0.09, 0.14), (0.09, 0.14)])]
    for side in (-1, 1):
        slant = rng.normal(0, 0.03)
        eye = [(side * 0.2, -0.08), (side * 0.52, -0.1 + slant), (side * 0.36, -0.36)]
        holes.append(shapes.polygon(u, v, eye))
    grin = [(-0.6, 0.22), (-0.3, 0.34), (-0.24, 0.26), (-0.12, 0.37), (0.12, 0.37), (0.24, 0.26), (0.3, 0.34),
            (0.6, 0.22), (0.34, 0.52), (0.2, 0.56), (0.14, 0.47), (0.0, 0.58), (-0.14, 0.47), (-0.2, 0.56), (-0.34, 0.52)]  # fmt: skip
    holes.append(shapes.polygon(u, v, grin))
    carved = np.minimum.reduce(holes) * size
    flame = mix(
        srgb_scaled(1, 0.42, 0.05, 1.5),
        srgb_scaled(1, 0.85, 0.4, 2.6),
        np.exp(-2.2 * (u * u + (v - 0.25) ** 2)),
    )
    part.paint(part.cover(carved - 0.025), srgb(0.85, 0.40, 0.06))
    part.paint(part.cover(carved), flame)
    spill = np.exp(-((canvas.x / 0.6) ** 2) - ((canvas.y - 0.85) / 0.16) ** 2)
    canvas.shine(0.10 * spill, srgb(1, 0.5, 0.15))
    bloom(canvas, 0.45)
