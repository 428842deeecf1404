"""Rows of zeros after the real ones, so that many numbers of images share one compiled shape."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

BLOCK = 64


def pad_rows(
    values: Float[np.ndarray, "n d"],
) -> tuple[Float[np.ndarray, "padded d"], Bool[np.ndarray, " padded"]]:
    """Pads to a multiple of `BLOCK` rows; also tells which rows are real."""
    padded = np.zeros((-(-len(values) // BLOCK) * BLOCK, values.shape[1]), np.float32)
    padded[: len(values)] = values
    return padded, np.arange(len(padded)) < len(values)
