"""What an objective may look at in one step, for one facet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from jaxtyping import Array, Float


class Seen(NamedTuple):
    """One view of one facet.

    Attributes:
      activations: by layer, without a batch axis: ``(height, width, channels)`` of a map,
        ``(tokens, channels)`` of a sequence, ``(neurons,)`` of a dense layer; float32.
      relu_inputs: of layers that end with a ReLU and were asked for, what goes into it.
      image: ``(height, width, channels)``, what the network was shown, in levels.
      window: ``(height, width, channels)``, what moves, in levels, before the view.
      zero: ``(channels,)``, the levels that the network's preprocessing turns into zero.
    """

    activations: Mapping[str, Array]
    relu_inputs: Mapping[str, Array]
    image: Float[Array, "height width channels"] | None = None
    window: Float[Array, "rows columns channels"] | None = None
    zero: Float[Array, " channels"] | None = None
