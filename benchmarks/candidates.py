"""The ways of making ten facets that are compared, each with the recipe it runs."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from benchmarks.context import RECIPE, Context
from benchmarks.ours import Ours
from benchmarks.sweeps import (
    Case,
    Denoise,
    cases_of,
    phase_starts,
    with_enough,
    with_sweeps,
)
from benchmarks.workload import Candidate, Workload
from mfvjax.priors.tv_projection import TV
from mfvjax.recipe import Recipe
from mfvjax.recipes import find_recipe

NUM_FACETS = 10
# What CaffeNet's run needed by phase where scikit-image was there to measure it.
_SWEEPS_WITHOUT_SCIKIT_IMAGE = {"ours": (6, 12, 6, 6), "chambolle-pock": (8, 20, 10, 8)}


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    """One way.

    Attributes:
      name: in tables.
      candidate: that does the work; a text says why it cannot.
      work: what it does, its recipe included.
    """

    name: str
    candidate: Candidate | str
    work: Workload


def workload(context: Context, num_facets: int = NUM_FACETS) -> Workload:
    """The release's run from mean images."""
    return Workload.of(context.network, find_recipe(RECIPE), num_facets=num_facets)


def entries(context: Context) -> list[Entry]:
    """All ways: the sequential one first, ours last."""
    work = workload(context)
    ours, cases = Ours(context.network), tv_cases(context)

    def entry(name: str, make: Any, recipe: Recipe, missing: str | None = None) -> Entry:
        return Entry(name, missing or make(), dataclasses.replace(work, recipe=recipe))

    release = work.recipe
    return [
        entry("sequential", lambda: sequential(context), release, missing=context.no_sequential),
        entry(
            "batched torch, release's rule",
            lambda: batched_torch(context, "scikit-image"),
            release,
            missing=context.no_torch,
        ),
        entry(
            "batched torch, isotropic",
            lambda: batched_torch(context, "chambolle-pock"),
            isotropic(release, "chambolle-pock", torch_tv(context, "chambolle-pock"), cases)
            if context.no_torch is None
            else release,
            missing=context.no_torch,
        ),
        entry("mfvjax, release's rule", lambda: ours, release),
        entry("mfvjax, isotropic", lambda: ours, isotropic(release, "ours", our_tv, cases)),
    ]


def sequential(context: Context) -> Candidate:
    """The release's way; its network on the device, its TV on the host."""
    from benchmarks.sequential import Sequential

    return Sequential(context.network, device=context.torch_device)


def batched_torch(context: Context, method: str) -> Any:
    """The batched peer; compiled where torch can."""
    from benchmarks.batched_torch import BatchedTorch

    return BatchedTorch(context.network, method=method, device=context.torch_device)


def isotropic(
    release: Recipe, name: str, denoise: Denoise, cases: list[list[Case]] | None
) -> Recipe:
    """The recipe with the paper's rule and just enough sweeps for scikit-image's energy."""
    if cases is not None:
        return with_enough(release, denoise, cases)
    return with_sweeps(release, _SWEEPS_WITHOUT_SCIKIT_IMAGE[name])


def tv_cases(context: Context) -> list[list[Case]] | None:
    """TV steps of each phase of the run, for three facets; ``None`` without scikit-image."""
    if context.no_scikit_image is not None:
        return None
    return _tv_cases(context)


@functools.cache
def _tv_cases(context: Context) -> list[list[Case]]:
    work = workload(context).first(1 if context.quick else 3)
    recipe = work.recipe.change(TV, rule="isotropic", tolerance=None, num_sweeps=12)
    work = dataclasses.replace(work, recipe=recipe)
    starts = phase_starts(Ours(context.network), work, factor=0.02)
    return [
        cases_of(canvases, phase, gradient_of(context, work.units), context.network.input_size)
        for canvases, phase in zip(starts, work.recipe.phases, strict=True)
    ]


def gradient_of(context: Context, units: tuple[int, ...]) -> Any:
    """``images -> gradients`` of each image's unit, by the library."""
    import jax
    import jax.numpy as jnp

    network = context.network
    rows = np.arange(len(units))

    def climbed(images: jax.Array, params: Any) -> jax.Array:
        scores = network.read(params, images)[network.logits_layer]
        return scores.reshape(len(rows), -1)[rows, np.asarray(units)].sum()

    slope = jax.jit(jax.grad(climbed))
    return lambda images: np.array(slope(jnp.asarray(images), network.params))


def our_tv(images: np.ndarray, fidelity: float, sweeps: int, **options: Any) -> np.ndarray:
    """The library's TV, the paper's rule unless told otherwise."""
    import jax.numpy as jnp

    from mfvjax.priors.tv import denoise_tv

    done = denoise_tv(jnp.asarray(images), fidelity=fidelity, num_sweeps=sweeps, **options)
    return np.asarray(done)


def torch_tv(context: Context, method: str, *, compiled: bool = True) -> Denoise:
    """Torch's TV as `BatchedTorch` runs it, its images on the device already."""
    peer = batched_torch(context, method)
    peer.compiled = compiled

    def run(images: np.ndarray, fidelity: float, sweeps: int) -> np.ndarray:
        done = peer.denoise(peer.to_device(images), TV(fidelity, num_sweeps=sweeps))
        return done.permute(0, 2, 3, 1).cpu().numpy()

    return run
