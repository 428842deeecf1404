"""Layers of the models against slow ones, with gradients, in every dtype; and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mfvjax.models import layers
from tests.oracles import caffe_layers

RNG = np.random.default_rng(0)


def _maps(*shape):
    return RNG.normal(size=shape)


def _first(array):
    return np.moveaxis(array, -1, 1)


@settings(max_examples=12, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pad=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    round_up=st.booleans(),
)
def test_pooling_equals_slow_pooling(size, kernel, stride, pad, round_up):
    assume(all(p < k for p, k in zip(pad, kernel, strict=True)))
    maps = np.random.default_rng(1).normal(size=(2, *size, 3))
    options = {
        "kernel_h": kernel[0],
        "kernel_w": kernel[1],
        "stride_h": stride[0],
        "stride_w": stride[1],
        "pad_h": pad[0],
        "pad_w": pad[1],
        "round_mode": "CEIL" if round_up else "FLOOR",
    }
    ours = {"kernel": kernel, "stride": stride, "pad": pad, "round_up": round_up}
    for method, pool in (("MAX", layers.max_pool), ("AVE", layers.average_pool)):
        try:
            with jax.enable_x64(True):
                found = jax.jit(lambda x, pool=pool: pool(x, **ours))(jnp.asarray(maps))
        except ValueError as error:
            assume("leave a window outside" not in str(error))
            raise
        expected = caffe_layers.pooling([_first(maps)], [], options | {"pool": method})[0]
        np.testing.assert_allclose(_first(found), expected, rtol=1e-12, atol=1e-14)


def test_the_gradient_of_max_pooling_goes_to_the_first_of_equal_values():
    """Caffe's rule: the first in row, column order. Ties are everywhere behind a rectifier."""
    maps = np.random.default_rng(2).integers(0, 3, (2, 9, 8, 2)).astype(np.float32)
    weights = np.random.default_rng(3).normal(size=(2, 4, 4, 2)).astype(np.float32)

    def value(x):
        return jnp.vdot(weights, layers.max_pool(x, kernel=(3, 2), stride=(2, 2)))

    expected = np.zeros_like(maps)
    for n, i, j, c in np.ndindex(weights.shape):
        window = maps[n, 2 * i : 2 * i + 3, 2 * j : 2 * j + 2, c]
        row, column = np.unravel_index(np.argmax(window), window.shape)
        expected[n, 2 * i + row, 2 * j + column, c] += weights[n, i, j, c]
    np.testing.assert_allclose(jax.grad(value)(maps), expected, rtol=1e-6)


@pytest.mark.parametrize("groups", [1, 2, 4, 12])
def test_grouped_convolution_equals_slow_convolution(groups):
    """Few groups are computed one by one, twelve as one operation."""
    maps, kernel = _maps(2, 6, 7, 12), _maps(3, 2, 12 // groups, 24)
    options = {"kernel_size": [3, 2], "stride": [2, 1], "pad": [1, 1], "group": groups}
    weights = np.einsum("yxco->ocyx", kernel)
    expected = caffe_layers.convolution([_first(maps)], [weights, np.zeros(24)], options)[0]
    with jax.enable_x64(True):
        found = layers.convolve(
            jnp.asarray(maps), jnp.asarray(kernel), stride=(2, 1), pad=(1, 1), groups=groups
        )
    np.testing.assert_allclose(_first(found), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "options",
    [
        {"local_size": 5, "alpha": 1e-4, "beta": 0.75},
        {"local_size": 3, "alpha": 2.0, "beta": 0.5, "k": 2.0},
        {"local_size": 3, "alpha": 2.0, "beta": 0.75, "norm_region": "WITHIN_CHANNEL"},
        {"local_size": 9, "alpha": 1.0, "beta": 0.75},
    ],
)
def test_local_response_norm_equals_the_slow_one_with_its_gradient(options):
    maps, weights = _maps(2, 5, 4, 7) * 30, _maps(2, 5, 4, 7)
    ours = {key: value for key, value in options.items() if key != "norm_region"}
    ours["within_channel"] = "norm_region" in options
    with jax.enable_x64(True):
        found = layers.local_response_norm(jnp.asarray(maps), **ours)
        slope = jax.grad(lambda x: jnp.vdot(weights, layers.local_response_norm(x, **ours)))
        gradient = np.asarray(slope(jnp.asarray(maps)))
    np.testing.assert_allclose(_first(found), _slow_lrn(maps, options), rtol=1e-12)
    step = 1e-4
    for index in [(0, 0, 0, 0), (1, 4, 3, 6), (0, 2, 1, 3)]:
        nudge = np.zeros_like(maps)
        nudge[index] = step
        high, low = (_slow_lrn(maps + sign * nudge, options) for sign in (1, -1))
        difference = np.vdot(_first(weights), high - low) / (2 * step)
        # the step cubed times the third derivative, of which nothing is left at 1e-8
        assert gradient[index] == pytest.approx(difference, rel=1e-6, abs=1e-9)


def _slow_lrn(maps, options):
    return caffe_layers.lrn([_first(maps)], [], options)[0]


def test_dense_flattens_rows_then_columns_then_channels():
    maps, kernel = _maps(2, 2, 3, 4), _maps(24, 5)
    expected = np.einsum("nyxc,yxco->no", maps, kernel.reshape(2, 3, 4, 5))
    with jax.enable_x64(True):
        found = layers.dense(jnp.asarray(maps), jnp.asarray(kernel))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


FUNCTIONS = {
    "max_pool": lambda x: layers.max_pool(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1)),
    "average_pool": lambda x: layers.average_pool(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1)),
    "global_average": lambda x: layers.average_pool(x, kernel=(7, 6)),
    "local_response_norm": lambda x: layers.local_response_norm(x, alpha=1e-2),
    "batch_norm": lambda x: layers.batch_norm(x, x[0, 0, 0], x[0, 0, 1] ** 2),
    "convolve": lambda x: layers.convolve(x, x[:2, :3, :3, :].transpose(1, 2, 3, 0), pad=(1, 0)),
    "dense": lambda x: layers.dense(x, x[:, :, :2].reshape(-1, 2)[:168]),
    "add_bias": lambda x: layers.add_bias(x, x[0, 0, 0]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_transforms_keep_the_numbers_the_rows_and_the_dtype(name):
    images = jnp.asarray(_maps(7, 7, 6, 4), jnp.float32)
    function = FUNCTIONS[name]
    expected = function(images)
    assert expected.dtype == jnp.float32
    np.testing.assert_allclose(jax.jit(function)(images), expected, rtol=2e-5, atol=1e-5)
    stacked = jnp.stack([images, images[::-1] * 2])
    found = jax.vmap(function)(stacked)
    np.testing.assert_allclose(found[1], function(stacked[1]), rtol=2e-5, atol=1e-5)
    assert jnp.isfinite(jax.grad(lambda x: function(x).sum())(images)).all()
    half = function(images.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    scale = jnp.abs(expected).max()
    assert float(jnp.abs(half.astype(jnp.float32) - expected).max()) < 0.05 * scale


def test_products_are_exact_unless_the_dtype_is_narrow():
    highest, default = jax.lax.Precision.HIGHEST, jax.lax.Precision.DEFAULT
    found = {dtype: layers.precision_of(dtype) for dtype in ("float64", "float32", "bfloat16")}
    assert found == {"float64": highest, "float32": highest, "bfloat16": default}


def test_modules_compute_the_functions():
    maps = jnp.asarray(_maps(2, 7, 6, 4), jnp.float32)
    conv = layers.Conv(4, 6, kernel_size=3, stride=2, pad=1, groups=2, rngs=nnx.Rngs(0))
    assert conv.kernel[...].shape == (3, 3, 2, 6)
    expected = layers.convolve(maps, conv.kernel[...], stride=(2, 2), pad=(1, 1), groups=2)
    np.testing.assert_allclose(conv(maps), expected, rtol=1e-6)
    fc = layers.Dense(168, 5, rngs=nnx.Rngs(0))
    fc.bias[...] = jnp.arange(5.0)
    expected = layers.dense(maps, fc.kernel[...]) + jnp.arange(5.0)[None]
    np.testing.assert_allclose(fc(maps), expected, rtol=1e-6)
    # He et al. 2015: variance 2 / fan-in, cut at two standard deviations
    assert float(fc.kernel[...].std()) == pytest.approx((2 / 168) ** 0.5, rel=0.1)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: layers.max_pool(x, kernel=(2, 2), pad=(2, 0)), "pad .* must be smaller than"),
        (lambda x: layers.max_pool(x, kernel=(0, 2)), "kernel must be an integer from 1"),
        (lambda x: layers.average_pool(x, kernel=(1, 1), stride=(9, 9)), "a window outside a map"),
    ],
)
def test_refuses(call, error):
    with pytest.raises(ValueError, match=error):
        call(jnp.ones((1, 7, 6, 4)))
