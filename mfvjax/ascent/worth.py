"""What facets are worth in one step: every term, on every view of every facet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mfvjax.objective import JointTerm, Seen, Term
from mfvjax.objective.stack import partners_of


class Views(NamedTuple):
    """What is seen of one facet, or with a leading axis of all; v views.

    Attributes:
      activations: by layer, ``(v, ...)``, float32.
      relu_inputs: likewise.
      images: ``(v, h, w, c)``, in levels.
      window: ``(rows, columns, c)``, in levels.
    """

    activations: Mapping[str, Array]
    relu_inputs: Mapping[str, Array]
    images: Array
    window: Array

    def look(self, at: Callable[[Seen], Array], zero: Float[Array, " c"]) -> Array:
        """What `at` makes of each view of this facet, stacked."""

        def one(activations: Mapping, relu_inputs: Mapping, image: Array) -> Array:
            return at(Seen(activations, relu_inputs, image, self.window, zero))

        return jax.vmap(one)(self.activations, self.relu_inputs, self.images)


def worth_of_views(term: Term, views: Views, zero: Float[Array, " c"]) -> Float[Array, ""]:
    """A term's weighted number for one facet, averaged over its views."""
    return jnp.mean(term.weight * views.look(term, zero))


def total_worth(
    terms: Sequence[Term],
    views: Views,
    groups: Int[Array, " facets"],
    zero: Float[Array, " c"],
) -> Float[Array, " facets"]:
    """Sum of each facet's terms, whose leaves have the facets as their first axis."""
    values = []
    for term in terms:
        if isinstance(term, JointTerm):
            values.append(_joint_worth(term, views, groups, zero))
        else:
            values.append(jax.vmap(lambda t, v: worth_of_views(t, v, zero))(term, views))
    return sum(values[1:], values[0])


def _joint_worth(
    term: JointTerm, views: Views, groups: Int[Array, " facets"], zero: Float[Array, " c"]
) -> Float[Array, " facets"]:
    features = jax.vmap(lambda t, v: v.look(t.features, zero))(term, views)
    first = jax.tree.map(lambda leaf: leaf[0], term)
    partners = partners_of(groups)
    by_view = jax.vmap(lambda row: first.together(row, partners), in_axes=1)(features)
    return term.weight * jnp.mean(by_view, axis=0)
