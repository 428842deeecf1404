"""What a facet's picture climbs besides its unit, as plain values of a recipe.

A recipe says how pictures move, and with one of these what keeps each at its own facet.
`mfvjax.pipeline.targets` makes the objectives of a unit's facets from them, of those that
``needs_references`` with the facet's real images.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, TypeAlias

# On SqueezeNet's golf balls (ten facets, 0.3 of MEAN_IMAGE's steps) 1 held 8 of 10, 5 all ten, and
# 20 nine at lower activations; all by the network's own code.
DEFAULT_HOLD = 5.0


@dataclasses.dataclass(frozen=True)
class UnitHeld:
    """The unit, and the term that holds a picture's code at its facet (`OwnFacet`).

    Attributes:
      hold: the term's weight, in standard deviations of the unit's activation over real images; 0
        for the unit alone, the paper's objective.

    Raises:
      ValueError: `hold` is negative or not finite.
    """

    hold: float = DEFAULT_HOLD

    needs_references: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_weights(self)


@dataclasses.dataclass(frozen=True)
class UnitAndStatistics:
    """The unit over its largest activation, and the statistics of the facet's own images.

    ``unit * a / largest - sum over layers (distance of means + distance of deviations)``, with the
    distances of `mfvjax.objective.ChannelStatistics`, so that no weight depends on the scale of
    the network's activations. Dense hidden layers, which have no positions, count by the distance
    of their code from the mean code of the facet's images.

    Attributes:
      unit: weight of the unit.
      statistics: weight of each layer of maps.
      codes: weight of each dense layer.
      num_layers: at most so many layers of maps, spread over depth.
      percentile: of the unit's activations on its real images that counts as its largest: a single
        outlier can be twice all others.
      hold: as `UnitHeld`, in addition; 0 for none.

    Raises:
      ValueError: a weight is negative or not finite, all are 0, `num_layers` is below 1, or
        `percentile` is not in (0, 100].
    """

    unit: float = 1.0
    statistics: float = 1.0
    codes: float = 1.0
    num_layers: int = 7
    percentile: float = 99.0
    hold: float = 0.0

    needs_references: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_weights(self)
        if self.num_layers < 1:
            raise ValueError(f"num_layers={self.num_layers} must be at least 1")
        if not 0 < self.percentile <= 100:
            raise ValueError(f"percentile={self.percentile} must be above 0 and at most 100")


FacetObjective: TypeAlias = UnitHeld | UnitAndStatistics


def _check_weights(objective: FacetObjective) -> None:
    weights = ["hold"]
    if isinstance(objective, UnitAndStatistics):
        weights += ["unit", "statistics", "codes"]
        if not any(getattr(objective, name) for name in weights):
            raise ValueError("an objective needs a weight above 0 for the unit or for statistics")
    for name in weights:
        value = getattr(objective, name)
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name}={value} must be a number from 0 (for nothing of it)")
