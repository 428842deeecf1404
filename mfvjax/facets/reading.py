"""What finding facets needs of a network, and how a layer's units are read from its activations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mfvjax.facets.places import MapWindow, Positions, counted_window
from mfvjax.preprocess import Preprocessing
from mfvjax.types import ForwardFn, LayerInfo, Params, PixelBox, Unit

ANY_PLACE = -1
"""Stands for the place of a unit that is read where it is strongest."""


@runtime_checkable
class FacetNetwork(Protocol):
    """The part of ``mfvjax.network.Network`` that finding facets uses; see there."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def forward(self) -> ForwardFn:
        """``(params, net_input) -> {layer: activation}``, pure."""

    @property
    def params(self) -> Params:
        """What `forward` takes."""

    @property
    def preprocessing(self) -> Preprocessing:
        """From images to net inputs."""

    @property
    def layers(self) -> Mapping[str, LayerInfo]:
        """Facts of every activation."""

    @property
    def input_size(self) -> tuple[int, int]:
        """``(height, width)`` of the images."""

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the activations."""

    def resolve(self, unit: Unit | str) -> Unit:
        """Checks a unit and fills in its position."""

    def code_layer(self, layer: str) -> str:
        """Where the codes for units of `layer` are read."""

    def is_class_layer(self, layer: str) -> bool:
        """Whether the units of `layer` are classes."""

    def receptive_field(self, unit: Unit | str) -> PixelBox:
        """Pixels that a unit can see, not clipped."""


@dataclasses.dataclass(frozen=True)
class UnitRequest:
    """A unit as it was asked for, checked against the network.

    Attributes:
      unit: with a position only if one was asked for.
      map_size: ``(rows, columns)`` of the layer's positions, tokens are rows; ``None`` if dense.
      window: the part of its map in which a unit without a position is read where it is strongest;
        ``None`` for all of it. The same for all units of a layer, with a position or without.
    """

    unit: Unit
    map_size: tuple[int, int] | None
    window: MapWindow | None = None

    @property
    def place(self) -> int:
        """Row-major index of the position that was asked for, or `ANY_PLACE`."""
        if self.unit.position is None or self.map_size is None:
            return ANY_PLACE
        return self.unit.position[0] * self.map_size[1] + self.unit.position[1]

    @property
    def is_limited(self) -> bool:
        """Whether there are positions at which the unit may be stronger, but which do not count."""
        return self.place == ANY_PLACE and self.window is not None


class AskedUnits(NamedTuple):
    """Units of one layer as the compiled programs take them; other units compile nothing new.

    Attributes:
      channels: index of each unit.
      places: row-major position of each, or `ANY_PLACE`.
      window: see `UnitRequest`.
    """

    channels: Int[Array, " units"]
    places: Int[Array, " units"]
    window: MapWindow | None = None


def request_unit(
    network: FacetNetwork, unit: Unit | str, *, positions: Positions = "inside"
) -> UnitRequest:
    """Checks a unit; unlike ``network.resolve``, leaves a position open that was left open.

    Args:
      network: whose unit it is.
      unit: with a position or without; by its name too, in a layer whose units have names.
      positions: that count where it has none; see `counted_window`.

    Raises:
      ValueError: the text is no unit, there is no such layer, index, name or position, or
        `positions` is not known.
    """
    unit = Unit.parse(unit, network.layers) if isinstance(unit, str) else unit
    network.resolve(unit)
    info = network.layers[unit.layer]
    window = counted_window(info, network.input_size, positions)
    if info.is_dense:
        return UnitRequest(unit, None)
    map_size = info.shape[0], info.shape[1] if len(info.shape) == 3 else 1
    return UnitRequest(unit, map_size, window)


def as_arrays(requests: Sequence[UnitRequest]) -> AskedUnits:
    """Channel and place of each unit; all are of one layer, and asked for in the same way."""
    channels = np.array([request.unit.index for request in requests], np.int32)
    places = np.array([request.place for request in requests], np.int32)
    (window,) = {request.window for request in requests}
    return AskedUnits(jnp.asarray(channels), jnp.asarray(places), window)


def as_positions(
    request: UnitRequest, places: Int[np.ndarray, " images"]
) -> Int[np.ndarray, "images 2"] | None:
    """Row-major places as ``(row, column)``; ``None`` for a dense layer."""
    if request.map_size is None:
        return None
    return np.stack(np.divmod(places, request.map_size[1]), axis=1)


def read_units(
    activation: Float[Array, "batch *places channels"], asked: AskedUnits
) -> tuple[Float[Array, "batch units"], Int[Array, "batch units"]]:
    """Activations of some units of a layer, and the place where each was read.

    Args:
      activation: of a dense layer, a map or a sequence of tokens.
      asked: the units. One of `ANY_PLACE` is read at its maximum over the window's places; of equal
        maxima the first counts.

    Returns:
      Activations, and row-major places in the whole map; 0 for a dense layer.
    """
    batch, num_channels = activation.shape[0], activation.shape[-1]
    num_rows = activation.shape[1] if activation.ndim > 2 else 1
    maps = activation.reshape(batch, num_rows, -1, num_channels)
    values, where = _maxima(maps, asked.window or MapWindow((0, num_rows), (0, maps.shape[2])))
    given = jnp.maximum(asked.places, 0)  # whatever comes out where the maximum counts is not used
    at_given = maps.reshape(batch, -1, num_channels)[:, given, asked.channels]
    free = asked.places[None, :] == ANY_PLACE
    return (
        jnp.where(free, values[:, asked.channels], at_given),
        jnp.where(free, where[:, asked.channels], asked.places[None, :]).astype(jnp.int32),
    )


def _maxima(
    maps: Float[Array, "batch rows columns channels"], window: MapWindow
) -> tuple[Float[Array, "batch channels"], Int[Array, "batch channels"]]:
    """The maximum of every channel in the window, and the first place in row-major order of it.

    First the row, then the column in it: on a CPU this is fifteen times as fast as one argmax over
    the whole map.
    """
    counted = maps[:, slice(*window.rows), slice(*window.columns)]
    of_rows = counted.max(axis=2)
    row = jnp.argmax(of_rows, axis=1)  # (batch, channels)
    in_row = jnp.take_along_axis(counted, row[:, None, None, :], axis=1)[:, 0]
    column = jnp.argmax(in_row, axis=1)
    place = (row + window.rows[0]) * maps.shape[2] + column + window.columns[0]
    return of_rows.max(axis=1), place


def read_columns(
    activation: Float[Array, "batch *places channels"], where: Int[Array, "batch units"]
) -> Float[Array, "batch units channels"]:
    """The vector across all channels at each unit's place."""
    batch, num_channels = activation.shape[0], activation.shape[-1]
    columns = activation.reshape(batch, -1, num_channels)
    return jnp.take_along_axis(columns, where[:, :, None], axis=1)


def mean_over_places(
    activation: Float[Array, "batch *places channels"],
) -> Float[Array, "batch channels"]:
    """The mean over the positions of a map or the tokens of a sequence; a dense layer as it is."""
    batch, num_channels = activation.shape[0], activation.shape[-1]
    return activation.reshape(batch, -1, num_channels).mean(axis=1)
