"""What a term of an objective is, and objectives as sums of terms."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
from jaxtyping import Array, Bool, Float

from mfvjax.objective.seen import Seen
from mfvjax.parts import is_value
from mfvjax.types import LayerInfo


class Term:
    """Base of terms: one number of what is seen, which times ``weight`` is to be maximized.

    A term is a `mfvjax.parts.part` with a field ``weight`` among its numbers. Its arrays and
    numbers are leaves, so that terms of many facets are stacked and one program serves them all;
    what it reads, such as the layer's name, is static.

    Attributes:
      opens: layers whose closed ReLUs it wants to see behind (``Seen.relu_inputs``).
      reads: layers that must exist.
    """

    weight: Any
    is_joint: ClassVar[bool] = False

    @property
    def reads(self) -> tuple[str, ...]:
        """Layers that must exist."""
        layer = getattr(self, "layer", None)
        return () if layer is None else (layer,)

    @property
    def opens(self) -> tuple[str, ...]:
        """Layers whose ReLU inputs it uses."""
        return ()

    def bind(self, layers: Mapping[str, LayerInfo]) -> Term:
        """The term as arrays that fit the network's layers; by default itself.

        Raises:
          ValueError: it does not fit; the message names the layer.
        """
        return self

    def __call__(self, seen: Seen) -> Float[Array, ""]:
        """The number; its weight is not in it."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """What the term is called where a facet has no name."""
        where = "".join(f" in {layer}" for layer in self.reads)
        return f"{type(self).__name__}{where}"


class JointTerm(Term):
    """Base of terms that look at all facets of a group, such as one unit's, together.

    Facets of a group are never cut apart between batches, devices or cores.
    """

    is_joint: ClassVar[bool] = True

    def features(self, seen: Seen) -> Array:
        """What one facet shows to the others; an array of one shape for all."""
        raise NotImplementedError

    def together(
        self, features: Float[Array, "facets ..."], partners: Bool[Array, "facets facets"]
    ) -> Float[Array, " facets"]:
        """The number of each facet; ``partners[i, j]`` where j is another facet of i's group."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
    """A sum of terms, to be maximized. ``a + b``, ``a - b`` and ``2.0 * a`` make new ones.

    Attributes:
      terms: at least one.
      name: what messages call it; not carried over to new ones.

    Raises:
      ValueError: a term's number ramps, or it holds arrays of several facets: these are for the
        parts of a phase.
    """

    terms: tuple[Term, ...]
    name: str = ""

    def __post_init__(self) -> None:
        for term in self.terms:
            for leaf in jax.tree.leaves(term, is_leaf=is_value):
                if is_value(leaf):
                    raise ValueError(
                        f"{type(term).__name__}: an objective is the same in all steps, and one "
                        f"facet's: it cannot hold a {type(leaf).__name__}, which is for the parts "
                        "of a phase, such as its penalties"
                    )

    def __add__(self, other: Objective) -> Objective:
        return Objective(self.terms + other.terms)

    def __sub__(self, other: Objective) -> Objective:
        return self + (-1.0) * other

    def __mul__(self, factor: float) -> Objective:
        return Objective(
            tuple(
                dataclasses.replace(t, weight=t.weight * float(factor))  # type: ignore[type-var]
                for t in self.terms
            )
        )

    __rmul__ = __mul__

    @property
    def label(self) -> str:
        """All terms that count, with their weights."""
        weights = [("" if t.weight == 1 else f"{t.weight:g} * ") for t in self.terms]
        labels = [w + t.label for w, t in zip(weights, self.terms, strict=True) if t.weight]
        return " + ".join(labels)
