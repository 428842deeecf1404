"""One pass of the network over the images, from which the codes of any number of units are read."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from mfvjax.facets.reading import (
    AskedUnits,
    FacetNetwork,
    UnitRequest,
    as_arrays,
    mean_over_places,
    read_columns,
    read_units,
)
from mfvjax.facets.relevance import relevance_codes
from mfvjax.images import ImageSource, SkippedImage, iterate_batches
from mfvjax.images.batches import OnError
from mfvjax.images.resize import ResizeRule
from mfvjax.nodes import Node, nodes_of
from mfvjax.preprocess import Preprocessing
from mfvjax.types import ForwardFn, Params

Kind: TypeAlias = Literal["place", "mean", "relevance"]
"""A code is the column at the unit's place, the mean over all places, or the unit's reasons."""


class Layers(NamedTuple):
    """Layer of a unit, layer of its code, and what of the latter is the code."""

    unit: str
    code: str
    kind: Kind = "mean"


Asked: TypeAlias = dict[Layers, AskedUnits]
Read: TypeAlias = dict[Layers, tuple[Array, Array, Array]]
Fetched: TypeAlias = dict[Layers, tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class CodeRequest:
    """A unit, and the layer whose activations, or their relevance, are its images' codes."""

    unit: UnitRequest
    code_layer: str
    kind: Kind = "mean"

    @property
    def layers(self) -> Layers:
        """Requests of the same layers are read together."""
        return Layers(self.unit.unit.layer, self.code_layer, self.kind)


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """What was read for one request; row i belongs to image ``indices[i]`` of the source.

    Attributes:
      codes: requests of one dense code layer share one array.
      activations: of the unit.
      places: row-major position where the unit was read.
      indices: of the images in their source.
      skipped: images that could not be read.
    """

    codes: Float[np.ndarray, "images features"]
    activations: Float[np.ndarray, " images"]
    places: Int[np.ndarray, " images"]
    indices: Int[np.ndarray, " images"]
    skipped: tuple[SkippedImage, ...]


def run_pass(
    network: FacetNetwork,
    source: ImageSource,
    requests: Sequence[CodeRequest],
    *,
    rule: ResizeRule,
    batch_size: int,
    on_error: OnError,
    max_unreadable: float,
    num_workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> list[Reading]:
    """Reads all images once, in batches of one shape, for every request.

    Raises:
      TooManyUnreadableError: more than `max_unreadable` of the images are unreadable.
      UnreadableImageError: an image is unreadable and `on_error` is ``"raise"``.
      ValueError: no image can be read.
    """
    groups = group_requests(requests)
    asked = {
        layers: as_arrays([requests[row].unit for row in rows]) for layers, rows in groups.items()
    }
    parts: list[Fetched] = []
    waiting: tuple[Read, int] | None = None
    indices: list[int] = []
    skipped: list[SkippedImage] = []
    for batch in iterate_batches(
        source,
        size=rule.size,
        batch_size=batch_size,
        resize_shorter=rule.resize_shorter,
        warp=rule.warp,
        on_error=on_error,
        max_unreadable=max_unreadable,
        num_workers=num_workers,
    ):
        read = read_batch(
            network.params,
            batch.images,
            asked,
            forward=network.forward,
            preprocessing=network.preprocessing,
        )
        if waiting is not None:  # fetched while the device is at the next batch
            parts.append(fetch_batch(*waiting))
        waiting = read, batch.count
        indices.extend(batch.indices.tolist())
        skipped.extend(batch.skipped)
        if progress is not None:
            progress(len(indices) + len(skipped), len(source))
    if not indices:
        raise ValueError(f"none of {len(source)} images can be read; the first: {skipped[0]}")
    if waiting is not None:
        parts.append(fetch_batch(*waiting))
    readings: dict[int, Reading] = {}
    for layers, rows in groups.items():
        codes, values, places = (
            np.concatenate([part[layers][i] for part in parts]) for i in range(3)
        )
        for column, row in enumerate(rows):
            readings[row] = Reading(
                codes if codes.ndim == 2 else codes[:, column],
                values[:, column],
                places[:, column],
                np.array(indices, np.int64),
                tuple(skipped),
            )
    return [readings[row] for row in range(len(requests))]


def group_requests(requests: Sequence[CodeRequest]) -> dict[Layers, list[int]]:
    """Rows of the requests that are read together, by their layers."""
    groups: dict[Layers, list[int]] = {}
    for row, request in enumerate(requests):
        groups.setdefault(request.layers, []).append(row)
    return groups


@functools.partial(jax.jit, static_argnames=("forward", "preprocessing"))
def read_batch(
    params: Params,
    images: Num[Array, "batch height width channels"],
    asked: Asked,
    *,
    forward: ForwardFn,
    preprocessing: Preprocessing,
) -> Read:
    """Codes, activations and places of one batch; layers that nobody asked for are not computed.

    Codes are ``(batch, units, features)`` for columns of a map and for relevance, else
    ``(batch, features)``.
    """

    def read(images: Array) -> Mapping[str, Array]:
        return forward(params, preprocessing.to_net_input(images))

    images = images.astype(jnp.float32)
    nodes: Mapping[str, Node] = {}
    if any(layers.kind == "relevance" for layers in asked):
        nodes = nodes_of(read, images)
        activations = {name: jnp.asarray(node.value) for name, node in nodes.items()}
    else:
        activations = dict(read(images))
    out = {}
    for layers, units in asked.items():
        values, where = read_units(activations[layers.unit], units)
        code = activations[layers.code]
        if layers.kind == "relevance":
            codes = relevance_codes(nodes, layers.unit, layers.code, units, where)
        elif layers.kind == "place" and code.ndim > 2:
            codes = read_columns(code, where)  # (batch, units, channels)
        else:
            codes = mean_over_places(code)  # (batch, channels), shared by the units
        out[layers] = codes.astype(jnp.float32), values.astype(jnp.float32), where
    return out


def fetch_batch(read: Read, count: int) -> Fetched:
    """The real rows of a batch, on the host."""
    return jax.tree.map(lambda values: np.asarray(values)[:count], read)
