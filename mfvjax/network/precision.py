"""Computes a forward pass in another floating-point precision than its parameters have."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mfvjax.types import Activations, ForwardFn, Params

PRECISIONS = ("float32", "bfloat16")


def cast_floats(tree: Any, dtype: Any) -> Any:
    """`tree` with its floating-point arrays cast to `dtype`; other leaves are left alone."""

    def cast(leaf: Any) -> Any:
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)


@dataclasses.dataclass(frozen=True)
class CastForward:
    """A forward function that computes in another precision and returns float32.

    A value, not a closure: two made alike are equal, so compiled programs are found again.

    Attributes:
      forward: the function in full precision.
      compute_dtype: floating-point type of parameters and input inside it.
    """

    forward: ForwardFn
    compute_dtype: str

    def __call__(self, params: Params, net_input: Array) -> Activations:
        """Activations in float32, computed in `compute_dtype`."""
        dtype = jnp.dtype(self.compute_dtype)
        out = self.forward(cast_floats(params, dtype), net_input.astype(dtype))
        return cast_floats(dict(out), jnp.float32)

    def in_precision(self, compute_dtype: str) -> ForwardFn:
        """The same in another precision; `forward` itself for float32."""
        return forward_in(compute_dtype, self.forward)


def forward_in(compute_dtype: str, forward: ForwardFn) -> ForwardFn:
    """`forward` in "bfloat16", or back in "float32", the precision it had at first.

    A function that knows how to change its own precision does so (``in_precision``).

    Raises:
      ValueError: `compute_dtype` is neither.
    """
    if compute_dtype not in PRECISIONS:
        raise ValueError(f"precision must be one of {PRECISIONS}, not {compute_dtype!r}")
    in_precision = getattr(forward, "in_precision", None)
    if in_precision is not None:
        return in_precision(compute_dtype)
    return forward if compute_dtype == "float32" else CastForward(forward, compute_dtype)
