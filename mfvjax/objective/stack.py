"""Objectives of many facets as arrays of one shape, and what they make of what is seen."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mfvjax.objective.seen import Seen
from mfvjax.objective.term import Objective, Term
from mfvjax.types import LayerInfo

Objectives: TypeAlias = tuple[Term, ...]
"""A batch of objectives: terms whose leaves all have the facets as their first axis."""


def stack_objectives(
    objectives: Sequence[Objective], layers: Mapping[str, LayerInfo]
) -> Objectives:
    """Turns objectives into terms with stacked arrays, so that one program serves any of them.

    Terms of one kind, layer and shape are stacked; an objective that has fewer of a kind than
    others gets copies of another one's with a weight of 0.

    Args:
      objectives: one per facet.
      layers: facts of the network's layers, by name.

    Raises:
      ValueError: a term names a layer, channel, position or facet that does not exist, or does not
        fit its layer; or an objective has no terms.
    """
    bound = [_bound(i, objective, layers) for i, objective in enumerate(objectives)]
    kinds: dict[Any, list[list[Term]]] = defaultdict(lambda: [[] for _ in bound])
    for i, terms in enumerate(bound):
        for term in terms:
            kinds[_kind(term)][i].append(term)
    stacked: list[Term] = []
    for kind in sorted(kinds, key=str):  # the same order in every batch: they share programs
        rows = kinds[kind]
        example = next(row[0] for row in rows if row)
        nothing = dataclasses.replace(example, weight=np.float32(0))  # type: ignore[type-var]
        for slot in range(max(map(len, rows))):
            column = [row[slot] if slot < len(row) else nothing for row in rows]
            stacked.append(jax.tree.map(lambda *leaves: jnp.stack(leaves), *column))
    return tuple(stacked)


def _bound(index: int, objective: Objective, layers: Mapping[str, LayerInfo]) -> list[Term]:
    """The terms of an objective as arrays."""
    if not objective.terms:
        raise ValueError(f"objective {index} has no terms; add at least one unit")
    terms = []
    for term in objective.terms:
        for layer in term.reads:
            if layer not in layers:
                raise ValueError(f"no layer {layer!r}; the layers are: {', '.join(layers)}")
        terms.append(_as_arrays(term.bind(layers)))
    return terms


def _as_arrays(term: Term) -> Term:
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), term)


def _kind(term: Term) -> Any:
    leaves, structure = jax.tree.flatten(term)
    return structure, tuple(leaf.shape for leaf in leaves)


def opened_layers(objectives: Sequence[Term]) -> tuple[str, ...]:
    """Layers whose ReLU inputs the terms use, each once."""
    return tuple(dict.fromkeys(name for term in objectives for name in term.opens))


def partners_of(groups: Int[Array, " facets"]) -> Bool[Array, "facets facets"]:
    """Where two different facets are of one group."""
    same = groups[:, None] == groups[None, :]
    return same & ~jnp.eye(len(groups), dtype=bool)


def read_objectives(
    activations: Mapping[str, Array],
    objectives: Sequence[Term],
    *,
    relu_inputs: Mapping[str, Array] | None = None,
) -> Float[Array, " facets"]:
    """The value of each objective of a batch, from activations alone.

    Args:
      activations: by layer, each ``(facets, ..., channels)``.
      objectives: from `stack_objectives`; none that looks at pixels or at facets together.
      relu_inputs: by layer, what the ReLU that it ends with works on.
    """
    needed = {name for term in objectives for name in (*term.reads, *term.opens)}
    read = {name: activations[name].astype(jnp.float32) for name in needed}
    opened = {k: v.astype(jnp.float32) for k, v in (relu_inputs or {}).items() if k in needed}

    def value(terms: Objectives, activations: Any, inputs: Any) -> Float[Array, ""]:
        seen = Seen(activations, inputs)
        return jnp.sum(jnp.stack([term.weight * term(seen) for term in terms]))

    return jax.vmap(value)(tuple(objectives), read, opened)
