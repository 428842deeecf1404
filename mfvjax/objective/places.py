"""Positions and channels of a layer as weights: what a term reads, turned into arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from mfvjax.types import LayerInfo

Where: TypeAlias = tuple[int, int] | Literal["center", "mean"]


def position_weights(where: Where, info: LayerInfo) -> Float32[np.ndarray, " places"]:
    """One weight per position of a layer, in row-major order: the sum over places is the reading.

    Args:
      where: ``(row, column)`` of a map, ``"center"``, or ``"mean"`` over all positions; of no
        effect in a dense layer. In a token layer the row counts tokens and the column is 0.
      info: the layer.

    Raises:
      ValueError: there is no such position.
    """
    size = info.shape[:-1]
    weights = np.zeros(size, np.float32)
    if isinstance(where, str) and where not in ("center", "mean"):
        raise ValueError(f"where={where!r} must be (row, column), 'center' or 'mean'")
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


def channel_weights(
    channels: int | Sequence[float] | np.ndarray, info: LayerInfo
) -> Float32[np.ndarray, " channels"]:
    """One weight per channel of a layer, from an index or a direction.

    Raises:
      ValueError: there is no such channel, or the direction has another length.
    """
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


def in_places(activation: Float[Array, "*places channels"]) -> Float[Array, "_ channels"]:
    """All positions in one axis."""
    return activation.reshape(-1, activation.shape[-1])


def contract(subscripts: str, *operands: Array) -> Array:
    """`jnp.einsum` in full float32 on every accelerator: these are numbers that users compare."""
    return jnp.einsum(subscripts, *operands, precision=jax.lax.Precision.HIGHEST)
