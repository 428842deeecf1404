"""What every candidate of the ascent does: the same network, units, start images and schedule."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from benchmarks.networks import data_folder
from mfvjax.network import Network
from mfvjax.schedule import Phase, Schedule


@dataclasses.dataclass(frozen=True, eq=False)
class Workload:
    """Facets to visualize.

    Attributes:
      network: of the library; peers build theirs from it.
      units: index of each facet's class unit.
      starts: ``(facets, h, w, 3)``, RGB in [0, 255], of the network's input size.
      schedule: all phases of it.
    """

    network: Network
    units: tuple[int, ...]
    starts: np.ndarray
    schedule: Schedule

    @classmethod
    def of(cls, network: Network, schedule: Schedule, *, num_facets: int) -> Workload:
        """Facet i of class unit i; further facets start from the same images again."""
        starts = start_images(network.input_size)
        rows = [i % len(starts) for i in range(num_facets)]
        units = tuple(i % 1000 for i in range(num_facets))
        return cls(network, units, starts[rows], schedule.for_input(network.input_size))

    def first(self, num_facets: int) -> Workload:
        """The same with the first facets only."""
        return dataclasses.replace(
            self, units=self.units[:num_facets], starts=self.starts[:num_facets]
        )


def start_images(size: tuple[int, int]) -> np.ndarray:
    """Ten mean images, from the folder of real data or, without it, smooth made-up ones."""
    from PIL import Image

    folder = data_folder() / "images/cinema_facets"
    files = [folder / f"mean_{i}.jpg" for i in range(10)]
    if all(file.exists() for file in files):
        images = [Image.open(file).convert("RGB").resize(size[::-1]) for file in files]
    else:
        rng = np.random.default_rng(0)
        patches = rng.uniform(60, 200, (10, 9, 9, 3)).astype(np.uint8)
        images = [Image.fromarray(p).resize(size[::-1], Image.Resampling.BICUBIC) for p in patches]
    return np.stack([np.asarray(image, np.float32) for image in images])


class Candidate(Protocol):
    """One way of doing the work."""

    def run_phase(
        self, canvases: np.ndarray, units: Sequence[int], phase: Phase, seed: int
    ) -> np.ndarray:
        """All steps of a phase, for canvases that already have its size."""


def run_schedule(
    candidate: Candidate, work: Workload, *, seed: int = 0
) -> tuple[np.ndarray, list[float]]:
    """The final canvases, and the seconds that each phase took, without the zoom before it.

    The zoom, once or twice in a whole run, is SciPy's for all.
    """
    canvases, seconds = work.starts, []
    sizes = work.schedule.canvas_sizes(work.network.input_size)
    for number, (phase, size) in enumerate(zip(work.schedule.phases, sizes, strict=True)):
        canvases = zoom(canvases, size)
        started = time.perf_counter()
        canvases = candidate.run_phase(canvases, work.units, phase, seed + number)
        seconds.append(time.perf_counter() - started)
    return canvases, seconds


def zoom(canvases: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Canvases enlarged by SciPy's cubic spline, one after another."""
    from scipy import ndimage

    if canvases.shape[1:3] == size:
        return canvases
    factors = (size[0] / canvases.shape[1], size[1] / canvases.shape[2], 1)
    return np.stack([ndimage.zoom(canvas, factors, order=3) for canvas in canvases])


def draw_offset(
    rng: np.random.Generator, canvas_size: tuple[int, ...], window_size: tuple[int, ...], std: float
) -> tuple[int, int]:
    """Top-left corner of a crop, drawn as the release draws it."""
    free = np.subtract(canvas_size, window_size)
    drawn = rng.normal(free / 2, free * std).astype(int).clip(0, free)
    return int(drawn[0]), int(drawn[1])


@dataclasses.dataclass(frozen=True)
class StepValues:
    """Numbers of one step; see `mfvjax.schedule.Phase`."""

    step_size: float
    fidelity: float
    margin_px: int


def steps_of(phase: Phase) -> list[StepValues]:
    """The numbers of every step of a phase."""
    sizes = phase.step_size.values(phase.num_steps)
    weights = phase.fidelity.values(phase.num_steps)
    return [
        StepValues(float(size), float(weight), phase.margin_px)
        for size, weight in zip(sizes, weights, strict=True)
    ]
