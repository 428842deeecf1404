"""Readings: a weighted sum over the channels of a layer, at one position or over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfvjax.objective.places import (
    Where,
    channel_weights,
    contract,
    in_places,
    position_weights,
)
from mfvjax.objective.seen import Seen
from mfvjax.objective.term import Objective, Term
from mfvjax.parts import Leaf, Number, number, part, static
from mfvjax.types import LayerInfo, Unit


@part
class Reading(Term):
    """A unit, a channel, or a direction.

    Attributes:
      layer: name of the activation.
      channels: a channel's (neuron's) index, or one weight per channel.
      where: ``(row, column)`` of a map, ``"center"``, or ``"mean"`` over all positions; of no
        effect in a dense layer. In a token layer the row counts tokens and the column is 0.
      weight: factor of the term.
    """

    layer: str = static()
    channels: int | Sequence[float] | np.ndarray = static()
    where: Where = static(default="center")
    weight: Number = number(default=1.0)

    def bind(self, layers: Mapping[str, LayerInfo]) -> Read:
        """Raises ValueError where the layer has no such channel or position."""
        info = layers[self.layer]
        positions = position_weights(self.where, info)
        return Read(self.layer, positions, channel_weights(self.channels, info), self.weight)

    @property
    def label(self) -> str:
        """``conv2:1@mean``."""
        channels = self.channels if isinstance(self.channels, int | np.integer) else "direction"
        where = self.where if isinstance(self.where, str) else f"{self.where[0]},{self.where[1]}"
        return f"{self.layer}:{channels}@{where}"


@part
class Read(Term):
    """A `Reading` as arrays: ``positions . activation . channels``.

    Where it reads exactly 0, a ReLU may be closed, and no gradient comes through: it then takes its
    gradient from before the ReLU, as far as that raises the objective. Its value stays.
    """

    layer: str = static()
    positions: Leaf = None
    channels: Leaf = None
    weight: Number = number(default=1.0)

    @property
    def opens(self) -> tuple[str, ...]:
        """Its layer."""
        return (self.layer,)

    def __call__(self, seen: Seen) -> Float[Array, ""]:
        """The reading."""
        value = self._read(seen.activations[self.layer], self.channels)
        if self.layer not in seen.relu_inputs:
            return value
        sign = jnp.sign(jnp.asarray(self.weight, value.dtype))
        raising = sign * jnp.maximum(sign * self.channels, 0)
        opened = self._read(seen.relu_inputs[self.layer], raising)
        opened = opened - jax.lax.stop_gradient(opened)  # 0, but for its gradient
        return value + jnp.where(value == 0, opened, 0)

    def _read(self, activation: Array, channels: Array) -> Float[Array, ""]:
        read = contract("p,pc->c", self.positions, in_places(activation))
        return jnp.sum(read * channels)


def unit_objective(unit: Unit | str) -> Objective:
    """The activation of one unit; a map's channel without a position is read at the center."""
    unit = Unit.parse(unit) if isinstance(unit, str) else unit
    return Objective((Reading(unit.layer, unit.index, unit.position or "center"),))


def channel_objective(layer: str, channel: int) -> Objective:
    """The mean activation of a channel over all positions of its map."""
    return Objective((Reading(layer, channel, "mean"),))


def direction_objective(
    layer: str, direction: Sequence[float] | np.ndarray | Any, *, where: Where = "center"
) -> Objective:
    """The inner product of a layer's channels with `direction`, one weight per channel."""
    return Objective((Reading(layer, np.asarray(direction, np.float32), where),))
