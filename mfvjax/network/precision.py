"""Computes a forward pass in a named precision, whatever its author left open.

Accelerators multiply float32 matrices in fewer bits than float32 has (TF32, passes of bfloat16)
unless each product asks for all of them. A network's "float32" asks; "tensorfloat32" and "bfloat16"
are the faster ways, by name.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from mfvjax.types import Activations, ForwardFn, Params

PRODUCTS = {
    "float32": lax.Precision.HIGHEST,
    "tensorfloat32": lax.Precision.HIGH,
    "bfloat16": lax.Precision.DEFAULT,
}
"""How products of float32 are computed, by the name of a precision."""

PRECISIONS = tuple(PRODUCTS)


def checked_precision(name: str) -> str:
    """`name`, if it is that of a precision.

    Raises:
      ValueError: it is none; the message lists those there are.
    """
    if name not in PRODUCTS:
        raise ValueError(f"precision must be one of {PRECISIONS}, not {name!r}")
    return name


def matrix_products(compute_dtype: str) -> contextlib.AbstractContextManager[Any]:
    """JAX traced inside computes matrix products as `compute_dtype` says, where not told otherwise.

    A forward function of a `Network` needs no such frame. A module's own rule for its derivative
    (``jax.custom_vjp``) is traced where the derivative is taken, and needs one there.

    Raises:
      ValueError: no precision has this name.
    """
    return jax.default_matmul_precision(PRODUCTS[checked_precision(compute_dtype)].name.lower())


def cast_floats(tree: Any, dtype: Any) -> Any:
    """`tree` with its floating-point arrays cast to `dtype`; other leaves are left alone."""

    def cast(leaf: Any) -> Any:
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)


@dataclasses.dataclass(frozen=True)
class PreciseForward:
    """A forward function of any make, in a named precision; a product's own precision stands.

    A value, not a closure: two made alike are equal, so compiled programs are found again.

    Attributes:
      forward: the function as its author wrote it.
      compute_dtype: "float32" and "tensorfloat32" leave types alone and say how products are
        computed; "bfloat16" also casts parameters and input, and its activations to float32.
    """

    forward: ForwardFn
    compute_dtype: str = "float32"

    def __call__(self, params: Params, net_input: Array) -> Activations:
        """The activations of a batch."""
        with matrix_products(self.compute_dtype):
            if self.compute_dtype != "bfloat16":
                return dict(self.forward(params, net_input))
            narrow = cast_floats((params, net_input), jnp.bfloat16)
            return cast_floats(dict(self.forward(*narrow)), jnp.float32)

    def in_precision(self, compute_dtype: str) -> PreciseForward:
        """The same in another precision."""
        return dataclasses.replace(self, compute_dtype=compute_dtype)


def forward_in(compute_dtype: str, forward: ForwardFn) -> ForwardFn:
    """`forward` in one of `PRECISIONS`.

    A function that knows how to change its own precision does so (``in_precision``).

    Raises:
      ValueError: no precision has this name.
    """
    in_precision = getattr(forward, "in_precision", None)
    if in_precision is None:
        return PreciseForward(forward, checked_precision(compute_dtype))
    return in_precision(checked_precision(compute_dtype))
