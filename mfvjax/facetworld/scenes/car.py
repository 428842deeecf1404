"""An open car in profile, from the front and from behind."""

from __future__ import annotations

import numpy as np

from mfvjax.facetworld import backdrops, shapes
from mfvjax.facetworld.canvas import Canvas, Color, Plane, srgb
from mfvjax.facetworld.light import Light, cushion, relief, srgb_scaled
from mfvjax.facetworld.shapes import Distance

BLACK = srgb(0.05, 0.05, 0.06)
CHROME = srgb(0.80, 0.81, 0.83)


def _panel(canvas: Canvas, distance: Distance, paint: Color, light: Light, bulge: float) -> None:
    """Lacquered sheet metal: rounded at its outline, mirroring sky above and ground below."""
    normals = relief(canvas, cushion(distance, bulge))
    mirrored = 0.20 * backdrops.ramp(-normals[1], 0.25, 0.6)
    skin = light.shade(normals, paint, gloss=0.9, sharpness=6)
    canvas.paint(canvas.cover(distance), skin + mirrored * light.ambient)


def _wheel(canvas: Canvas, x: float, y: float, radius: float) -> None:
    part = canvas.part(x, y, 1.15 * radius)
    u, v = part.x - x, part.y - y
    rim = shapes.disc(u, v, 0.66 * radius)
    spokes = np.cos(5 * np.arctan2(v, u) + part.rng.uniform(0, 6.3))
    part.paint(part.cover(shapes.disc(u, v, 1.16 * radius)), 0.4 * BLACK)
    part.paint(part.cover(shapes.disc(u, v, radius)), srgb(0.13, 0.13, 0.14))
    part.paint(part.cover(rim), CHROME * (0.45 + 0.45 * (spokes > 0) - 0.8 * v / radius))
    part.paint(part.cover(shapes.disc(u, v, 0.14 * radius)), srgb(0.3, 0.3, 0.32))


def side(canvas: Canvas, paint: Color, light: Light, *, level: float) -> None:
    """The car in profile, heading left, its wheels on ordinate `level`."""
    top = level - 0.36
    backdrops.soft_shadow(canvas, 0, level + 0.01, 0.85, 0.07, 0.9)
    _seats(canvas.part(0.2, top - 0.05, 0.5, 0.25), top)
    car = canvas.part(0, level - 0.25, 1.05, 0.5)
    x, y = car.x, car.y - level
    outline = [(-0.93, -0.12), (-0.94, -0.22), (-0.86, -0.30), (-0.30, -0.355), (0.50, -0.355),
               (0.85, -0.33), (0.95, -0.24), (0.93, -0.11)]  # fmt: skip
    _panel(car, shapes.polygon(x, y, outline) - 0.02, paint, light, 0.11)
    crease = shapes.outside(abs(y + 0.21) - 0.006, abs(x) - 0.88)
    door = abs(shapes.box(x - 0.14, y + 0.2, 0.24, 0.14, 0.03)) - 0.003
    car.darken(0.35 * car.cover(crease) + 0.6 * car.cover(door))
    car.paint(car.cover(shapes.box(x, y + 0.075, 0.86, 0.02, 0.01)), 0.6 * BLACK)
    headlamp = shapes.ellipse(x + 0.88, y + 0.24, 0.045, 0.035)
    car.paint(car.cover(headlamp), srgb_scaled(1, 0.98, 0.9, 1.2))
    car.paint(car.cover(shapes.box(x - 0.94, y + 0.22, 0.025, 0.045, 0.02)), srgb(0.85, 0.05, 0.05))
    for hub in (-0.58, 0.6):
        _wheel(canvas, hub, level - 0.11, 0.155)


def _seats(part: Canvas, top: float) -> None:
    """Seat backs and the slanted windshield, in profile, above ordinate `top`."""
    x, y = part.x, part.y - top
    for place in (0.12, 0.40):
        seat = shapes.box(x - place, y + 0.04, 0.07, 0.13, 0.05)
        part.paint(part.cover(seat), srgb(0.36, 0.24, 0.16) * (1.1 - 3 * abs(x - place)))
    glass = shapes.polygon(x, y, [(-0.26, 0.03), (-0.02, -0.2), (0.0, -0.2), (-0.08, 0.03)])
    part.paint(part.cover(glass), srgb(0.55, 0.66, 0.72))
    frame = shapes.stroke(x, y, (-0.27, 0.03), (-0.01, -0.21), 0.014)
    part.paint(part.cover(frame), BLACK)


def _cabin(canvas: Canvas, top: float, leather: Color) -> None:
    """Windshield frame, mirror and headrests, seen along the car, standing on ordinate `top`."""
    part = canvas.part(0, top - 0.12, 0.6, 0.25)
    for x in (-0.24, 0.24):
        rest = shapes.box(part.x - x, part.y - top + 0.08, 0.1, 0.14, 0.06)
        part.paint(part.cover(rest), leather * (1.1 - 3 * abs(part.x - x)))
    frame = [(-0.5, top + 0.02), (-0.4, top - 0.26), (0.4, top - 0.26), (0.5, top + 0.02)]
    shield = shapes.polygon(part.x, part.y, frame)
    sheen = 0.35 + 0.25 * backdrops.ramp(part.x + part.y, -0.4, 0.2)
    part.paint(0.4 * sheen * part.cover(shield), srgb(0.80, 0.88, 0.93))
    part.paint(part.cover(abs(shield) - 0.016), BLACK)
    mirror = shapes.box(part.x, part.y - top + 0.2, 0.07, 0.025, 0.02)
    part.paint(part.cover(mirror), BLACK)


def _shell(canvas: Canvas, paint: Color, light: Light, *, level: float) -> Canvas:
    """What front and rear share: wheels, shadow, the wide body. Returns the part it fills."""
    backdrops.soft_shadow(canvas, 0, level, 0.85, 0.09, 0.95)
    for x in (-0.55, 0.55):
        tire = canvas.part(x, level - 0.1, 0.14, 0.16)
        shape = shapes.box(tire.x - x, tire.y - level + 0.11, 0.12, 0.14, 0.03)
        tire.paint(tire.cover(shape), srgb(0.10, 0.10, 0.11) * (1.2 - 4 * abs(tire.x - x)))
    car = canvas.part(0, level - 0.3, 0.85, 0.35)
    half = [(0.45, -0.54), (0.62, -0.46), (0.76, -0.30), (0.72, -0.10)]
    outline = [*((-x, y) for x, y in reversed(half)), *half]
    _panel(car, shapes.polygon(car.x, car.y - level, outline) - 0.025, paint, light, 0.16)
    return car


def _bumper_and_plate(car: Canvas, y: Plane, bumper: float, plate: float) -> None:
    """Chrome bumper and lettered plate, that far above the wheels' lower edge."""
    bar = shapes.box(car.x, y + bumper, 0.745, 0.03, 0.03)
    car.paint(car.cover(bar), CHROME * (1.1 - 9 * abs(y + bumper + 0.015)))
    sign = shapes.box(car.x, y + plate, 0.15, 0.045, 0.01)
    car.paint(car.cover(sign), srgb(0.90, 0.90, 0.86))
    letters = shapes.outside(sign + 0.018, (shapes.stripe(car.x, 0.045) - 0.3) * 0.045)
    car.paint(0.8 * car.cover(letters), BLACK)


def front(canvas: Canvas, paint: Color, light: Light, *, level: float) -> None:
    """Seen from the front: two round lamps and a grille."""
    _cabin(canvas, level - 0.54, srgb(0.30, 0.22, 0.17))
    car = _shell(canvas, paint, light, level=level)
    x, y = car.x, car.y - level
    fold = abs(shapes.stroke(abs(x), y, (0.2, -0.52), (0.26, -0.36), 0.0)) - 0.006
    car.darken(0.3 * car.cover(fold))
    grille = shapes.box(x, y + 0.2, 0.34, 0.075, 0.05)
    car.paint(car.cover(grille - 0.015), CHROME * (1.2 - 7.5 * (y + 0.28)))
    car.paint(car.cover(grille), BLACK + 0.5 * CHROME * (shapes.stripe(x, 0.05) > 0.36))
    lamp = shapes.disc(abs(x) - 0.55, y + 0.32, 0.1)
    glass = np.exp(-0.6 * (shapes.disc(abs(x) - 0.55, y + 0.34, 0.0) / 0.08) ** 2)
    car.paint(car.cover(lamp - 0.018), CHROME)
    car.paint(car.cover(lamp), 1.25 * srgb(0.94, 0.95, 0.92) * glass)
    _bumper_and_plate(car, y, 0.085, 0.085)


def rear(canvas: Canvas, paint: Color, light: Light, *, level: float) -> None:
    """Seen from behind: folded top, red lamps, exhausts."""
    _cabin(canvas, level - 0.56, srgb(0.70, 0.58, 0.42))
    car = _shell(canvas, paint, light, level=level)
    x, y = car.x, car.y - level
    folded = shapes.box(x, y + 0.55, 0.5, 0.06, 0.05)
    cloth = light.shade(relief(car, cushion(folded, 0.05)), srgb(0.14, 0.12, 0.11))
    car.paint(car.cover(folded), cloth)
    car.darken(0.5 * car.cover(abs(shapes.box(x, y + 0.36, 0.5, 0.12, 0.05)) - 0.004))
    lamp = shapes.box(abs(x) - 0.6, y + 0.3, 0.13, 0.06, 0.04)
    car.paint(car.cover(lamp - 0.012), CHROME)
    car.paint(car.cover(lamp), srgb_scaled(0.95, 0.06, 0.04, 1.1))
    car.paint(car.cover(shapes.disc(abs(x) - 0.56, y + 0.31, 0.03)), srgb(1.0, 0.55, 0.40))
    pipe = shapes.ellipse(abs(x) - 0.38, y + 0.06, 0.06, 0.03)
    car.paint(car.cover(pipe), CHROME)
    car.paint(car.cover(pipe + 0.012), 0.3 * BLACK)
    _bumper_and_plate(car, y, 0.13, 0.22)
