"""What every candidate of the ascent does: the same network, units, start images and recipe."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from benchmarks.networks import data_folder
from mfvjax.network import Network
from mfvjax.priors.tv_projection import TV
from mfvjax.recipe import Phase, Recipe
from mfvjax.schedule import values_of
from mfvjax.updates import MeanAbsoluteStep
from mfvjax.views import Crop

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, eq=False)
class Workload:
    """Facets to visualize.

    Attributes:
      network: of the library; peers build theirs from it.
      units: index of each facet's class unit.
      starts: ``(facets, h, w, 3)``, RGB in [0, 255], of the network's input size.
      recipe: all phases of it.
    """

    network: Network
    units: tuple[int, ...]
    starts: np.ndarray
    recipe: Recipe

    @classmethod
    def of(cls, network: Network, recipe: Recipe, *, num_facets: int) -> Workload:
        """Facet i of class unit i; further facets start from the same images again."""
        starts = start_images(network.input_size)
        rows = [i % len(starts) for i in range(num_facets)]
        units = tuple(i % 1000 for i in range(num_facets))
        return cls(network, units, starts[rows], recipe.for_input(network.input_size))

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


def run_recipe(
    candidate: Candidate, work: Workload, *, seed: int = 0
) -> tuple[np.ndarray, list[float]]:
    """The final canvases, and the seconds that each phase took, without the zoom before it.

    The zoom, once or twice in a whole run, is SciPy's for all.
    """
    canvases, seconds = work.starts, []
    sizes = work.recipe.canvas_sizes(work.network.input_size)
    for number, (phase, size) in enumerate(zip(work.recipe.phases, sizes, strict=True)):
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
    """Numbers of one step.

    Attributes:
      step_size: mean absolute change, in levels.
      margin_px: pixels at each side whose gradient is set to zero.
      tv: with the step's fidelity; ``None`` for no TV.
    """

    step_size: float
    margin_px: int
    tv: TV | None


def steps_of(phase: Phase) -> list[StepValues]:
    """The numbers of every step of a phase of the paper's kind."""
    update, tv = part_of(phase.update, MeanAbsoluteStep), tv_of(phase)
    if update is None:
        raise ValueError(f"the phase has no step of a given mean absolute change: {phase.update}")
    sizes, margins = (values_of(x, phase.num_steps) for x in (update.size, update.margin_px))
    fidelities = [None] * phase.num_steps if tv is None else values_of(tv.fidelity, phase.num_steps)
    return [
        StepValues(float(size), int(margin), tv and dataclasses.replace(tv, fidelity=fidelity))
        for size, margin, fidelity in zip(sizes, margins, fidelities, strict=True)
    ]


def tv_of(phase: Phase) -> TV | None:
    """The phase's TV, if it has any."""
    return part_of(phase.projections, TV)


def without_tv(phase: Phase) -> Phase:
    """The phase with every projection but TV."""
    rest = tuple(part for part in phase.projections if not isinstance(part, TV))
    return dataclasses.replace(phase, projections=rest)


def offset_std_of(phase: Phase) -> float:
    """Standard deviation of crops, as a fraction of the free range."""
    crop = part_of(phase.view, Crop)
    if crop is None:
        raise ValueError(f"the phase does not crop: {phase.view}")
    return float(crop.offset_std)


def part_of(parts: Any, kind: type[T]) -> T | None:
    """The first of `parts` that is of `kind`."""
    return next((part for part in parts if isinstance(part, kind)), None)
