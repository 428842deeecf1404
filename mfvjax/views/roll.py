"""Circular shifts: what leaves on one side comes in on the other (Deep Dream's jitter)."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from mfvjax.contracts import Levels, Scene, Size
from mfvjax.parts import Number, number, part
from mfvjax.types import Key


@part
class Roll:
    """The image shifted by whole pixels, the same chance for each shift of either axis.

    Attributes:
      rows: shifts are from -rows to rows.
      columns: likewise.

    Reference: ``make_step`` of google/deepdream, with 32 for both.
    """

    rows: Number = number(default=32.0, at_least=0)
    columns: Number = number(default=32.0, at_least=0)

    crops: ClassVar[bool] = False

    def see(self, key: Key, image: Levels, size: Size, scene: Scene) -> Levels:
        """The shifted image."""
        reach = jnp.stack([jnp.asarray(self.rows), jnp.asarray(self.columns)]).astype(jnp.int32)
        shifts = jax.random.randint(key, (2,), -reach, reach + 1, jnp.int32)
        return _rolled(_rolled(image, shifts[0], 0), shifts[1], 1)


def _rolled(image: Levels, shift: Int[Array, ""], axis: int) -> Levels:
    """A slice of two copies side by side: cheaper to differentiate than a gather."""
    length = image.shape[axis]
    twice = jnp.concatenate([image, image], axis=axis)
    return jax.lax.dynamic_slice_in_dim(twice, (-shift) % length, length, axis)
