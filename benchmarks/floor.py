"""The least that a step must cost: operations and bytes counted from the algorithm.

Network, per image: two operations per multiplication of a convolution or dense layer, once forward
and once for the gradient by the layer's input (weights get no gradient). Bytes: each activation is
written and read once forward; its gradient likewise, and the activation itself is read again. Each
weight is read once per batch and direction. Elementwise operations are taken as free.

TV, per value (pixel and channel) and sweep of the isotropic rule: the state is u and the vector t;
with one pass over memory per sweep, u, tx and ty are read and written and the given image is read:
seven floats. A kernel that keeps the state in fast memory over all sweeps reads the image and
writes the result: two floats in all. Operations are counted in `TV_OPERATIONS`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.harness import interleaved, medians
from mfvjax.models.graph import GraphSpec

FLOAT = 4
# Pixel: sum of four neighbors 3, d - b on four sides 8, gain and data 2. Vector: two differences,
# relaxed and joined, 8, the share that is kept 2. Multiplier: length 4, penalty, threshold,
# quotient and its end 4.
TV_OPERATIONS = 31
TV_FLOATS_PER_SWEEP = 7
TV_FLOATS_FUSED = 2


@dataclasses.dataclass(frozen=True)
class Cost:
    """Work of one piece.

    Attributes:
      operations: additions and multiplications.
      bytes_moved: to and from memory.
    """

    operations: float
    bytes_moved: float

    def seconds(self, rates: Rates, *, matrix: bool) -> float:
        """The time at the device's best: arithmetic and memory overlap fully."""
        rate = rates.matrix if matrix else rates.elementwise
        return max(self.operations / rate, self.bytes_moved / rates.bandwidth)


@dataclasses.dataclass(frozen=True)
class Rates:
    """What the device was measured to do.

    Attributes:
      bandwidth: bytes read and written per second, copying.
      matrix: operations per second of large matrix products of the network's precision.
      elementwise: operations per second of a long chain of multiplications and additions.
    """

    bandwidth: float
    matrix: float
    elementwise: float


def network_cost(spec: GraphSpec, batch: int, *, last: str, item_bytes: int = FLOAT) -> Cost:
    """Forward pass up to activation `last`, and the gradient of it by the images."""
    shapes, weights = spec.blob_shapes(), spec.parameter_shapes()
    operations = activations = parameters = 0.0
    seen: set[str] = set()
    for layer in spec.layers:
        for blob in layer.outputs:
            if blob not in seen:  # layers that work in place cost no memory of their own
                activations += math.prod(shapes[blob])
            seen.add(blob)
        if "kernel" in weights.get(layer.name, {}):
            kernel = math.prod(weights[layer.name]["kernel"])
            places = math.prod(shapes[layer.outputs[0]][:-1])
            operations += 2 * 2 * kernel * places
            parameters += kernel
        if last in seen and last in layer.outputs:
            break
    moved = item_bytes * (5 * activations * batch + 2 * parameters)
    return Cost(operations * batch, moved)


def tv_cost(values: int, sweeps: int, *, fused: bool) -> Cost:
    """Denoising `values` numbers, in one pass over memory per sweep or, `fused`, in one in all."""
    floats = TV_FLOATS_FUSED if fused else TV_FLOATS_PER_SWEEP * sweeps
    return Cost(TV_OPERATIONS * values * sweeps, FLOAT * floats * values)


def measure_rates(*, size: int, dtype: Any = jnp.float32, repeats: int = 5) -> Rates:
    """Measures the default device.

    Args:
      size: side of the matrices; arrays of ``4 * size ** 2`` floats are copied.
    """
    keys = jax.random.split(jax.random.key(0), 2)
    left, right = (jax.random.normal(key, (size, size), jnp.float32).astype(dtype) for key in keys)
    long = jnp.ones((4 * size * size,), jnp.float32)
    precision = jax.lax.Precision.HIGHEST if dtype == jnp.float32 else jax.lax.Precision.DEFAULT
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=precision))
    copy = jax.jit(lambda a: a + 1)
    chain = jax.jit(_chain)

    def waiting(function: Callable[..., Any], *arrays: Any) -> Callable[[], Any]:
        return lambda: jax.block_until_ready(function(*arrays))

    seconds = medians(
        interleaved(
            {
                "matrix": waiting(product, left, right),
                "copy": waiting(copy, long),
                "chain": waiting(chain, long),
            },
            repeats=repeats,
            warm_up=2,
        )
    )
    return Rates(
        bandwidth=2 * FLOAT * long.size / seconds["copy"],
        matrix=2 * size**3 / seconds["matrix"],
        elementwise=2 * _CHAIN * _ACROSS * long.size / seconds["chain"],
    )


_CHAIN, _ACROSS = 32, 8


def _chain(values: jax.Array) -> jax.Array:
    """Multiplications and additions on values that stay in registers, eight chains side by side."""
    chains = [values + i for i in range(_ACROSS)]
    for i in range(_CHAIN):
        chains = [chain * (0.5 + i / _CHAIN) + 0.25 for chain in chains]
    return sum(chains[1:], chains[0])
