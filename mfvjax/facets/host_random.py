"""Random numbers drawn on the host: nothing to compile, whatever their shape."""

from __future__ import annotations

import jax
import numpy as np

from mfvjax.types import Key


def generator(key: Key) -> np.random.Generator:
    """NumPy's generator, seeded with the bits of a JAX key: the same key, the same numbers."""
    return np.random.Generator(np.random.PCG64(np.asarray(jax.random.key_data(key)).tolist()))
