"""The priors' programs for CPU, CUDA and TPU, as they would be compiled there."""

import functools

import jax
import jax.numpy as jnp
import pytest

from mfvjax.priors import tv
from mfvjax.priors.resample import spline_zoom
from tests.lowering import assert_portable, export_all
from tests.tv_running import RULES

ACCELERATORS = ("cuda", "tpu")
IMAGES = jax.ShapeDtypeStruct((3, 37, 41, 3), jnp.float32)
FIDELITIES = jax.ShapeDtypeStruct((3,), jnp.float32)


def denoising(**options):
    """The programs of `denoise_tv`, one image at a time under `jax.vmap`, as an ascent has it."""

    def run(image, fidelity):
        return tv.denoise_tv(image, fidelity=fidelity, **options)

    programs = export_all(jax.jit(jax.vmap(run)), IMAGES, FIDELITIES)
    assert_portable(programs)
    for name in ACCELERATORS:  # an index that waits for a result would put kernels in a row
        assert programs[name].moving_writes == 0
        assert not programs[name].custom_calls
    return programs


@pytest.mark.parametrize("num_sweeps", [9, 100])
@pytest.mark.parametrize("rule", RULES)
def test_a_fixed_number_of_sweeps_is_counted(rule, num_sweeps):
    programs = denoising(rule=rule, num_sweeps=num_sweeps)
    for name in ACCELERATORS:
        assert all(loop.ends == "counted" for loop in programs[name].loops)
        assert len(programs[name].loops) <= 1
    assert all(loop.ends == "counted" for loop in programs["cpu"].loops)


@pytest.mark.parametrize("num_sweeps", [98, 100])
@pytest.mark.parametrize("rule", RULES)
def test_only_the_loop_that_looks_at_the_change_depends_on_it(rule, num_sweeps):
    programs = denoising(rule=rule, num_sweeps=num_sweeps, tolerance=1e-3)
    for name in ACCELERATORS:
        first, *rest = programs[name].loops
        assert first.ends == "until"
        assert not first.inside
        assert all(loop.ends == "counted" and not loop.inside for loop in rest)
    images, rounds, *sweeps = programs["cpu"].loops
    assert (images.ends, images.length) == ("counted", 3)
    assert (rounds.ends, rounds.inside) == ("until", (images,))
    assert all(loop.ends == "counted" for loop in sweeps)


def test_coarse_levels_are_counted():
    programs = denoising(num_sweeps=8, coarse_levels=1)
    for name in ACCELERATORS:
        assert [(loop.ends, loop.inside) for loop in programs[name].loops] == [("counted", ())] * 2


@pytest.mark.parametrize("rule", RULES)
def test_raster_order(rule):
    (loop,) = denoising(rule=rule, order="raster", num_sweeps=9)["cuda"].loops
    assert loop.ends == "counted"
    stopping = denoising(rule=rule, order="raster", num_sweeps=9, tolerance=1e-3)["cuda"].loops
    assert [(loop.ends, loop.inside) for loop in stopping] == [("until", ()), ("bounded", ())]


def test_a_processor_takes_images_in_turn_and_accelerators_all_at_once():
    programs = denoising(num_sweeps=9)
    assert programs["cpu"].loops[0].length == 3 * 3  # planes
    assert programs["cpu"].loops[1].inside == programs["cpu"].loops[:1]
    assert all(loop.length != 9 for loop in programs["cuda"].loops)


@pytest.mark.parametrize("size", [(50, 55), (20, 23)])
def test_spline_zoom(size):
    programs = export_all(jax.jit(functools.partial(spline_zoom, size=size)), IMAGES)
    assert_portable(programs)
    assert all(len(program.products) == 2 for program in programs.values())
