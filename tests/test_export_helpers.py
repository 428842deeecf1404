"""The reader of exported programs sees what it is there to find."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tests.lowering import PLATFORMS, assert_portable, export, export_all, shaped

SQUARE = jax.ShapeDtypeStruct((4, 4), jnp.float32)
EXACT = lax.Precision.HIGHEST


def exported(function, *args):
    return export(jax.jit(function), *args, platform="cuda")


def test_products_and_their_precision():
    def function(x):
        y = jnp.matmul(x, x, precision=EXACT) + x @ x
        return y.astype(jnp.bfloat16) @ y.astype(jnp.bfloat16)

    program = exported(function, SQUARE)
    assert [product.types for product in program.products] == [("f32",) * 2] * 2 + [("bf16",) * 2]
    (inexact,) = program.inexact_products
    assert inexact.precisions == ("DEFAULT", "DEFAULT")
    assert {"f32", "bf16"} <= program.element_types


@pytest.mark.parametrize("precision", [EXACT, lax.Precision.HIGH, None])
def test_convolutions_count_as_products(precision):
    maps, kernel = jnp.zeros((1, 8, 8, 3)), jnp.zeros((3, 3, 3, 4))

    def function(maps, kernel):
        dimensions = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            maps, kernel, (1, 1), "SAME", dimension_numbers=dimensions, precision=precision
        )

    program = exported(function, maps, kernel)
    assert [product.name for product in program.products] == ["stablehlo.convolution"]
    assert len(program.inexact_products) == (precision is not EXACT)


def test_loops_and_what_they_are_inside_of():
    def function(x, n):
        x = lax.fori_loop(0, 7, lambda _, x: lax.fori_loop(0, n, lambda _, x: x + 1, x), x)
        return lax.while_loop(lambda x: jnp.max(x) < 9, lambda x: 2 * x, x)

    outer, inner, last = exported(function, SQUARE, jax.ShapeDtypeStruct((), jnp.int32)).loops
    assert (outer.ends, outer.length, outer.inside) == ("counted", 7, ())
    assert (inner.ends, inner.length, inner.inside) == ("bounded", None, (outer,))
    assert (last.ends, last.length, last.inside) == ("until", None, ())


def test_a_loop_that_counts_and_looks_is_not_counted():
    def goes_on(carry):
        return (carry[0] < 7) & (jnp.max(carry[1]) < 9)

    def function(x):
        return lax.while_loop(goes_on, lambda carry: (carry[0] + 1, 2 * carry[1]), (0, x))[1]

    assert [loop.ends for loop in exported(function, SQUARE).loops] == ["until"]


def test_functions_are_followed_to_where_they_are_called():
    @jax.jit
    def called(x):
        return jnp.matmul(x, x)

    program = exported(lambda x: called(lax.fori_loop(0, 3, lambda _, x: called(x), x)), SQUARE)
    assert len(program.products) == 2
    assert "stablehlo.while" in program.operations


def test_writes_at_a_computed_place():
    def function(x, at):
        x = lax.dynamic_update_slice(x, jnp.ones((2, 2)), (1, 1))
        return lax.dynamic_update_slice(x, jnp.ones((2, 2)), (at, at))

    assert exported(function, SQUARE, jax.ShapeDtypeStruct((), jnp.int32)).moving_writes == 1


def test_only_the_branch_of_the_platform_is_there():
    def function(x):
        return lax.platform_dependent(x, cpu=jnp.sin, default=jnp.cos)

    programs = export_all(jax.jit(function), SQUARE)
    assert tuple(programs) == PLATFORMS
    assert ["stablehlo.sine" in programs[name].operations for name in PLATFORMS] == [1, 0, 0]


def test_libraries_of_the_device_are_named():
    programs = export_all(jax.jit(lambda x: jnp.linalg.eigh(x)[1]), SQUARE)
    assert all(len(program.custom_calls) == 1 for program in programs.values())
    assert len({program.custom_calls for program in programs.values()}) == 3


def test_options_and_trees_pass_through():
    @functools.partial(jax.jit, static_argnames="axis")
    def function(tree, *, axis):
        return jax.tree.map(lambda leaf: leaf.sum(axis), tree)

    shapes = shaped({"a": np.zeros((2, 3), np.float32), "b": jnp.zeros((3, 3), jnp.bfloat16)})
    assert_portable(export_all(function, shapes, axis=1))


def test_rounded_factors_are_told_and_can_be_allowed():
    programs = export_all(jax.jit(lambda x: x @ x), SQUARE)
    with pytest.raises(AssertionError, match="cpu rounds factors"):
        assert_portable(programs)
    assert_portable(programs, is_exact=False)


def test_float64_is_told():
    with jax.enable_x64(True):
        wide = export_all(jax.jit(lambda x: x + 1), jax.ShapeDtypeStruct((4,), jnp.float64))
    with pytest.raises(AssertionError, match="float64"):
        assert_portable(wide)


def test_calls_of_python_are_refused():
    function = jax.jit(lambda x: jax.pure_callback(np.asarray, SQUARE, x))
    with pytest.raises(NotImplementedError, match="callback"):
        export(function, SQUARE, platform="cpu")
