"""Light on surfaces: a distant lamp, a sky that is brighter from above, and highlights."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import numpy as np

from mfvjax.facetworld.canvas import Canvas, Color, Colors, Plane, srgb

Normals: TypeAlias = tuple[Plane, Plane, Plane]


@dataclasses.dataclass(frozen=True, eq=False)
class Light:
    """Light of a scene.

    Attributes:
      direction: unit vector toward the lamp; x right, y down, z to the viewer.
      color: linear light of the lamp.
      ambient: linear light of the surroundings.
    """

    direction: tuple[float, float, float]
    color: Color
    ambient: Color

    def shade(
        self, normals: Normals, albedo: Color | Colors, *, gloss: float = 0.0, sharpness: int = 4
    ) -> Colors:
        """Light that a surface sends to the viewer: Lambert plus a Blinn-Phong highlight.

        Args:
          normals: unit normals, one plane per component.
          albedo: share of the light sent back, per channel.
          gloss: strength of the highlight; 0 is matte.
          sharpness: the highlight's exponent is ``2 ** sharpness``.
        """
        x, y, z = normals
        lx, ly, lz = self.direction
        diffuse = np.maximum(lx * x + ly * y + lz * z, 0)
        skylight = 0.65 - 0.35 * y
        shaded = albedo * (skylight * self.ambient + diffuse * self.color)
        if gloss:
            length = np.sqrt(lx**2 + ly**2 + (lz + 1) ** 2)
            glint = np.maximum((lx * x + ly * y + (lz + 1) * z) / length, 0)
            for _ in range(sharpness):
                glint = glint * glint
            shaded = shaded + (gloss * glint) * self.color
        return shaded


def draw_light(
    canvas: Canvas,
    color: Color,
    ambient: Color,
    *,
    side: tuple[float, float] = (-0.7, 0.7),
    height: tuple[float, float] = (0.4, 0.8),
) -> Light:
    """A lamp above the scene, its place drawn at random.

    Args:
      canvas: gives the randomness.
      color: of the lamp.
      ambient: of the surroundings.
      side: limits of the lamp's x.
      height: limits of how far it stands above, as y.
    """
    x, y = canvas.rng.uniform(*side), -canvas.rng.uniform(*height)
    length = float(np.sqrt(x * x + y * y + 0.7**2))
    return Light((x / length, y / length, 0.7 / length), canvas.tint(color, 0.05), ambient)


def daylight(canvas: Canvas, strength: float = 1.0) -> Light:
    """Sun and blue sky."""
    return draw_light(
        canvas, srgb_scaled(1.0, 0.96, 0.88, strength), srgb_scaled(0.6, 0.66, 0.75, 1)
    )


def srgb_scaled(red: float, green: float, blue: float, strength: float) -> Color:
    """Linear light of a display color, times `strength`: light may be brighter than white."""
    return srgb(red, green, blue) * np.float32(strength)


def ball(u: Plane, v: Plane) -> Normals:
    """Normals of an ellipsoid from coordinates that are 1 on its outline (flat outside)."""
    square = u * u + v * v
    z = np.sqrt(np.maximum(1 - square, 0))
    outside = np.maximum(np.sqrt(square), 1)
    return u / outside, v / outside, z


def pillar(u: Plane, tilt: float = 0.0) -> Normals:
    """Normals of an upright cylinder from a coordinate that is -1 and 1 on its edges.

    Args:
      u: across the cylinder.
      tilt: y of the normal, for cones; negative looks up.
    """
    x = np.clip(u, -1, 1) * np.float32(np.sqrt(1 - tilt * tilt))
    return x, np.full_like(x, tilt), np.sqrt(np.maximum(1 - x * x - np.float32(tilt * tilt), 0))


def relief(canvas: Canvas, height: Plane) -> Normals:
    """Normals of a surface given by its height over the canvas, in scene units."""
    down, across = np.gradient(height, np.float32(canvas.pixel))
    length = np.sqrt(across * across + down * down + 1)
    return -across / length, -down / length, 1 / length


def cushion(distance: Plane, width: float) -> Plane:
    """Height of a shape that rises from its outline in a quarter circle, `width` wide and high."""
    inside = np.clip(-distance / width, 0, 1)
    return np.sqrt(np.maximum(1 - (1 - inside) ** 2, 1e-4)) * np.float32(width)
