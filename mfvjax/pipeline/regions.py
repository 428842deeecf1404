"""What of the network's input a unit sees, and what is shown of it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Num

from mfvjax.network import Network
from mfvjax.types import PixelBox, Unit


def visible_region(network: Network, unit: Unit) -> PixelBox | None:
    """The part of the network's input that a unit's position sees; ``None`` for all of it."""
    if unit.position is None:
        return None
    seen = network.receptive_field(unit).clip(network.input_size)
    return None if seen.size == network.input_size else seen


def visible_part(
    network: Network, unit: Unit, images: Num[np.ndarray, "n h w c"]
) -> Num[np.ndarray, "n a b c"]:
    """The part of a unit's patches that its own position sees inside the image.

    A patch is as large as the receptive field, or as the image where the field is longer than it.
    """
    if unit.position is None:
        return images
    box = network.receptive_field(unit)
    seen = box.clip(network.input_size)
    top = 0 if box.size[0] >= network.input_size[0] else seen.top - box.top
    left = 0 if box.size[1] >= network.input_size[1] else seen.left - box.left
    return images[:, top : top + seen.size[0], left : left + seen.size[1]]
