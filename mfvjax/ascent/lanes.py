"""Facets onto a processor's cores: lanes of a batch that run side by side.

On a processor half of a step, the TV denoising, is sequential within an image and runs on one core:
so the batch is split into lanes, one per core.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfvjax.ascent.loop import State
from mfvjax.ascent.step import Facets

Batch: TypeAlias = tuple[State, Facets]
"""Every leaf has the facets as its first axis."""


def num_lanes(devices: Sequence[jax.Device], num_facets: int, together: int = 1) -> int:
    """Lanes for so many facets: one per core, of two facets or more; one where devices are many.

    Each lane reads all weights of the network once per step, hence not fewer than two facets.

    Args:
      devices: that share the batch.
      num_facets: in it.
      together: facets that must be in one lane, counted from the first.
    """
    if len(devices) > 1 or devices[0].platform != "cpu":
        return 1
    least = together if together > 1 else 2
    return max(1, min(_num_cores(), math.ceil(num_facets / least)))


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def abstract_lane(batch: Batch, *, lanes: int, together: int = 1) -> Batch:
    """Shapes and types of one lane's part of `batch`, which may itself be shapes only."""
    return jax.eval_shape(functools.partial(_split, lanes=lanes, together=together), batch)[0]


def split(batch: Batch, *, lanes: int, together: int = 1) -> tuple[Batch, ...]:
    """The batch in so many parts of equal size, which cut no `together` facets apart.

    The last part repeats its last facets where the batch does not divide; these are groups of their
    own, so that joint terms of the facets themselves do not count them.
    """
    return (batch,) if lanes == 1 else _split_compiled(batch, lanes=lanes, together=together)


def join(
    parts: Sequence[tuple[State, Array]], *, num_facets: int
) -> tuple[State, Float[Array, "steps facets"]]:
    """States and traces of all lanes together, without repeated facets."""
    return parts[0] if len(parts) == 1 else _join_compiled(tuple(parts), num_facets=num_facets)


def side_by_side(run: Callable[..., Any], parts: Sequence[tuple]) -> list[Any]:
    """``run(*part)`` for all parts, each in a thread of its own if there are several."""
    if len(parts) == 1:
        return [run(*parts[0])]

    def finished(part: tuple) -> Any:
        return jax.block_until_ready(run(*part))

    with ThreadPoolExecutor(len(parts)) as threads:
        return list(threads.map(finished, parts))


def _split(batch: Batch, *, lanes: int, together: int) -> tuple[Batch, ...]:
    if lanes == 1:  # and facets may lie on many devices, where they shall stay
        return (batch,)
    count = len(batch[0].status)
    blocks = math.ceil(count / together / lanes)  # in each lane
    places = np.arange(lanes * blocks * together)
    rows = np.where(places < count, places, count - together + places % together)

    def lane(mine: np.ndarray, counts: np.ndarray) -> Batch:
        state, facets = jax.tree.map(lambda leaf: leaf[mine], batch)
        alone = -1 - np.arange(len(mine), dtype=np.int32)
        return state, facets._replace(groups=jnp.where(counts, facets.groups, alone))

    split_rows = zip(np.split(rows, lanes), np.split(places < count, lanes), strict=True)
    return tuple(lane(*one) for one in split_rows)


def _join(
    parts: tuple[tuple[State, Array], ...], *, num_facets: int
) -> tuple[State, Float[Array, "steps facets"]]:
    states, traces = zip(*parts, strict=True)
    state = jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[:num_facets], *states)
    return state, jnp.concatenate(traces, axis=1)[:, :num_facets]


_split_compiled = jax.jit(_split, static_argnames=("lanes", "together"))
_join_compiled = jax.jit(_join, static_argnames=("num_facets",))
