"""Where things stand around the map: the map's points in a square, the facets in a ring about it.

Shared by the page and the figures. Lengths are in sides of the map; y points down.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

MAX_TILE = 0.24
GAP = 0.06  # between map and tiles: room for the lines that join them
SPACING = 0.02  # between tiles


@dataclasses.dataclass(frozen=True, eq=False)
class Ring:
    """Tiles around a map of side 1 whose top-left corner is at `map_corner`.

    Attributes:
      size: ``(width, height)`` of the whole.
      map_corner: ``(x, y)``.
      tile: side of each square tile.
      corners: ``(k, 2)``, top-left corner of each facet's tile.
      joints: ``(k, 2)``, middle of the tile's edge that faces the map.
    """

    size: tuple[float, float]
    map_corner: tuple[float, float]
    tile: float
    corners: Float[np.ndarray, "k 2"]
    joints: Float[np.ndarray, "k 2"]


def fit_map(
    points: Float[np.ndarray, "n 2"],
    centroids: Float[np.ndarray, "k 2"],
    *,
    margin: float = 0.04,
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "k 2"]]:
    """Moves and scales an embedding into the unit square, y down, its proportions kept.

    Args:
      points: the embedding, y up, any scale.
      centroids: in the same plane.
      margin: left free on each side, below 0.5.
    """
    both = np.concatenate([points, centroids]).astype(np.float64)
    low, high = both.min(0), both.max(0)
    extent = max(float((high - low).max()), 1e-9)
    unit = (both - (low + high) / 2) / extent * (1 - 2 * margin)
    unit = 0.5 + unit * np.array([1.0, -1.0])
    return unit[: len(points)], unit[len(points) :]


def ring(centroids: Float[np.ndarray, "k 2"]) -> Ring:
    """Places one tile per facet so that the lines to the centroids are short and hardly cross.

    Up to ten facets stand left and right, so that the map can be large on a wide screen; more
    stand on all four sides. Tiles keep the centroids' order around the middle: of the k ways to
    turn that order, the one of least squared line length is taken.

    Args:
      centroids: in the map's unit square, as from `fit_map`.
    """
    count = len(centroids)
    sides = _sides(count)
    tile = min(1 / max(len(side) for side in sides.values()) - SPACING, MAX_TILE)
    middles, inward = [], []
    for direction, along in sides.items():
        for at in along:
            out = np.array(direction, float)
            across = np.abs(out[::-1])
            middles.append(0.5 + out * (0.5 + GAP + tile / 2) + across * (at - 0.5))
            inward.append(-out)
    slots, inward_array = np.array(middles), np.array(inward)
    chosen = _match(slots, centroids)
    outer = GAP + tile
    map_corner = (outer, outer if (0, -1) in sides else 0.0)
    middle = slots[chosen] + np.array(map_corner)
    return Ring(
        size=(1 + 2 * map_corner[0], 1 + 2 * map_corner[1]),
        map_corner=map_corner,
        tile=tile,
        corners=middle - tile / 2,
        joints=middle + inward_array[chosen] * tile / 2,
    )


def _sides(count: int) -> dict[tuple[int, int], list[float]]:
    """Outward direction of each side in use -> where along it, in [0, 1], tiles have centers."""
    directions = [(-1, 0), (1, 0)] if count <= 10 else [(-1, 0), (1, 0), (0, -1), (0, 1)]
    numbers = [len(range(i, count, len(directions))) for i in range(len(directions))]
    return {
        direction: [(i + 0.5) / number for i in range(number)]
        for direction, number in zip(directions, numbers, strict=True)
        if number
    }


def _match(
    slots: Float[np.ndarray, "k 2"], centroids: Float[np.ndarray, "k 2"]
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Slot of each facet."""
    around = [np.argsort(np.arctan2(*(p - 0.5).T[::-1]), kind="stable") for p in (slots, centroids)]
    costs, choices = [], []
    for shift in range(len(slots)):
        chosen = np.empty(len(slots), np.intp)
        chosen[around[1]] = np.roll(around[0], shift)
        choices.append(chosen)
        costs.append(((slots[chosen] - centroids) ** 2).sum())
    return choices[int(np.argmin(costs))]
