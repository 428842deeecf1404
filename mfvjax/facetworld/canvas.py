"""The square of linear light that a scene is painted on, seen through a slightly shaken camera.

Scene coordinates: the frame spans about [-1, 1] on both axes, x to the right, y **down**; the
camera's zoom, shift and roll move what is painted, so a scene never repeats to the pixel. Colors
are linear light (``srgb`` converts the familiar ones), channels first, so that a color times a
plane is an image and NumPy's inner loops are long; only ``photo.develop`` leaves both.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

Plane: TypeAlias = Float[np.ndarray, "h w"]
Color: TypeAlias = Float[np.ndarray, "3 1 1"]
Colors: TypeAlias = Float[np.ndarray, "3 h w"]
_ColorOrColors: TypeAlias = Float[np.ndarray, "3 _ _"]


def srgb(red: float, green: float, blue: float) -> Color:
    """Linear light of a display color with channels in [0, 1] (power law 2.2)."""
    return np.array([red, green, blue], np.float32).reshape(3, 1, 1) ** np.float32(2.2)


def mix(first: _ColorOrColors, second: _ColorOrColors, share: Plane) -> Colors:
    """Per pixel ``first`` where `share` is 0, ``second`` where it is 1."""
    return first + (second - first) * share


@dataclasses.dataclass(frozen=True, eq=False)
class Canvas:
    """Pixels with their scene coordinates; a part of a canvas is a canvas that paints through.

    Attributes:
      pixels: linear light, painted in place.
      x: scene abscissa of every pixel, to the right.
      y: scene ordinate of every pixel, down.
      pixel: side of one pixel in scene units.
      rng: the image's only source of randomness.
      axes: ``(2, 2)`` matrix from scene to pixel offsets, ``(column, row)`` order.
      origin: pixel ``(column, row)`` of the scene's origin.
    """

    pixels: Colors
    x: Plane
    y: Plane
    pixel: float
    rng: np.random.Generator
    axes: Float[np.ndarray, "2 2"]
    origin: Float[np.ndarray, " 2"]

    def part(
        self, x: float, y: float, half_width: float, half_height: float | None = None
    ) -> Canvas:
        """The pixels around a box centered at scene ``(x, y)``: painting there costs less.

        Always at least 2x2 pixels, so that a part outside the frame needs no special case.
        """
        half_height = half_width if half_height is None else half_height
        signs = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], np.float32)
        corners = np.array([x, y]) + signs * np.array([half_width, half_height])
        places = corners @ self.axes.T + self.origin
        limits = np.array(self.x.shape[::-1])
        low = np.clip(np.floor(places.min(0)).astype(int) - 2, 0, limits - 2)
        high = np.clip(np.ceil(places.max(0)).astype(int) + 2, low + 2, limits)
        box = np.s_[low[1] : high[1], low[0] : high[0]]
        return dataclasses.replace(
            self,
            pixels=self.pixels[:, *box],
            x=self.x[box],
            y=self.y[box],
            origin=self.origin - low,
        )

    def cover(self, distance: Plane, *, soft: float = 0.0) -> Plane:
        """Coverage in [0, 1] of the shape whose signed distance is negative inside.

        Args:
          distance: in scene units.
          soft: extra width of the edge, in scene units; 0 is one pixel wide.
        """
        return np.clip(0.5 - distance / (self.pixel + soft), 0, 1)

    def paint(self, coverage: Plane, color: Color | Colors) -> None:
        """Lays `color` over the pixels as opaquely as `coverage` says."""
        self.pixels[...] += coverage * (color - self.pixels)

    def darken(self, amount: Plane) -> None:
        """Takes away a share of the light: shadows, gaps, occlusion."""
        self.pixels[...] *= 1 - np.clip(amount, 0, 1)

    def shine(self, amount: Plane, color: Color) -> None:
        """Adds light: lamps, glints, glow."""
        self.pixels[...] += amount * color

    def local(self, x: float, y: float, angle: float = 0.0) -> tuple[Plane, Plane]:
        """Coordinates of an object placed at ``(x, y)`` and turned clockwise by `angle` radians."""
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        across, down = self.x - np.float32(x), self.y - np.float32(y)
        return across * cos + down * sin, down * cos - across * sin

    def tint(self, color: Color, amount: float = 0.08) -> Color:
        """`color` with its brightness and hue varied by about `amount` (one standard deviation)."""
        overall, *each = self.rng.normal(0, amount, 4)
        return (color * np.exp(overall + 0.6 * np.reshape(each, (3, 1, 1)))).astype(np.float32)


def new_canvas(
    rng: np.random.Generator,
    size: int,
    *,
    zoom: float = 0.07,
    shift: float = 0.04,
    roll: float = 0.03,
) -> Canvas:
    """An empty canvas behind a camera held by hand: normally distributed, at most two deviations.

    Args:
      rng: continues to be the canvas's source of randomness.
      size: side in pixels.
      zoom: deviation of the enlargement's logarithm.
      shift: deviation of the displacement along each axis, in scene units.
      roll: deviation of the turn, in radians.
    """
    shake = np.clip(rng.normal(0, 1, 4), -2, 2)
    scale, center, angle = float(np.exp(zoom * shake[0])), shift * shake[1:3], roll * shake[3]
    pixel = 2 / (size * scale)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    places = (np.arange(size) + 0.5 - size / 2) * pixel
    column, row = np.meshgrid(places, places)
    x = turn[0, 0] * column + turn[1, 0] * row - center[0]
    y = turn[0, 1] * column + turn[1, 1] * row - center[1]
    axes = turn / pixel
    return Canvas(
        pixels=np.zeros((3, size, size), np.float32),
        x=x.astype(np.float32),
        y=y.astype(np.float32),
        pixel=float(pixel),
        rng=rng,
        axes=axes.astype(np.float32),
        origin=(axes @ center + size / 2).astype(np.float32),
    )
