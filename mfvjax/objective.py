"""What the ascent climbs: readings of named activations, as values and as arrays.

Every objective is a sum of terms: a weighted sum over the channels of one layer, read at one
position or averaged over all of them, or the log-probability of one facet among others. A batch of
objectives becomes arrays with one shape, so that one compiled program serves any unit, position,
direction or mixture of the same layers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from mfvjax.types import LayerInfo, Unit

Where: TypeAlias = tuple[int, int] | Literal["center", "mean"]


@dataclasses.dataclass(frozen=True, eq=False)
class Term:
    """One weighted reading of a layer.

    Attributes:
      layer: name of the activation.
      channels: a channel's (neuron's) index, or one weight per channel.
      where: ``(row, column)`` of a map, ``"center"``, or ``"mean"`` over all positions; of no
        effect in a dense layer. In a token layer the row counts tokens and the column is 0.
      weight: factor of the term.
    """

    layer: str
    channels: int | Sequence[float] | np.ndarray
    where: Where = "center"
    weight: float = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class FacetTerm:
    """The log-probability that a code belongs to one facet and not to another.

    With z the layer's channels and c the facets' centroids it is ``weight * log p_own``, where p is
    the softmax over facets j of ``-|z - c_j|^2 / (2 temperature)``: 0 where the code clearly is the
    facet's own, so that it then leaves the other terms alone, and linear in z where it is not.

    Attributes:
      layer: whose activations are codes.
      centroids: ``(k, channels)``.
      own: the facet to stay in, from 0.
      temperature: above 0, in squared units of the codes.
      where: as `Term`.
      weight: factor of the term.
      slots: room for so many facets at least, so that terms of fewer share a compiled program.
    """

    layer: str
    centroids: np.ndarray
    own: int
    temperature: float
    where: Where = "center"
    weight: float = 1.0
    slots: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
    """A sum of terms, to be maximized. ``a + b``, ``a - b`` and ``2.0 * a`` make new ones.

    Attributes:
      terms: at least one.
      name: what messages call it; not carried over to new ones.
    """

    terms: tuple[Term | FacetTerm, ...]
    name: str = ""

    def __add__(self, other: Objective) -> Objective:
        return Objective(self.terms + other.terms)

    def __sub__(self, other: Objective) -> Objective:
        return self + (-1.0) * other

    def __mul__(self, factor: float) -> Objective:
        return Objective(
            tuple(dataclasses.replace(t, weight=t.weight * float(factor)) for t in self.terms)
        )

    __rmul__ = __mul__


def unit_objective(unit: Unit | str) -> Objective:
    """The activation of one unit; a map's channel without a position is read at the center."""
    unit = Unit.parse(unit) if isinstance(unit, str) else unit
    return Objective((Term(unit.layer, unit.index, unit.position or "center"),))


def channel_objective(layer: str, channel: int) -> Objective:
    """The mean activation of a channel over all positions of its map."""
    return Objective((Term(layer, channel, "mean"),))


def direction_objective(
    layer: str, direction: Sequence[float] | np.ndarray, *, where: Where = "center"
) -> Objective:
    """The inner product of a layer's channels with `direction`, one weight per channel."""
    return Objective((Term(layer, np.asarray(direction, np.float32), where),))


class Readout(NamedTuple):
    """Objectives on one layer, as arrays: ``sum_t positions_t . activation . channels_t``."""

    positions: Float[Array, "batch terms places"]
    channels: Float[Array, "batch terms channels"]


class FacetReadout(NamedTuple):
    """Facet terms on one layer: ``sum_j own_j log softmax_j(code . centroids_j + bias_j)``."""

    positions: Float[Array, "batch places"]
    centroids: Float[Array, "batch facets channels"]
    bias: Float[Array, "batch facets"]
    own: Float[Array, "batch facets"]


class Readouts(NamedTuple):
    """A batch of objectives; by layer."""

    linear: dict[str, Readout]
    facets: dict[str, FacetReadout]


def stack_objectives(objectives: Sequence[Objective], layers: Mapping[str, LayerInfo]) -> Readouts:
    """Turns objectives into arrays, for each layer that any of them uses, in the layers' order.

    Args:
      objectives: one per image.
      layers: facts of the network's layers, by name.

    Returns:
      float32 arrays; an objective with fewer terms on a layer than others is filled up with zeros.

    Raises:
      ValueError: a term names a layer, channel, position or facet that does not exist, its weights
        have another length than the layer has channels, a temperature is not positive, or an
        objective has no terms, or two facet terms on one layer.
    """
    linear: dict[str, list[list[Term]]] = {}
    facets: dict[str, list[FacetTerm | None]] = {}
    for i, objective in enumerate(objectives):
        if not objective.terms:
            raise ValueError(f"objective {i} has no terms; add at least one unit")
        for term in objective.terms:
            if term.layer not in layers:
                raise ValueError(f"no layer {term.layer!r}; the layers are: {', '.join(layers)}")
            if isinstance(term, Term):
                linear.setdefault(term.layer, [[] for _ in objectives])[i].append(term)
                continue
            row = facets.setdefault(term.layer, [None] * len(objectives))
            if row[i] is not None:
                raise ValueError(f"objective {i} has two facet terms on layer {term.layer!r}")
            row[i] = term
    return Readouts(
        {name: _readout(linear[name], layers[name]) for name in layers if name in linear},
        {name: _facet_readout(facets[name], layers[name]) for name in layers if name in facets},
    )


def _readout(terms: list[list[Term]], info: LayerInfo) -> Readout:
    num_terms = max(len(of_one) for of_one in terms)
    places = int(np.prod(info.shape[:-1], dtype=int))
    positions = np.zeros((len(terms), num_terms, places), np.float32)
    channels = np.zeros((len(terms), num_terms, info.num_units), np.float32)
    for i, of_one in enumerate(terms):
        for t, term in enumerate(of_one):
            positions[i, t] = term.weight * _position_weights(term.where, info)
            channels[i, t] = _channel_weights(term.channels, info)
    return Readout(jnp.asarray(positions), jnp.asarray(channels))


def _facet_readout(terms: list[FacetTerm | None], info: LayerInfo) -> FacetReadout:
    count = max(max(len(term.centroids), term.slots) for term in terms if term is not None)
    places = int(np.prod(info.shape[:-1], dtype=int))
    positions = np.zeros((len(terms), places), np.float32)
    centroids = np.zeros((len(terms), count, info.num_units), np.float32)
    # A facet that an objective does not have must not take any probability.
    bias = np.full((len(terms), count), -1e9, np.float32)
    own = np.zeros((len(terms), count), np.float32)
    for i, term in enumerate(terms):
        if term is None:
            continue
        k = len(term.centroids)
        if not 0 <= term.own < k:
            raise ValueError(f"no facet {term.own}: there are {k}, counted from 0")
        if not term.temperature > 0:
            raise ValueError(f"temperature={term.temperature} of a facet term must be above 0")
        rows = np.stack([_channel_weights(row, info) for row in term.centroids])
        positions[i] = _position_weights(term.where, info)
        centroids[i, :k] = rows / term.temperature
        bias[i, :k] = -0.5 * (rows.astype(np.float64) ** 2).sum(axis=1) / term.temperature
        own[i, term.own] = term.weight
    return FacetReadout(*map(jnp.asarray, (positions, centroids, bias, own)))


def _position_weights(where: Where, info: LayerInfo) -> Float32[np.ndarray, " places"]:
    size = info.shape[:-1]
    weights = np.zeros(size, np.float32)
    if where == "mean" or not size:
        weights[...] = 1 / max(weights.size, 1)
    elif where == "center":
        weights[tuple(side // 2 for side in size)] = 1
    else:
        row, column = where
        full = (*size, 1)[:2]
        if not (0 <= row < full[0] and 0 <= column < full[1]):
            raise ValueError(
                f"layer {info.name!r} has no position {row},{column}: rows go from 0 to "
                f"{full[0] - 1}, columns from 0 to {full[1] - 1}"
            )
        weights[(row, column)[: len(size)]] = 1
    return weights.reshape(-1)


def _channel_weights(
    channels: int | Sequence[float] | np.ndarray, info: LayerInfo
) -> Float32[np.ndarray, " channels"]:
    if isinstance(channels, int | np.integer):
        if not 0 <= channels < info.num_units:
            raise ValueError(
                f"layer {info.name!r} has no unit {channels}: "
                f"its units are 0 to {info.num_units - 1}"
            )
        return np.eye(1, info.num_units, int(channels), dtype=np.float32)[0]
    weights = np.asarray(channels, np.float32)
    if weights.shape != (info.num_units,):
        raise ValueError(
            f"a direction in layer {info.name!r} needs {info.num_units} weights, "
            f"not an array of shape {weights.shape}"
        )
    return weights


def read_objectives(
    activations: Mapping[str, Array],
    readouts: Readouts,
    *,
    probability: bool = False,
    relu_inputs: Mapping[str, Array] | None = None,
) -> Float[Array, " batch"]:
    """The value of each objective of a batch.

    Args:
      activations: by layer, each ``(batch, ..., channels)``.
      readouts: from `stack_objectives`.
      probability: read the softmax over each layer's channels instead of the activation; facet
        terms stay as they are.
      relu_inputs: by layer, what the ReLU that it ends with works on. A term that reads exactly 0
        there takes its gradient from before the ReLU, which would let nothing through; its value
        stays. Not used with `probability`.
    """
    values = []
    for name, readout in readouts.linear.items():
        activation = activations[name].astype(readout.channels.dtype)
        if probability:
            activation = jax.nn.softmax(activation, axis=-1)
        terms = _read_terms(activation, readout)
        if relu_inputs and name in relu_inputs and not probability:
            opened = _read_terms(relu_inputs[name].astype(activation.dtype), readout)
            opened = opened - jax.lax.stop_gradient(opened)  # 0, but for its gradient
            terms = terms + jnp.where(terms == 0, opened, 0)
        values.append(jnp.sum(terms, axis=1))
    for name, facet in readouts.facets.items():
        places = _places(activations[name].astype(facet.centroids.dtype))
        code = _contract("bp,bpc->bc", facet.positions, places)
        scores = _contract("bkc,bc->bk", facet.centroids, code) + facet.bias
        values.append(jnp.sum(facet.own * jax.nn.log_softmax(scores, axis=-1), axis=-1))
    return jnp.sum(jnp.stack(values), axis=0)


def _read_terms(
    activation: Float[Array, "batch *places channels"], readout: Readout
) -> Float[Array, "batch terms"]:
    read = _contract("btp,bpc->btc", readout.positions, _places(activation))
    return jnp.sum(read * readout.channels, axis=2)


def _places(activation: Float[Array, "batch *places channels"]) -> Float[Array, "batch _ channels"]:
    """All positions in one axis."""
    return activation.reshape(activation.shape[0], -1, activation.shape[-1])


def _contract(subscripts: str, *operands: Array) -> Array:
    # Full float32 on every accelerator: these are numbers that users compare.
    return jnp.einsum(subscripts, *operands, precision=jax.lax.Precision.HIGHEST)
