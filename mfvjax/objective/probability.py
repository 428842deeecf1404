"""The probability of a unit among those of its layer, and objectives turned to climb it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfvjax.objective.places import contract, in_places
from mfvjax.objective.reading import Read, Reading
from mfvjax.objective.seen import Seen
from mfvjax.objective.term import Objective, Term
from mfvjax.parts import Number, number, part, static
from mfvjax.types import LayerInfo


@part
class Probability(Term):
    """The softmax over a layer's channels, read as `Reading` reads the activation.

    Other terms are worth as much beside it as beside the logarithm of the probability, whose
    gradient stays of one size: they are multiplied by the probability, as a constant. Without that
    a probability of 1e-6 would leave the ascent to them alone. The reading's own weight is that of
    the probability beside them.

    Attributes:
      reading: whose probability.
      others: terms that are added.
      weight: factor of the term.
      is_softmax: the layer holds probabilities already.
    """

    reading: Reading | Read
    others: tuple[Term, ...] = ()
    weight: Number = number(default=1.0)
    is_softmax: bool = static(default=False)

    @property
    def reads(self) -> tuple[str, ...]:
        """Of the reading and of the others."""
        return tuple(name for term in (self.reading, *self.others) for name in term.reads)

    @property
    def opens(self) -> tuple[str, ...]:
        """Of the others: a softmax has no closed ReLU."""
        return tuple(name for term in self.others for name in term.opens)

    def bind(self, layers: Mapping[str, LayerInfo]) -> Probability:
        """Binds the reading and the others."""
        others = tuple(term.bind(layers) for term in self.others)
        reading: Any = self.reading.bind(layers)
        return dataclasses.replace(self, reading=reading, others=others)

    def __call__(self, seen: Seen) -> Float[Array, ""]:
        """The probability, and the others in its proportion."""
        read: Any = self.reading
        places = in_places(seen.activations[read.layer])
        shares = places if self.is_softmax else jax.nn.softmax(places, axis=-1)
        share = jnp.sum(contract("p,pc->c", read.positions, shares) * read.channels)
        value, constant = share * read.weight, jax.lax.stop_gradient(share)
        for term in self.others:
            value = value + constant * term.weight * term(seen)
        return value

    @property
    def label(self) -> str:
        """``probability of fc8:3@center``."""
        factor = "" if self.reading.weight == 1 else f"{self.reading.weight:g} * "
        return f"{factor}probability of {self.reading.label}"


def climb_probability(objective: Objective, softmax_layers: Collection[str]) -> Objective:
    """The objective with every reading taken of the softmax over its layer.

    What is no reading is worth as much beside the first reading's probability as it was beside the
    reading; see `Probability`.

    Args:
      objective: any.
      softmax_layers: layers that hold probabilities already, of which no softmax is taken again.
    """
    readings = [term for term in objective.terms if isinstance(term, Reading)]
    others = tuple(term for term in objective.terms if not isinstance(term, Reading))
    if not readings:
        return objective
    made = [
        Probability(
            reading, others if number == 0 else (), is_softmax=reading.layer in softmax_layers
        )
        for number, reading in enumerate(readings)
    ]
    return Objective(tuple(made), objective.name)


def probability_objective(objective: Objective, *, is_softmax: bool = False) -> Objective:
    """`objective`, such as a unit's, with its readings taken of the softmax over their layers.

    Args:
      objective: of readings.
      is_softmax: their layers hold probabilities already (Caffe's ``prob``).
    """
    layers = {name for term in objective.terms for name in term.reads} if is_softmax else ()
    return climb_probability(objective, layers)
