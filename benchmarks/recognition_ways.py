"""Ways to show a facet, for `benchmarks.recognition`: published ones, ours, and ablations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import optax

from mfvjax.facet_objective import UnitAndStatistics, UnitHeld
from mfvjax.facets.result import Facets
from mfvjax.network import Network
from mfvjax.objective import Objective
from mfvjax.parametrizations import FourierPhase, Pixels
from mfvjax.parametrizations.fourier_phase import mean_magnitude
from mfvjax.pipeline import plan_ascent
from mfvjax.recipe import Recipe
from mfvjax.recipes import FACET_STATISTICS, MEAN_IMAGE, RELEASE_MEAN_IMAGE
from mfvjax.updates import MeanAbsoluteStep, Optax
from mfvjax.views import RandomView

ALONE = UnitHeld(hold=0.0)


@dataclasses.dataclass(frozen=True)
class Way:
    """How a facet's picture is made.

    Attributes:
      title: in the table.
      recipe: how pictures move, and what they climb.
      from_noise: start from grey noise instead of the facet's mean image.
      placebo: take the statistics of another class's facets.
      magnitudes: fix the canvas's Fourier magnitudes to the mean of the class's images (MACO).
      is_all: made of all facets; others, to save time, of the first ones.
    """

    title: str
    recipe: Recipe
    from_noise: bool = False
    placebo: bool = False
    magnitudes: bool = False
    is_all: bool = False

    def recipe_for(self, network: Network, references: np.ndarray) -> Recipe:
        """The recipe with what it takes of the class's images, ``(k, m, h, w, 3)``."""
        if not self.magnitudes:
            return self.recipe
        (size,) = self.recipe.for_input(network.input_size).canvas_sizes(network.input_size)
        images = references.reshape(-1, *references.shape[2:])
        magnitude = mean_magnitude(list(images), size=size)
        return self.recipe.replace(parametrization=FourierPhase(magnitude))

    def plan(
        self, network: Network, facets: Facets, references: np.ndarray, others: np.ndarray
    ) -> tuple[list[Objective], np.ndarray]:
        """Objectives and starts of all facets; `others` are another class's references."""
        k = facets.num_facets
        plan = plan_ascent(
            network,
            facets,
            objective=self.recipe.objective,
            references=others if self.placebo else references,
            seed=0,
            controls=False,
        )
        starts = plan.starts[:k]
        if self.from_noise:
            noise = np.random.default_rng(0).normal(127.5, 8, starts.shape)
            starts = noise.clip(0, 255).astype(np.float32)
        return plan.objectives[:k], starts


def _of(name: str, objective: UnitHeld | UnitAndStatistics, **changes: object) -> Recipe:
    """The package's recipe with something else in it."""
    recipe = FACET_STATISTICS.replace(name=name, **changes)
    return dataclasses.replace(recipe, objective=objective)


_BOTH = UnitAndStatistics()
_STILL = RandomView(smallest=1.0, largest=1.0, degrees=None)

WAYS: Mapping[str, Way] = {
    "release": Way("the authors' way (release-mean-image)", RELEASE_MEAN_IMAGE),
    "mean-image": Way("the same, held by its code (mean-image)", MEAN_IMAGE),
    "lucid": Way("the unit alone from noise: Fourier, views (Lucid)", _of("lucid", ALONE), True),
    "maco": Way(
        "the unit alone, fixed magnitudes (MACO)",
        _of("maco", ALONE, update=Optax(optax.nadam, {"learning_rate": 1.0})),
        from_noise=True,
        magnitudes=True,
    ),
    "facet-statistics": Way("facet-statistics", FACET_STATISTICS, is_all=True),
    "no-statistics": Way(
        "without statistics: the unit alone, from the mean image",
        _of("no-statistics", ALONE),
    ),
    "held": Way(
        "held by its code instead of statistics",
        _of("held", UnitHeld(hold=5.0)),
    ),
    "no-unit": Way(
        "without the unit: statistics alone",
        _of("no-unit", UnitAndStatistics(unit=0.0)),
    ),
    "placebo": Way("statistics of another class (placebo)", FACET_STATISTICS, placebo=True),
    "noise": Way("from noise", FACET_STATISTICS, from_noise=True),
    "still": Way("without random views", _of("still", _BOTH, view=_STILL)),
    "pixels": Way(
        "pixels instead of Fourier coefficients",
        _of("pixels", _BOTH, parametrization=Pixels(), update=MeanAbsoluteStep(1.0)),
    ),
}
