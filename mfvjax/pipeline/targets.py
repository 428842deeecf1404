"""What the ascent of a unit's facets starts from, and what it climbs."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Num

from mfvjax.ascent.scene import from_levels
from mfvjax.facet_objective import FacetObjective, UnitAndStatistics
from mfvjax.facets.result import Facets
from mfvjax.network import Network
from mfvjax.objective import Objective, unit_objective
from mfvjax.pipeline.holding import held_objectives
from mfvjax.pipeline.placebo import Placebo
from mfvjax.pipeline.references import reference_objectives
from mfvjax.pipeline.regions import visible_part, visible_region
from mfvjax.types import PixelBox, Unit

# Random start of the release: normal, mean 175 and standard deviation 8, per pixel and channel, in
# levels: 0 to 255 over the range of the images.
_NOISE_MEAN, _NOISE_STD = 175.0, 8.0
CONTROL_FACET = 0
"""The largest facet, in whose place the controls are made."""


@dataclasses.dataclass(frozen=True, eq=False)
class AscentPlan:
    """One batch for `mfvjax.ascent.engine`: k facets, then c controls, of which the last is noise.

    Attributes:
      unit: with its position, if it is one of a map.
      objectives: ``k + c``.
      starts: ``(k + c, h, w, channels)``, the mean images, then those of the controls.
      region: the part of the network's input that is visualized; ``None`` for all of it.
      controls: name and a sentence of each of the c, as `mfvjax.run.Controls` has them.
    """

    unit: Unit
    objectives: list[Objective]
    starts: Float32[np.ndarray, "facets h w c"]
    region: PixelBox | None
    controls: tuple[tuple[str, str], ...]

    @property
    def num_facets(self) -> int:
        """k."""
        return len(self.starts) - len(self.controls)

    @property
    def groups(self) -> list[int]:
        """Facets that terms may take together: no control is among them."""
        return [0] * self.num_facets + list(range(1, len(self.controls) + 1))


def plan_ascent(
    network: Network,
    facets: Facets,
    *,
    objective: FacetObjective,
    references: Num[np.ndarray, "k m h w c"] | None = None,
    seed: int,
    controls: bool = True,
    placebo: Placebo | None = None,
) -> AscentPlan:
    """Starts and objectives for the facets of a unit, and for the controls beside them.

    A unit alone often leaves its facet: whatever the start, it climbs to the same few patterns.
    `UnitAndStatistics` keeps it by what the facet's own images look like to the network; see there.
    `UnitHeld` keeps it by a term that is the log-probability of the own facet
    (`mfvjax.objective.OwnFacet`) with the centroids of the real images' codes, times
    ``hold * std(activations)`` over the real images. Its temperature is such that a code on its own
    centroid is `_CERTAINTY` nats from the mean other one: where a code clearly is its facet's,
    nothing holds it back. Both are this library's, not the paper's.

    Args:
      network: of the unit.
      facets: of the unit, found with `network`.
      objective: what keeps a picture at its facet.
      references: the real images nearest to each centroid, as `Run.facets` has them; needed for
        statistics.
      seed: of the noise.
      controls: whether to plan pictures that lack the unit, the statistics, or the facet's own
        images; the picture from noise is always planned.
      placebo: images of something else, for the last of these.

    Raises:
      ValueError: statistics are asked for without `references`.
    """
    unit = network.resolve(facets.unit)
    region = visible_region(network, unit)
    domain = network.preprocessing.domain
    starts = np.clip(facets.mean_images, domain.low, domain.high).astype(np.float32)
    starts = visible_part(network, unit, starts)
    k = facets.num_facets
    if isinstance(objective, UnitAndStatistics):
        if references is None:
            raise ValueError("statistics of facets need their nearest images as references")
        objectives, beside = _with_statistics(
            network, facets, unit, region, objective, references, placebo if controls else None
        )
        beside = beside if controls else beside[-1:]
    else:
        alone = unit_objective(unit)
        held = held_objectives(network, facets, unit, objective.hold, references)
        objectives = [alone + term for term in held] or [alone] * k
        beside = [("noise", "The unit alone, started from noise.", alone)]
    names = [f"facet {number} of {unit}" for number in range(1, k + 1)]
    names += [f"control {name!r} of {unit}" for name, _, _ in beside]
    objectives = [
        dataclasses.replace(one, name=name)
        for one, name in zip([*objectives, *(row[2] for row in beside)], names, strict=True)
    ]
    noise = _NOISE_MEAN + _NOISE_STD * jax.random.normal(jax.random.key(seed), starts.shape[1:])
    noise = from_levels(jnp.clip(noise, 0, 255), network.preprocessing)
    own = [starts[CONTROL_FACET]] * (len(beside) - 1)
    starts = np.stack([*starts, *own, np.asarray(noise)])
    return AscentPlan(unit, objectives, starts, region, tuple(row[:2] for row in beside))


def _with_statistics(
    network: Network,
    facets: Facets,
    unit: Unit,
    region: PixelBox | None,
    options: UnitAndStatistics,
    references: Num[np.ndarray, "k m h w c"],
    placebo: Placebo | None,
) -> tuple[list[Objective], list[tuple[str, str, Objective]]]:
    """The objectives of facets, and names, sentences and objectives of the controls.

    What a control lacks is there with a weight of 0, so that all have one shape: any batch of them
    runs the same program.
    """
    sets = [
        visible_part(network, unit, images[rows >= 0])
        for images, rows in zip(references, facets.nearest, strict=True)
    ]
    if placebo is not None:
        sets.append(visible_part(network, unit, placebo.images))
    described = reference_objectives(network, unit, region, sets, options)
    largest = largest_activation(facets.activations, options.percentile)
    climbed = (options.unit / largest) * unit_objective(unit)
    held = held_objectives(network, facets, unit, options.hold, references)
    nothing = Objective(())
    holding = [(1 / largest) * term for term in held] or [nothing] * facets.num_facets
    own = CONTROL_FACET
    facet = f"facet {own + 1}"
    objectives = [
        climbed + statistics + term for statistics, term in zip(described, holding, strict=False)
    ]
    unheld = 0.0 * holding[own]
    beside = [
        (
            "unit",
            f"The unit without statistics, from the mean image of {facet}.",
            climbed + 0.0 * described[own] + unheld,
        ),
        (
            "statistics",
            f"The statistics of {facet} without the unit.",
            0.0 * climbed + described[own] + unheld,
        ),
    ]
    if placebo is not None:
        sentence = f"The unit with statistics of {placebo.what}, from the mean image of {facet}."
        beside.append(("placebo", sentence, climbed + described[-1] + unheld))
    beside.append(
        ("noise", f"The unit and the statistics of {facet}, started from noise.", objectives[own])
    )
    return objectives, beside


def largest_activation(activations: Float[np.ndarray, " n"], percentile: float) -> float:
    """What counts as a unit's largest activation on real images; above 0.

    Where the percentile is not above 0, as of a class score that is negative on most of its
    images, the largest magnitude.
    """
    found = float(np.percentile(activations, percentile))
    return found if found > 0 else float(np.abs(activations).max()) or 1.0
