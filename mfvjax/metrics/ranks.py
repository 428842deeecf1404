"""Where a class lies among all classes that a network tells apart."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def class_ranks(logits: Float[np.ndarray, "n classes"], index: int) -> Float[np.ndarray, " n"]:
    """Rank of one class for each image: 1 for the first, the number of classes for the last.

    Classes with the same score count as before it, so that a network that scores all alike, or
    gives no numbers, recognizes nothing: not a number counts as before it, too.

    Args:
      logits: one row per image, before or after a softmax.
      index: of the class.

    Raises:
      ValueError: there is no such class.

    References: `scipy.stats.rankdata` of the negative scores with ``method="max"``.
    """
    _check_class(logits, index)
    own = logits[:, index]
    return logits.shape[1] - (logits < own[:, None]).sum(axis=1).astype(np.float64)


def class_probabilities(
    logits: Float[np.ndarray, "n classes"], index: int
) -> Float[np.ndarray, " n"]:
    """Softmax of the logits at one class, in float64.

    Args:
      logits: before the softmax, one row per image.
      index: of the class.

    Returns: in [0, 1]; NaN where a row is not finite.

    Raises:
      ValueError: there is no such class.

    References: `scipy.special.softmax`.
    """
    _check_class(logits, index)
    with np.errstate(invalid="ignore"):
        shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    weights = np.exp(shifted)
    share = weights[:, index] / weights.sum(axis=1)
    return np.where(np.isfinite(logits).all(axis=1), share, np.nan)


def _check_class(logits: np.ndarray, index: int) -> None:
    if not 0 <= index < logits.shape[1]:
        raise ValueError(f"class {index}: the classes are 0 to {logits.shape[1] - 1}")
