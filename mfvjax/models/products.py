"""How exactly an accelerator multiplies matrices: what convolutions and dense layers ask of it."""

import contextlib
import contextvars
from collections.abc import Iterator

import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

_of_float32 = contextvars.ContextVar("float32_products", default=lax.Precision.HIGHEST)


def precision_of(dtype: DTypeLike) -> lax.Precision:
    """Exact products for float32 and wider, the device's fastest for narrower types."""
    return _of_float32.get() if jnp.dtype(dtype).itemsize >= 4 else lax.Precision.DEFAULT


@contextlib.contextmanager
def float32_products(precision: lax.Precision) -> Iterator[None]:
    """Models called inside compute products of float32 in `precision`, their gradients too."""
    before = _of_float32.set(precision)
    try:
        yield
    finally:
        _of_float32.reset(before)
