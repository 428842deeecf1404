"""Ascent of many units in batches of one size: facets queue up, whatever unit they belong to."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Num

from mfvjax.ascent import Visualization, visualize
from mfvjax.facets.result import Facets
from mfvjax.network import Network
from mfvjax.objective import Objective, OwnFacet
from mfvjax.pipeline import AscentPlan, plan_ascent
from mfvjax.pipeline.placebo import Placebo
from mfvjax.recipe import Recipe

_Part: TypeAlias = tuple[Visualization, float]  # facets of one unit from one batch, seconds


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """One unit that waits for its ascent.

    Attributes:
      unit: as it is called in the atlas.
      facets: of the unit.
      plan: its start images and objectives, the controls last.
      recipe: as run.
    """

    unit: str
    facets: Facets
    plan: AscentPlan
    recipe: Recipe

    @property
    def kind(self) -> Hashable:
        """Jobs of one kind can be in one batch: they need the same compiled programs."""
        return self.plan.unit.layer, self.plan.region, self.plan.starts.shape[1:]


@dataclasses.dataclass(frozen=True, eq=False)
class _Facet:
    """One row of a batch; `index` counts within its unit and alone decides its random numbers."""

    job: Job
    index: int
    objective: Objective
    start: Float32[np.ndarray, "h w c"]


def make_job(
    network: Network,
    unit: str,
    facets: Facets,
    *,
    recipe: Recipe,
    references: Num[np.ndarray, "k m h w c"] | None,
    controls: bool,
    placebo: Placebo | None,
    seed: int,
    slots: int,
) -> Job:
    """A unit ready for ascent.

    Args:
      network: of the unit.
      unit: as it is called in the atlas.
      facets: of the unit.
      recipe: for the unit.
      references: as `plan_ascent`; so are `controls` and `placebo`.
      seed: of everything random.
      slots: facets that units of this atlas can have; all objectives get room for so many, so that
        units with fewer share their batches.
    """
    plan = plan_ascent(
        network,
        facets,
        objective=recipe.objective,
        references=references,
        seed=seed,
        controls=controls,
        placebo=placebo,
    )
    if recipe.objective.hold > 0:
        nothing = OwnFacet(
            facets.code_layer, np.zeros_like(facets.code_centroids[:1]), 0, 1.0, weight=0.0
        )
        held = [_with_slots(objective, nothing, slots) for objective in plan.objectives]
        plan = dataclasses.replace(plan, objectives=held)
    return Job(unit, facets, plan, recipe)


def _with_slots(objective: Objective, nothing: OwnFacet, slots: int) -> Objective:
    """The same objective in the one shape that all objectives of the atlas have."""
    terms = list(objective.terms)
    if not any(isinstance(term, OwnFacet) for term in terms):
        terms.append(nothing)
    widened = tuple(
        dataclasses.replace(term, slots=slots) if isinstance(term, OwnFacet) else term
        for term in terms
    )
    return dataclasses.replace(objective, terms=widened)


def ascend_jobs(
    network: Network,
    jobs: Iterable[Job],
    *,
    seed: int,
    facets_per_device: int,
    devices: Sequence[jax.Device],
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[Job, Visualization, float]]:
    """Visualizes units, and gives each as soon as its last facet is done.

    Every batch has `facets_per_device` facets on every device, the last one filled up with repeats,
    so that each device always runs the same program. A facet then comes out the same, bit for bit
    on the same kind of device, wherever in whichever batch it is. Its random numbers come from the
    seed and its number within the unit. XLA compiles for one device otherwise than for several:
    between these, facets agree up to rounding, which a long ascent amplifies.

    Args:
      network: of the units.
      jobs: taken one at a time, as there is room in a batch; those of one kind should follow each
        other.
      seed: of everything random.
      facets_per_device: in one batch.
      devices: that share each batch.
      progress: called with the number of facet steps taken since the last call.

    Returns: units, their facets with the controls last, and the seconds that they took.
    """
    run = functools.partial(
        _run_batch,
        network,
        seed=seed,
        size=facets_per_device * len(devices),
        devices=devices,
        progress=progress,
    )
    waiting: list[_Facet] = []
    parts: dict[str, list[_Part]] = {}
    for job in jobs:
        if waiting and waiting[0].job.kind != job.kind:
            yield from _collect(waiting, run(waiting), parts)
            waiting = []
        for index, objective in enumerate(job.plan.objectives):
            waiting.append(_Facet(job, index, objective, job.plan.starts[index]))
        while len(waiting) >= run.keywords["size"]:
            batch, waiting = waiting[: run.keywords["size"]], waiting[run.keywords["size"] :]
            yield from _collect(batch, run(batch), parts)
    if waiting:
        yield from _collect(waiting, run(waiting), parts)


def _run_batch(
    network: Network,
    batch: Sequence[_Facet],
    *,
    seed: int,
    size: int,
    devices: Sequence[jax.Device],
    progress: Callable[[int], None] | None,
) -> tuple[Visualization, float]:
    """The batch with its filling, and the seconds of each facet."""
    started = time.perf_counter()
    filled = [*batch, *[batch[-1]] * (size - len(batch))]
    fold = functools.partial(jax.random.fold_in, jax.random.key(seed))
    done = 0

    def report(now: int, _: int) -> None:
        nonlocal done
        if progress is not None:
            progress((now - done) * len(batch) // size)
        done = now

    result = visualize(
        network,
        [facet.objective for facet in filled],
        np.stack([facet.start for facet in filled]),
        recipe=batch[0].job.recipe,
        key=jax.vmap(fold)(jnp.asarray([facet.index for facet in filled])),
        region=batch[0].job.plan.region,
        batch_size=size,
        devices=devices,
        progress=report,
    )
    return result, (time.perf_counter() - started) / len(batch)


def _collect(
    batch: Sequence[_Facet], done: tuple[Visualization, float], parts: dict[str, list[_Part]]
) -> Iterator[tuple[Job, Visualization, float]]:
    """Hands the rows of a batch to their units; gives those that are complete."""
    result, seconds = done
    first = 0
    for row, facet in enumerate(batch):
        is_last = facet.index == len(facet.job.plan.objectives) - 1
        if is_last or row == len(batch) - 1:
            part = result.take(slice(first, row + 1)), seconds * (row + 1 - first)
            parts.setdefault(facet.job.unit, []).append(part)
            first = row + 1
        if is_last:
            images, spent = zip(*parts.pop(facet.job.unit), strict=True)
            yield facet.job, Visualization.concatenate(list(images)), sum(spent)
