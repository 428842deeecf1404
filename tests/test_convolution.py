"""The convolution's own gradients against loops and against those that JAX derives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from mfvjax.models import layers

# maps, kernel, stride, pad, dilation: strides with and without pixels beyond the last window,
# kernels smaller than their stride, of one pixel, as large as the map, unequal in both axes.
CASES = [
    ((9, 8), (3, 2), (1, 1), (0, 0), (1, 1)),
    ((9, 8), (3, 5), (1, 1), (2, 3), (1, 1)),
    ((9, 8), (3, 2), (1, 1), (1, 2), (2, 3)),
    ((23, 21), (11, 11), (4, 4), (0, 0), (1, 1)),
    ((9, 8), (3, 2), (2, 3), (1, 0), (1, 1)),
    ((9, 10), (1, 2), (2, 4), (0, 1), (1, 1)),
    ((7, 6), (7, 6), (3, 3), (0, 0), (1, 1)),
    ((9, 8), (3, 2), (2, 2), (1, 1), (2, 1)),
]


def _arrays(size, kernel, channels=3, features=4):
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, *size, channels)), rng.normal(size=(*kernel, channels, features))


def _plain(maps, kernel, stride, pad, dilation):
    return lax.conv_general_dilated(
        maps,
        kernel,
        stride,
        [(pad[0], pad[0]), (pad[1], pad[1])],
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _slow_gradient(outgoing, kernel, size, stride, pad, dilation):
    """Every product of the convolution, sent back where it came from."""
    grown = np.zeros((len(outgoing), size[0] + 2 * pad[0], size[1] + 2 * pad[1], kernel.shape[2]))
    for row, column in np.ndindex(outgoing.shape[1:3]):
        for i, j in np.ndindex(kernel.shape[:2]):
            place = (row * stride[0] + i * dilation[0], column * stride[1] + j * dilation[1])
            grown[:, place[0], place[1]] += outgoing[:, row, column] @ kernel[i, j].T
    return grown[:, pad[0] : pad[0] + size[0], pad[1] : pad[1] + size[1]]


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_loops_and_of_autodiff(case):
    size, window, stride, pad, dilation = case
    maps, kernel = _arrays(size, window)
    ours = functools.partial(layers.convolve, stride=stride, pad=pad, dilation=dilation)
    derived = functools.partial(_plain, stride=stride, pad=pad, dilation=dilation)

    @functools.partial(jax.jit, static_argnums=0)
    def gradients(function, maps, kernel, outgoing):
        return jax.vjp(function, maps, kernel)[1](outgoing)

    with jax.enable_x64(True):
        shape = jax.eval_shape(derived, maps, kernel).shape
        outgoing = np.random.default_rng(1).normal(size=shape)
        found = gradients(ours, maps, kernel, outgoing)
        expected = gradients(derived, maps, kernel, outgoing)
    slow = _slow_gradient(outgoing, kernel, size, stride, pad, dilation)
    np.testing.assert_allclose(found[0], slow, rtol=1e-10, atol=1e-12)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_a_gradient_of_a_gradient_is_that_of_autodiff():
    maps, kernel = _arrays((9, 8), (3, 2))
    direction = np.random.default_rng(2).normal(size=maps.shape)

    def curvature(function):
        def slope(maps):
            return jnp.vdot(direction, jax.grad(lambda x: (function(x, kernel) ** 3).sum())(maps))

        return jax.jit(jax.grad(slope))(maps)

    with jax.enable_x64(True):
        maps, kernel = jnp.asarray(maps), jnp.asarray(kernel)
        found = curvature(functools.partial(layers.convolve, stride=(2, 2)))
        options = {"stride": (2, 2), "pad": (0, 0), "dilation": (1, 1)}
        expected = curvature(functools.partial(_plain, **options))
    np.testing.assert_allclose(found, expected, rtol=1e-10)
