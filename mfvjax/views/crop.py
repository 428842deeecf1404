"""Jittered crops: the network sees a window of the canvas, and only that window moves."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Int

from mfvjax.contracts import Levels, Scene, Size
from mfvjax.parts import Number, number, part
from mfvjax.priors.jitter import offset_within
from mfvjax.types import Key


@part
class Crop:
    """A window of the network's input size, at a random place of the canvas.

    Attributes:
      offset_std: standard deviation of the offset, as a fraction of the free range of each axis
        (the release's ``window``); small values keep crops near the center.
      uniform: 1 draws every offset alike; `offset_std` is then not used.

    References: Nguyen et al. 2016, section S2.3; `mfvjax.priors.jitter.crop_offset`.
    """

    offset_std: Number = number(default=0.3, at_least=0)
    uniform: Number = number(default=0.0, at_least=0, at_most=1)

    crops: ClassVar[bool] = True

    def offset(self, key: Key, free: Int[Array, 2]) -> Int[Array, 2]:
        """Top-left corner of the window."""
        anywhere = offset_within(key, free, jitter="uniform")
        near_center = offset_within(key, free, offset_std=self.offset_std)
        return jnp.where(jnp.asarray(self.uniform) > 0, anywhere, near_center)

    def see(self, key: Key, image: Levels, size: Size, scene: Scene) -> Levels:
        """The window as it is."""
        return image
