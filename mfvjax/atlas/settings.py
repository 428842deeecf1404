"""From what a user asks for to the plan of an atlas, everything checked before any work."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np

from mfvjax.ascent.engine import facets_that_fit
from mfvjax.atlas.choice import Choice, choose_images
from mfvjax.atlas.growth import check_growth
from mfvjax.atlas.plan import PLAN_JSON, AtlasPlan, read_plan
from mfvjax.facet_objective import UnitAndStatistics
from mfvjax.facets.codes import CodeKind, check_code, request_code
from mfvjax.facets.embed import EmbedOptions
from mfvjax.facets.grouping import GroupOptions
from mfvjax.facets.places import Positions, check_positions
from mfvjax.images import ImageSource
from mfvjax.network import Network
from mfvjax.objective import Objective, OwnFacet, unit_objective
from mfvjax.pipeline.references import reference_objectives
from mfvjax.pipeline.regions import visible_region
from mfvjax.recipe import Recipe
from mfvjax.recipes import (
    FACET_STATISTICS,
    FACET_STATISTICS_PATCH,
    FACET_STATISTICS_SMALL,
    SMALL_IMAGE,
    SPECTROGRAM,
    default_recipe,
)
from mfvjax.types import Unit

MAX_FACETS_PER_DEVICE = 128
"""On accelerators: more in one batch gain nothing, and more are lost when a process ends."""

_GROUPING = ("num_mean_images", "cluster_space", "max_facets")
_EMBEDDING = ("num_components", "perplexity", "start", "method")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is asked of an atlas, its network and images opened.

    Attributes:
      network: of the units.
      source: the pool.
      network_text: where the network came from; ``None`` if only from memory.
      images_text: likewise.
      directions: where those in a file came from, see `directions_written_down`.
      units: checked, as text.
      recipe: as asked for; ``None`` for the one that suits the size of what is shown.
      class_ids: see `mfvjax.images.classes.class_labels`.
      code_layer: instead of the network's choice.
    The others are as `build_atlas` has them.
    """

    network: Network
    source: ImageSource
    network_text: str | None
    images_text: str | None
    directions: dict[str, str]
    max_unreadable: float
    max_pixels: int | None
    units: tuple[str, ...]
    num_facets: int | Literal["auto"]
    recipe: Recipe | None
    step_fraction: float
    hold: float | None
    controls: bool
    seed: int
    top_fraction: float
    top_count: int | None
    class_ids: tuple[str, ...] | None
    code_layer: str | None
    discovery: dict[str, Any]

    @property
    def grouping(self) -> GroupOptions:
        """Options of discovery."""
        known = {"num_facets", "code", "code_layer", "positions", *_GROUPING, *_EMBEDDING}
        unknown = sorted(self.discovery.keys() - known)
        if unknown:
            raise ValueError(f"no option {unknown[0]!r} of discovery; there are {sorted(known)}")
        return GroupOptions(
            num_facets=self.num_facets,
            seed=self.seed,
            embed=EmbedOptions(**{k: v for k, v in self.discovery.items() if k in _EMBEDDING}),
            **{k: v for k, v in self.discovery.items() if k in _GROUPING},
        )

    @property
    def positions(self) -> Positions:
        """Of a map at which its units may be strongest; see `discover_facets`."""
        chosen: Positions = self.discovery.get("positions", "inside")
        check_positions(chosen)
        return chosen

    @property
    def code(self) -> CodeKind:
        """By what images are told apart; see `discover_facets`."""
        chosen: CodeKind = self.discovery.get("code", "activation")
        check_code(chosen)
        return chosen

    def choose(self, units: Sequence[str]) -> list[Choice]:
        """The images of each unit."""
        return choose_images(
            self.network,
            self.source,
            units,
            num_facets=self.num_facets,
            num_mean_images=self.grouping.num_mean_images,
            top_fraction=self.top_fraction,
            top_count=self.top_count,
            class_ids=self.class_ids,
            positions=self.positions,
        )

    def check_pool(self, finished: Mapping[str, pathlib.Path]) -> str | None:
        """Why the pool cannot have grown since these units were made; see `check_growth`."""
        return check_growth(finished, self.choose(list(finished)), self.source)

    @property
    def slots(self) -> int:
        """The most facets that a unit can have."""
        return self.grouping.max_facets if self.num_facets == "auto" else self.num_facets

    def recipe_of(self, unit: Unit) -> Recipe:
        """What runs for a unit, its position filled in."""
        region = visible_region(self.network, unit)
        recipe = self.recipe or default_recipe(
            self._window(unit), self.network.preprocessing.domain, is_patch=region is not None
        )
        recipe = recipe if self.hold is None else recipe.holding(self.hold)
        return recipe if self.step_fraction == 1 else recipe.shortened(self.step_fraction)

    def check_recipes(self) -> None:
        """Raises ``ValueError`` where the recipe does not fit what is shown of some unit."""
        layers: dict[str, Unit] = {}
        for text in self.units:
            unit = self.network.resolve(text)
            layers.setdefault(unit.layer, unit)
        for unit in layers.values():
            self.recipe_of(unit).for_input(self._window(unit))

    def num_steps(self, unit: str) -> int:
        """Of one facet of a unit."""
        return self.recipe_of(self.network.resolve(unit)).num_steps

    @property
    def most_controls(self) -> int:
        """Pictures beside a unit's facets, at most."""
        return 4 if self.controls else 1

    def plan(self, facets_per_device: int) -> AtlasPlan:
        """All of this as plain values."""
        names = hashlib.sha256("\n".join(self.source.names).encode("utf-8", "surrogateescape"))
        defaults = [
            FACET_STATISTICS,
            FACET_STATISTICS_SMALL,
            FACET_STATISTICS_PATCH,
            SMALL_IMAGE,
            SPECTROGRAM,
        ]
        recipes = defaults if self.recipe is None else [self.recipe]
        phases = "\n".join(recipe.sha256 for recipe in recipes)
        ids = None if self.class_ids is None else "\n".join(self.class_ids)
        request_code(self.network, self.units[0], self.code_layer, self.positions, self.code)
        return AtlasPlan(
            units=self.units,
            network={
                "name": self.network.name,
                "fingerprint": self.network.fingerprint,
                "source": self.network_text,
                **self._added,
            },
            images={
                "source": self.images_text,
                "count": len(self.source),
                "names_sha256": names.hexdigest(),
                "class_ids_sha256": ids and hashlib.sha256(ids.encode()).hexdigest(),
                **({} if self.max_pixels is None else {"max_pixels": self.max_pixels}),
            },
            num_facets=self.num_facets,
            recipe={
                "name": None if self.recipe is None else self.recipe.name,
                "sha256": hashlib.sha256(phases.encode()).hexdigest(),
            },
            step_fraction=self.step_fraction,
            hold=self.hold,
            controls=self.controls,
            seed=self.seed,
            precision=self.network.compute_dtype,
            top={"fraction": self.top_fraction, "count": self.top_count},
            discovery={**self.discovery, "positions": self.positions},
            facets_per_device=facets_per_device,
        )

    def choose_facets_per_device(
        self, out: str | os.PathLike[str], devices: Sequence[jax.Device]
    ) -> int:
        """What the atlas in `out` was begun with; for a new one what fits and keeps devices busy.

        On a CPU one unit at a time: more gain nothing there. On accelerators up to
        `MAX_FACETS_PER_DEVICE`, as many as the compiled program of the largest canvas says fit.
        """
        if (pathlib.Path(out) / PLAN_JSON).exists():
            return read_plan(pathlib.Path(out)).facets_per_device
        wanted = (
            self.slots + self.most_controls
            if devices[0].platform == "cpu"
            else MAX_FACETS_PER_DEVICE
        )
        resolved = [self.network.resolve(unit) for unit in self.units]
        unit = max(resolved, key=lambda one: math.prod(self._window(one)))
        recipe = self.recipe_of(unit)
        return facets_that_fit(
            self.network,
            self._example(unit, recipe),
            recipe=recipe,
            wanted=wanted,
            region=visible_region(self.network, unit),
            devices=devices,
        )

    @property
    def _added(self) -> dict[str, str]:
        """What is known of layers that were added to the network."""
        if self.network.model_fingerprint == self.network.fingerprint:
            return {}
        return {"model_fingerprint": self.network.model_fingerprint, **self.directions}

    def _window(self, unit: Unit) -> tuple[int, int]:
        region = visible_region(self.network, unit)
        return self.network.input_size if region is None else region.size

    def _example(self, unit: Unit, recipe: Recipe) -> Objective:
        """An objective of the shape that the facets' of the unit have."""
        objective = unit_objective(unit)
        if isinstance(recipe.objective, UnitAndStatistics):
            shape = (1, *self._window(unit), self.network.preprocessing.domain.channels)
            domain = self.network.preprocessing.domain
            noise = np.random.default_rng(0).uniform(domain.low, domain.high, shape)
            region = visible_region(self.network, unit)
            objective += reference_objectives(
                self.network, unit, region, [noise.astype(np.float32)], recipe.objective
            )[0]
        if recipe.objective.hold == 0:
            return objective
        request = request_code(self.network, unit, self.code_layer, self.positions, self.code)
        layer = request.code_layer
        code = np.zeros((1, self.network.layers[layer].num_units), np.float32)
        return objective + Objective((OwnFacet(layer, code, 0, 1.0, slots=self.slots),))
