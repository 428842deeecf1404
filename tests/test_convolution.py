"""The convolution's own derivatives against loops and against those that JAX derives."""

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


def _slow_forward(maps, kernel, stride, pad, dilation):
    """Every window on its own."""
    grown = np.pad(maps, ((0, 0), (pad[0], pad[0]), (pad[1], pad[1]), (0, 0)))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel.shape[:2], strict=True)]
    sizes = [(n - r) // s + 1 for n, r, s in zip(grown.shape[1:3], reach, stride, strict=True)]
    out = np.zeros((len(maps), *sizes, kernel.shape[3]))
    for row, column in np.ndindex(*sizes):
        top, left = row * stride[0], column * stride[1]
        window = grown[:, top : top + reach[0] : dilation[0], left : left + reach[1] : dilation[1]]
        out[:, row, column] = np.tensordot(window, kernel, 3)
    return out


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("factors", [(1.0, 0.0), (0.0, 1.0), (0.5, -2.0)])
def test_changes_in_forward_mode_are_those_of_loops(case, factors):
    """Linear in the maps and in the kernel; one that stays as it is costs nothing."""
    size, window, stride, pad, dilation = case
    maps, kernel = _arrays(size, window)
    ends = [np.random.default_rng(3).normal(size=a.shape) for a in (maps, kernel)]
    ours = functools.partial(layers.convolve, stride=stride, pad=pad, dilation=dilation)
    slow = functools.partial(_slow_forward, stride=stride, pad=pad, dilation=dilation)

    def on_the_way(step):
        moved = [
            a + step * f * move if f else a
            for a, f, move in zip((maps, kernel), factors, ends, strict=True)
        ]
        return ours(*map(jnp.asarray, moved))

    with jax.enable_x64(True):
        value, change = jax.jit(lambda step: jax.jvp(on_the_way, (step,), (1.0,)))(0.0)
    expected = factors[0] * slow(ends[0], kernel) + factors[1] * slow(maps, ends[1])
    np.testing.assert_allclose(value, slow(maps, kernel), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(change, expected, rtol=1e-10, atol=1e-11)


def test_maps_and_kernels_of_a_batch_are_mapped_over():
    maps, kernel = (np.stack([a, a[::-1].copy(), -a]) for a in _arrays((9, 8), (3, 2)))
    ours = functools.partial(layers.convolve, stride=(2, 3), pad=(1, 1))

    def both(maps, kernel):
        value, pullback = jax.vjp(ours, maps, kernel)
        return value, pullback(value), jax.jvp(ours, (maps, kernel), (maps[::-1], kernel[::-1]))[1]

    with jax.enable_x64(True):
        for shared in (False, True):
            kernels = kernel[:1] if shared else kernel
            axes = (0, None) if shared else (0, 0)
            mapped = jax.jit(jax.vmap(both, axes))(maps, kernel[0] if shared else kernel)
            rows = [
                both(jnp.asarray(maps[i]), jnp.asarray(kernels[i % len(kernels)])) for i in range(3)
            ]
            alone = jax.tree.map(lambda *parts: np.stack(parts), *rows)
            jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-10), mapped, alone)


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


def test_second_derivatives_in_any_mode_are_those_of_autodiff():
    maps, kernel = _arrays((9, 8), (3, 2))
    direction = np.random.default_rng(2).normal(size=maps.shape)

    def curvatures(function, maps):
        def cube(maps):
            return (function(maps, kernel) ** 3).sum()

        def slope(maps):
            return jnp.vdot(direction, jax.grad(cube)(maps))

        return {
            "reverse over reverse": jax.grad(slope)(maps),
            "forward over reverse": jax.jvp(jax.grad(cube), (maps,), (direction,))[1],
            "reverse over forward": jax.grad(lambda x: jax.jvp(cube, (x,), (direction,))[1])(maps),
        }

    with jax.enable_x64(True):
        maps, kernel, direction = map(jnp.asarray, (maps, kernel, direction))
        ours = functools.partial(layers.convolve, stride=(2, 2))
        options = {"stride": (2, 2), "pad": (0, 0), "dilation": (1, 1)}
        found = jax.jit(functools.partial(curvatures, ours))(maps)
        expected = curvatures(functools.partial(_plain, **options), maps)
    for way, values in found.items():
        np.testing.assert_allclose(values, expected["reverse over reverse"], rtol=1e-9, err_msg=way)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="what the processor's backend takes")
@pytest.mark.parametrize("stride", [(1, 1), (2, 2)])
def test_gradients_inside_a_loop_are_convolutions_that_a_processor_has(stride):
    """Outside of loops XLA brings other layouts into this one, inside it does not."""
    maps, kernel = (jnp.asarray(a, jnp.float32) for a in _arrays((16, 16), (3, 3)))

    @jax.jit
    def climb(maps, kernel):
        slope = jax.grad(lambda maps: (layers.convolve(maps, kernel, stride=stride) ** 2).sum())
        return lax.fori_loop(0, 5, lambda _, maps: maps + 0.1 * slope(maps), maps)

    text = climb.lower(maps, kernel).compile().as_text()
    found = [line for line in text.splitlines() if " convolution(" in line]
    assert len(found) >= 2
    for line in found:
        assert "dim_labels=b01f_01io->b01f" in line
        assert "lhs_dilate" not in line


@pytest.mark.parametrize("is_checked", [True, False])
def test_derivatives_on_several_devices(is_checked):
    maps, kernel = (a.astype(np.float32) for a in _arrays((9, 8), (3, 2)))
    maps = np.concatenate([maps, -maps, maps[:, ::-1], maps[:, :, ::-1]])
    ours = functools.partial(layers.convolve, stride=(2, 3), pad=(1, 1))

    def derivatives(maps, kernel):
        def total(maps):
            return (ours(maps, kernel) ** 2).sum()

        return jax.grad(total)(maps), jax.jvp(jax.grad(total), (maps,), (maps[::-1],))[1]

    mesh = jax.sharding.Mesh(np.array(jax.devices()[:4]), ("rows",))
    rows, all_of_it = jax.P("rows"), jax.P()
    split = jax.shard_map(
        derivatives, mesh=mesh, in_specs=(rows, all_of_it), out_specs=rows, check_vma=is_checked
    )
    pairs = [jax.jit(derivatives)(maps[i : i + 2], kernel) for i in range(0, len(maps), 2)]
    for found, *parts in zip(jax.jit(split)(maps, kernel), *pairs, strict=True):
        np.testing.assert_allclose(found, np.concatenate(parts), rtol=1e-4, atol=1e-4)
