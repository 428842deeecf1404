"""Fitting a batch to a compiled program: canvases into its room, facets onto a processor's cores.

A program is compiled for one canvas size, the largest of a schedule, and serves the smaller ones
in its upper left corner. On a processor half of a step, the TV denoising, is sequential within an
image and runs on one core: so the batch is split into lanes, one per core, which run side by side.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfvjax.ascent.loop import State

Size: TypeAlias = tuple[int, int]
Batch: TypeAlias = tuple[State, Any, Any]
"""State, readouts and keys: every leaf has the facets as its first axis."""


def num_lanes(devices: Sequence[jax.Device], num_facets: int) -> int:
    """Lanes for so many facets: one per core, of two facets or more; one where devices are many.

    Each lane reads all weights of the network once per step, hence not fewer than two facets.
    """
    if len(devices) > 1 or devices[0].platform != "cpu":
        return 1
    return max(1, min(_num_cores(), (num_facets + 1) // 2))


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def abstract_lane(batch: Batch, *, lanes: int, room: Size) -> Batch:
    """Shapes and types of one lane's part of `batch`, which may itself be shapes only."""
    return jax.eval_shape(functools.partial(_split, lanes=lanes, room=room), batch)[0]


def split(batch: Batch, *, lanes: int, room: Size) -> tuple[Batch, ...]:
    """The batch in so many parts of equal size, canvases grown to `room`.

    The last part repeats its last facet where the batch does not divide.
    """
    if lanes == 1 and batch[0].canvases.shape[1:3] == room:
        return (batch,)
    return _split_compiled(batch, lanes=lanes, room=room)


def join(
    parts: Sequence[tuple[State, Array]], *, num_facets: int, size: Size
) -> tuple[State, Float[Array, "steps batch"]]:
    """States and traces of all lanes together, without repeated facets and spare canvas."""
    if len(parts) == 1 and parts[0][0].canvases.shape[1:3] == size:
        return parts[0]
    return _join_compiled(tuple(parts), num_facets=num_facets, size=size)


def side_by_side(run: Callable[..., Any], parts: Sequence[tuple]) -> list[Any]:
    """``run(*part)`` for all parts, each in a thread of its own if there are several."""
    if len(parts) == 1:
        return [run(*parts[0])]

    def finished(part: tuple) -> Any:
        return jax.block_until_ready(run(*part))

    with ThreadPoolExecutor(len(parts)) as threads:
        return list(threads.map(finished, parts))


def _split(batch: Batch, *, lanes: int, room: Size) -> tuple[Batch, ...]:
    state = _resized(batch[0], room)
    if lanes == 1:  # and facets may lie on many devices, where they shall stay
        return ((state, *batch[1:]),)
    count = len(state.status)
    rows = np.minimum(np.arange(-(-count // lanes) * lanes), count - 1).reshape(lanes, -1)
    return tuple(
        jax.tree.map(lambda leaf, mine=mine: leaf[mine], (state, *batch[1:])) for mine in rows
    )


def _join(
    parts: tuple[tuple[State, Array], ...], *, num_facets: int, size: Size
) -> tuple[State, Array]:
    states, traces = zip(*parts, strict=True)
    state = jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[:num_facets], *states)
    return _resized(state, size), jnp.concatenate(traces, axis=1)[:, :num_facets]


_split_compiled = jax.jit(_split, static_argnames=("lanes", "room"))
_join_compiled = jax.jit(_join, static_argnames=("num_facets", "size"))


def _resized(state: State, size: Size) -> State:
    """Canvases, and optimizer state in their shape, grown with zeros or cut to `size`."""
    shape = state.canvases.shape
    if shape[1:3] == size:
        return state

    def resized(leaf: Array) -> Array:
        if leaf.shape != shape:
            return leaf
        cut = leaf[:, : size[0], : size[1]]
        spare = [(0, wanted - had) for wanted, had in zip(size, cut.shape[1:3], strict=True)]
        return jnp.pad(cut, [(0, 0), *spare, (0, 0)])

    return jax.tree.map(resized, state)
