"""How many TV sweeps are enough: to scikit-image's energy, phase by phase.

The paper's rule and the release's are two energies' worth of smoothing: the release stops after 100
sweeps or a small change, at an image whose TV energy is above the minimum. A method for the paper's
rule does as much as scikit-image once its energy is no higher than that image's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.energy import tv_energy
from benchmarks.workload import Candidate, Workload, steps_of, zoom
from mfvjax.priors.tv_projection import TV
from mfvjax.recipe import Phase, Recipe

MAX_SWEEPS = 400
Denoise = Callable[[np.ndarray, float, int], np.ndarray]
"""``(images, fidelity, sweeps) -> images``, all ``(b, h, w, c)``."""


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """Images that a TV step gets, and what scikit-image makes of them.

    Attributes:
      images: ``(b, h, w, 3)``, after a gradient step.
      fidelity: of the step.
      energies: of each image after scikit-image's 100 sweeps with its stop at 1e-3.
    """

    images: np.ndarray
    fidelity: float
    energies: np.ndarray

    @classmethod
    def of(cls, images: np.ndarray, fidelity: float) -> Case:
        """Runs scikit-image."""
        done = scikit_image(images, fidelity)
        return cls(images, fidelity, energies_of(done, images, fidelity))


def scikit_image(
    images: np.ndarray, fidelity: float, num_sweeps: int = 100, eps: float = 1e-3
) -> np.ndarray:
    """Scikit-image's TV of each image, as the release calls it."""
    from skimage.restoration import denoise_tv_bregman

    # One volume: with channel_axis, version 0.26 starts each channel from the one before.
    return np.stack(
        [denoise_tv_bregman(i, weight=fidelity, max_num_iter=num_sweeps, eps=eps) for i in images]
    )


def energies_of(done: np.ndarray, images: np.ndarray, fidelity: float) -> np.ndarray:
    """TV energy of each image."""
    return np.array([tv_energy(u, f, fidelity) for u, f in zip(done, images, strict=True)])


def cases_of(
    canvases: np.ndarray,
    phase: Phase,
    gradient: Callable[[np.ndarray], np.ndarray],
    size: tuple[int, int],
    *,
    count: int = 3,
) -> list[Case]:
    """TV steps at `count` places of a phase, on the center crops of its first canvases."""
    top, left = ((c - w) // 2 for c, w in zip(canvases.shape[1:3], size, strict=True))
    windows = canvases[:, top : top + size[0], left : left + size[1]]
    slope = gradient(windows)
    steps = steps_of(phase)
    chosen = [steps[i] for i in np.linspace(0, phase.num_steps - 1, count).astype(int)]
    return [
        Case.of(after_gradient(windows, slope, step.step_size), step.tv.fidelity)
        for step in chosen
        if step.tv is not None
    ]


def after_gradient(windows: np.ndarray, gradient: np.ndarray, step_size: float) -> np.ndarray:
    """Images as the TV step gets them: moved by `step_size` grey levels on average, and clipped."""
    slope = gradient / np.abs(gradient).mean((1, 2, 3), keepdims=True)
    return (windows + step_size * slope).clip(0, 255).astype(np.float32)


def enough(denoise: Denoise, cases: Sequence[Case]) -> int:
    """The fewest sweeps after which no image's energy is above scikit-image's.

    Raises:
      ValueError: `MAX_SWEEPS` are not enough.
    """

    def reaches(sweeps: int) -> bool:
        return all(
            (
                energies_of(denoise(c.images, c.fidelity, sweeps), c.images, c.fidelity)
                <= c.energies
            ).all()
            for c in cases
        )

    high = 1
    while not reaches(high):
        if high >= MAX_SWEEPS:
            raise ValueError(f"{high} sweeps do not reach scikit-image's energy")
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def with_enough(recipe: Recipe, denoise: Denoise, cases: Sequence[Sequence[Case]]) -> Recipe:
    """The recipe with the paper's rule and, in each phase, just enough sweeps."""
    counts = [enough(denoise, some) for some in cases]
    return with_sweeps(recipe, counts)


def with_sweeps(recipe: Recipe, counts: Sequence[int]) -> Recipe:
    """The recipe with the paper's rule and so many sweeps in each phase."""
    rule = {"rule": "isotropic", "order": "red-black", "tolerance": None}
    phases = tuple(
        phase.change(TV, **rule, num_sweeps=count)
        for phase, count in zip(recipe.phases, counts, strict=True)
    )
    return dataclasses.replace(recipe, name=f"{recipe.name}, isotropic", phases=phases)


def phase_starts(candidate: Candidate, work: Workload, *, factor: float) -> list[np.ndarray]:
    """Canvases at the start of each phase of a run with `factor` times the steps."""
    short = work.recipe.shortened(factor)
    canvases, starts = work.starts, []
    sizes = short.canvas_sizes(work.network.input_size)
    for number, (phase, size) in enumerate(zip(short.phases, sizes, strict=True)):
        canvases = zoom(canvases, size)
        starts.append(canvases)
        canvases = candidate.run_phase(canvases, work.units, phase, number)
    return starts
