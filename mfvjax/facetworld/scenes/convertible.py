"""Convertibles: from the side, from the front and from behind, in six colors and places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, Color, srgb
from mfvjax.facetworld.light import Light, cushion, daylight, draw_light, relief, srgb_scaled
from mfvjax.facetworld.noise import noise
from mfvjax.facetworld.photo import bloom, defocus

BLACK = srgb(0.05, 0.05, 0.06)
CHROME = srgb(0.80, 0.81, 0.83)


def _panel(canvas: Canvas, distance: np.ndarray, paint: Color, light: Light, bulge: float) -> None:
    """Lacquered sheet metal: rounded at its outline, mirroring sky above and ground below."""
    normals = relief(canvas, cushion(distance, bulge))
    mirrored = 0.20 * backdrops.ramp(-normals[1], 0.25, 0.6)
    skin = light.shade(normals, paint, gloss=0.9, sharpness=6)
    canvas.paint(canvas.cover(distance), skin + mirrored * light.ambient)


def _fill(canvas: Canvas, points: Sequence[tuple[float, float]], color: Color) -> None:
    canvas.paint(canvas.cover(shapes.polygon(canvas.x, canvas.y, points)), color)


def _wheel(canvas: Canvas, x: float, y: float, radius: float) -> None:
    part = canvas.part(x, y, 1.15 * radius)
    u, v = part.x - x, part.y - y
    rim = shapes.disc(u, v, 0.66 * radius)
    spokes = np.cos(5 * np.arctan2(v, u) + part.rng.uniform(0, 6.3))
    part.paint(part.cover(shapes.disc(u, v, 1.16 * radius)), 0.4 * BLACK)
    part.paint(part.cover(shapes.disc(u, v, radius)), srgb(0.13, 0.13, 0.14))
    part.paint(part.cover(rim), CHROME * (0.45 + 0.45 * (spokes > 0) - 0.8 * v / radius))
    part.paint(part.cover(shapes.disc(u, v, 0.14 * radius)), srgb(0.3, 0.3, 0.32))


def _side(canvas: Canvas, paint: Color, light: Light, *, level: float) -> None:
    """The car in profile, heading left, its wheels on ordinate `level`."""
    car = canvas.part(0, level - 0.25, 1.05, 0.5)
    top = level - 0.36
    backdrops.soft_shadow(canvas, 0, level + 0.01, 0.85, 0.07, 0.9)
    seats = canvas.part(0.2, top - 0.05, 0.5, 0.25)
    for x in (0.12, 0.40):
        seat = shapes.box(seats.x - x, seats.y - top + 0.04, 0.07, 0.13, 0.05)
        seats.paint(seats.cover(seat), srgb(0.36, 0.24, 0.16) * (1.1 - 3 * np.abs(seats.x - x)))
    glass = [(-0.26, top + 0.03), (-0.02, top - 0.2), (0.0, top - 0.2), (-0.08, top + 0.03)]
    _fill(seats, glass, srgb(0.55, 0.66, 0.72))
    frame = shapes.stroke(seats.x, seats.y, (-0.27, top + 0.03), (-0.01, top - 0.21), 0.014)
    seats.paint(seats.cover(frame), BLACK)
    outline = [
        (-0.93, level - 0.12), (-0.94, level - 0.22), (-0.86, top + 0.06), (-0.3, top + 0.005),
        (0.5, top + 0.005), (0.85, top + 0.03), (0.95, top + 0.12), (0.93, level - 0.11),
    ]  # fmt: skip
    body = shapes.polygon(car.x, car.y, outline) - 0.02
    _panel(car, body, paint, light, 0.11)
    crease = np.abs(car.y - (level - 0.21)) - 0.006
    car.darken(0.35 * car.cover(np.maximum(crease, np.abs(car.x) - 0.88)))
    door = np.abs(shapes.box(car.x - 0.14, car.y - (level - 0.2), 0.24, 0.14, 0.03)) - 0.003
    car.darken(0.6 * car.cover(door))
    car.paint(car.cover(shapes.box(car.x, car.y - (level - 0.075), 0.86, 0.02, 0.01)), 0.6 * BLACK)
    lamp = shapes.ellipse(car.x + 0.88, car.y - (level - 0.24), 0.045, 0.035)
    car.paint(car.cover(lamp), srgb_scaled(1, 0.98, 0.9, 1.2))
    tail = shapes.box(car.x - 0.94, car.y - (level - 0.22), 0.025, 0.045, 0.02)
    car.paint(car.cover(tail), srgb(0.85, 0.05, 0.05))
    for x in (-0.58, 0.6):
        _wheel(canvas, x, level - 0.11, 0.155)


def _cabin(canvas: Canvas, top: float, leather: Color) -> None:
    """Windshield frame, mirror and headrests, seen along the car, standing on ordinate `top`."""
    part = canvas.part(0, top - 0.12, 0.6, 0.25)
    for x in (-0.24, 0.24):
        rest = shapes.box(part.x - x, part.y - top + 0.08, 0.1, 0.14, 0.06)
        part.paint(part.cover(rest), leather * (1.1 - 3 * np.abs(part.x - x)))
    frame = [(-0.5, top + 0.02), (-0.4, top - 0.26), (0.4, top - 0.26), (0.5, top + 0.02)]
    shield = shapes.polygon(part.x, part.y, frame)
    sheen = 0.35 + 0.25 * backdrops.ramp(part.x + part.y, -0.4, 0.2)
    part.paint(0.4 * sheen * part.cover(shield), srgb(0.80, 0.88, 0.93))
    part.paint(part.cover(np.abs(shield) - 0.016), BLACK)
    mirror = shapes.box(part.x, part.y - top + 0.2, 0.07, 0.025, 0.02)
    part.paint(part.cover(mirror), BLACK)


def _shell(canvas: Canvas, paint: Color, light: Light, *, level: float) -> Canvas:
    """What front and rear share: wheels, shadow, the wide body. Returns the part it fills."""
    backdrops.soft_shadow(canvas, 0, level, 0.85, 0.09, 0.95)
    for x in (-0.55, 0.55):
        tire = canvas.part(x, level - 0.1, 0.14, 0.16)
        shape = shapes.box(tire.x - x, tire.y - level + 0.11, 0.12, 0.14, 0.03)
        tire.paint(tire.cover(shape), srgb(0.10, 0.10, 0.11) * (1.2 - 4 * np.abs(tire.x - x)))
    car = canvas.part(0, level - 0.3, 0.85, 0.35)
    outline = [
        (-0.72, level - 0.1), (-0.76, level - 0.3), (-0.62, level - 0.46), (-0.45, level - 0.54),
        (0.45, level - 0.54), (0.62, level - 0.46), (0.76, level - 0.3), (0.72, level - 0.1),
    ]  # fmt: skip
    _panel(car, shapes.polygon(car.x, car.y, outline) - 0.025, paint, light, 0.16)
    return car


def _plate(car: Canvas, y: float) -> None:
    plate = shapes.box(car.x, car.y - y, 0.15, 0.045, 0.01)
    car.paint(car.cover(plate), srgb(0.90, 0.90, 0.86))
    letters = np.maximum(plate + 0.018, (np.abs(np.mod(car.x / 0.045, 1) - 0.5) - 0.3) * 0.045)
    car.paint(0.8 * car.cover(letters), BLACK)


def _front(canvas: Canvas, paint: Color, light: Light, *, level: float) -> None:
    """Seen from the front: two round lamps and a grille."""
    _cabin(canvas, level - 0.54, srgb(0.30, 0.22, 0.17))
    car = _shell(canvas, paint, light, level=level)
    for x in (-0.2, 0.2):
        fold = np.abs(shapes.stroke(car.x, car.y, (x, level - 0.52), (1.3 * x, level - 0.36), 0.0))
        car.darken(0.3 * car.cover(fold - 0.006))
    grille = shapes.box(car.x, car.y - level + 0.2, 0.34, 0.075, 0.05)
    bars = np.abs(np.mod(car.x / 0.05, 1) - 0.5)
    car.paint(car.cover(grille - 0.015), CHROME * (1.2 - 1.2 * (car.y - level + 0.28) / 0.16))
    car.paint(car.cover(grille), BLACK + CHROME * 0.5 * (bars > 0.36))
    for x in (-0.55, 0.55):
        lamp = shapes.disc(car.x - x, car.y - level + 0.32, 0.1)
        car.paint(car.cover(lamp - 0.018), CHROME)
        bright = 1.25 * np.exp(
            -0.6 * (shapes.disc(car.x - x, car.y - level + 0.34, 0.0) / 0.08) ** 2
        )
        car.paint(car.cover(lamp), srgb(0.94, 0.95, 0.92) * bright)
    bumper = shapes.box(car.x, car.y - level + 0.085, 0.74, 0.03, 0.03)
    car.paint(car.cover(bumper), CHROME * (1.1 - 9 * np.abs(car.y - level + 0.1)))
    _plate(car, level - 0.085)


def _rear(canvas: Canvas, paint: Color, light: Light, *, level: float) -> None:
    """Seen from behind: folded top, red lamps, exhausts."""
    _cabin(canvas, level - 0.56, srgb(0.70, 0.58, 0.42))
    car = _shell(canvas, paint, light, level=level)
    folded = shapes.box(car.x, car.y - level + 0.55, 0.5, 0.06, 0.05)
    cloth = relief(car, cushion(folded, 0.05))
    car.paint(car.cover(folded), light.shade(cloth, srgb(0.14, 0.12, 0.11)))
    lid = np.abs(shapes.box(car.x, car.y - level + 0.36, 0.5, 0.12, 0.05)) - 0.004
    car.darken(0.5 * car.cover(lid))
    for side in (-1, 1):
        lamp = shapes.box(car.x - side * 0.6, car.y - level + 0.3, 0.13, 0.06, 0.04)
        car.paint(car.cover(lamp - 0.012), CHROME)
        car.paint(car.cover(lamp), srgb_scaled(0.95, 0.06, 0.04, 1.1))
        inner = shapes.disc(car.x - side * 0.56, car.y - level + 0.31, 0.03)
        car.paint(car.cover(inner), srgb(1.0, 0.55, 0.40))
        pipe = shapes.ellipse(car.x - side * 0.38, car.y - level + 0.06, 0.06, 0.03)
        car.paint(car.cover(pipe), CHROME)
        car.paint(car.cover(pipe + 0.012), 0.3 * BLACK)
    bumper = shapes.box(car.x, car.y - level + 0.13, 0.75, 0.03, 0.03)
    car.paint(car.cover(bumper), CHROME * (1.1 - 9 * np.abs(car.y - level + 0.145)))
    _plate(car, level - 0.22)


def red_from_the_side(canvas: Canvas) -> None:
    """On a coast road, sea and blue sky behind."""
    backdrops.blue_sky(canvas, level=-0.05)
    backdrops.water(canvas, -0.05, srgb(0.08, 0.32, 0.48), srgb(0.36, 0.58, 0.70), srgb(1, 1, 1))
    rail = np.abs(canvas.y - 0.22) - 0.03
    canvas.paint(canvas.cover(rail), srgb(0.80, 0.80, 0.78))
    backdrops.ground(canvas, 0.3, srgb(0.40, 0.40, 0.41), srgb(0.52, 0.52, 0.52), rough=0.12)
    _side(canvas, canvas.tint(srgb(0.82, 0.05, 0.05), 0.06), daylight(canvas), level=0.55)


def white_at_dusk(canvas: Canvas) -> None:
    """In profile before an orange sky."""
    glow = canvas.tint(srgb(1.0, 0.55, 0.22), 0.06)
    backdrops.sky(canvas, srgb(0.30, 0.18, 0.38), glow, level=0.15)
    backdrops.clouds(canvas, srgb(0.85, 0.40, 0.36), amount=0.45, level=0.1)
    backdrops.hills(canvas, 0.2, srgb(0.18, 0.10, 0.16), height=0.25)
    backdrops.ground(canvas, 0.2, srgb(0.20, 0.14, 0.15), srgb(0.45, 0.26, 0.20), rough=0.2)
    light = draw_light(canvas, srgb_scaled(1, 0.84, 0.7, 1.0), srgb(0.72, 0.66, 0.74))
    _side(canvas, srgb(0.93, 0.92, 0.92), light, level=0.55)
    bloom(canvas, 0.25, threshold=0.6)


def yellow_from_the_front(canvas: Canvas) -> None:
    """In a street between gray houses."""
    rng = canvas.rng
    canvas.pixels[...] = srgb(0.80, 0.84, 0.88)
    for side in (-1, 1):
        edge = 0.42 + rng.normal(0, 0.05)
        house = np.maximum(edge - side * canvas.x, -0.95 - 0.25 * side * canvas.x - canvas.y)
        tone = canvas.tint(srgb(0.55, 0.53, 0.52), 0.1)
        canvas.paint(canvas.cover(house), tone)
        panes = np.maximum(
            np.abs(np.mod(canvas.x / 0.2, 1) - 0.5), np.abs(np.mod(canvas.y / 0.26, 1) - 0.5)
        )
        canvas.paint(canvas.cover(house + 0.04) * (panes < 0.27), srgb(0.30, 0.35, 0.40))
    backdrops.ground(canvas, 0.2, srgb(0.34, 0.34, 0.35), srgb(0.50, 0.50, 0.51), rough=0.14)
    defocus(canvas, 0.03)
    _front(canvas, canvas.tint(srgb(0.95, 0.72, 0.05), 0.05), daylight(canvas), level=0.6)


def black_in_the_showroom(canvas: Canvas) -> None:
    """From the front, on a white floor before a white wall."""
    level = 0.15
    canvas.pixels[...] = srgb(0.93, 0.93, 0.94) * (1 - 0.10 * backdrops.ramp(canvas.y, -1, level))
    cover, nearness = backdrops.below(canvas, level)
    canvas.paint(cover, srgb(0.86, 0.86, 0.88) * (0.9 + 0.2 * nearness))
    tubes = shapes.box(np.mod(canvas.x, 0.9) - 0.45, canvas.y + 0.85, 0.3, 0.03, 0.02)
    canvas.paint(canvas.cover(tubes, soft=0.02), srgb_scaled(1, 1, 1, 1.5))
    light = draw_light(canvas, srgb_scaled(1, 1, 1, 0.9), srgb(0.75, 0.76, 0.78))
    _front(canvas, srgb(0.06, 0.06, 0.07), light, level=0.6)


def blue_from_behind(canvas: Canvas) -> None:
    """Leaving on a desert road."""
    backdrops.sky(canvas, srgb(0.45, 0.66, 0.86), srgb(0.93, 0.88, 0.78), level=0.0)
    backdrops.hills(canvas, 0.02, srgb(0.66, 0.42, 0.30), height=0.35)
    backdrops.ground(canvas, 0.0, canvas.tint(srgb(0.80, 0.56, 0.34)), srgb(0.86, 0.70, 0.50))
    road = np.abs(canvas.x) - 0.12 - 0.9 * np.maximum(canvas.y, 0)
    cover = canvas.cover(np.maximum(road, -canvas.y))
    canvas.paint(cover, srgb(0.38, 0.37, 0.37) * np.exp(0.1 * noise(canvas, 16, 30)))
    defocus(canvas, 0.02)
    _rear(canvas, canvas.tint(srgb(0.06, 0.25, 0.70), 0.06), daylight(canvas), level=0.6)


def green_in_the_woods(canvas: Canvas) -> None:
    """From behind, on a forest track in autumn shade."""
    rng = canvas.rng
    backdrops.foliage(canvas, srgb(0.10, 0.16, 0.07), srgb(0.55, 0.60, 0.26), leaves=16)
    for x in rng.permutation(np.linspace(-1.1, 1.1, 9)):
        place, width = float(x) + rng.normal(0, 0.05), rng.uniform(0.03, 0.07)
        trunk = np.abs(canvas.x - place) - width
        bark = srgb(0.22, 0.16, 0.11) * (1.1 + 0.5 * (canvas.x - place) / width)
        canvas.paint(canvas.cover(np.maximum(trunk, canvas.y - 0.25)), bark)
    backdrops.ground(canvas, 0.22, srgb(0.34, 0.25, 0.14), srgb(0.36, 0.33, 0.16), rough=0.4)
    defocus(canvas, 0.03)
    light = daylight(canvas, 0.65)
    _rear(canvas, canvas.tint(srgb(0.05, 0.33, 0.17), 0.05), light, level=0.6)
