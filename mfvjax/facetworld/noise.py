"""Fractal value noise, one spline along each axis per octave."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from mfvjax.facetworld.canvas import Canvas, Plane


def resample(
    lattice: Float[np.ndarray, "n m"], phase: float, step: float, count: int
) -> Float[np.ndarray, "{count} m"]:
    """Cubic B-spline through the rows of `lattice`, read at ``phase + i * step``."""
    place = phase + step * np.arange(count)
    first = np.floor(place).astype(int)
    t = (place - first).astype(np.float32)[:, None]
    cubes = (1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3
    total = (cubes[0] / 6) * lattice[first]
    for node in (1, 2, 3):
        total += (cubes[node] / 6) * lattice[first + node]
    return total


def noise(
    canvas: Canvas, across: float, down: float | None = None, *, octaves: int = 1, gain: float = 0.5
) -> Plane:
    """Smooth noise of mean 0 and standard deviation about 1 over the canvas.

    Args:
      canvas: gives pixels, scale and randomness. The lattice is aligned with the frame.
      across: lattice cells per scene unit along a row (the frame is about 2 units wide).
      down: cells per scene unit along a column; `across` unless given. Unequal values give grain,
        ripples and blades.
      octaves: each has twice the frequency and `gain` times the amplitude of the one before.
      gain: in (0, 1].
    """
    down = across if down is None else down
    rows, columns = canvas.x.shape
    total = np.zeros((rows, columns), np.float32)
    # A stream of its own: how much it gives depends on the resolution, the rest must not.
    rng = canvas.rng.spawn(1)[0]
    amplitude, power = 1.0, 0.0
    for octave in range(octaves):
        # Cells below two pixels would alias, so there the lattice is the pixel grid itself.
        step_x, step_y = (min(f * 2**octave * canvas.pixel, 0.5) for f in (across, down))
        phase_x, phase_y = rng.random(2)
        shape = int(phase_y + step_y * rows) + 5, int(phase_x + step_x * columns) + 5
        lattice = rng.random(shape, np.float32) - np.float32(0.5)
        smooth = np.ascontiguousarray(resample(lattice.T, phase_x, step_x, columns).T)
        total += np.float32(amplitude) * resample(smooth, phase_y, step_y, rows)
        power += amplitude**2
        amplitude *= gain
    # A uniform variable has deviation 12 ** -0.5; the spline keeps 0.479 of the variance per axis.
    return total * np.float32(1 / (0.479 * 12**-0.5 * power**0.5))
