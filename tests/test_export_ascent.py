"""The ascent's programs for CPU, CUDA and TPU: of every recipe, and of other choices of parts."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mfvjax.ascent.batch_run import Batch, BatchRun, _read_final
from mfvjax.ascent.inputs import facet_keys
from mfvjax.ascent.loop import run_chunk, start_status
from mfvjax.ascent.program import ProgramSpec
from mfvjax.ascent.stages import _decode, _start
from mfvjax.ascent.step import Now
from mfvjax.objective import (
    AlphaNorm,
    Diversity,
    Objective,
    TotalVariation,
    stack_objectives,
    statistics_objective,
    unit_objective,
)
from mfvjax.parametrizations import Fourier, FourierPhase
from mfvjax.priors.projections import Blur, Clip, Decay, SmallNorm
from mfvjax.priors.tv_projection import TV
from mfvjax.recipe import Phase, Recipe
from mfvjax.recipes import RECIPES
from mfvjax.updates import GradientBlur, MeanAbsoluteStep, Optax
from mfvjax.views import Crop, RandomView, Roll
from tests.lowering import assert_portable, export_all, shaped
from tests.tiny_network import SIZE, tiny_network

NETWORK = tiny_network()
COUNT = 4
ADAM = Optax(optax.adam, {"learning_rate": 0.05})
OTHER = {
    "fourier": Phase(
        num_steps=2,
        parametrization=Fourier(),
        view=RandomView(),
        update=ADAM,
        projections=(),
        scale=1.13,
        num_views=2,
    ),
    "untilted": Phase(num_steps=2, view=RandomView(degrees=None, noise=2.0), update=ADAM),
    "phase": Phase(
        num_steps=2,
        parametrization=FourierPhase(np.ones((SIZE, SIZE // 2 + 1, 3), np.float32)),
        view=RandomView(),
        update=ADAM,
    ),
    "history": Phase(
        num_steps=2,
        view=(Crop(), Roll(3, 3)),
        scale=1.2,
        update=(GradientBlur(1.0), MeanAbsoluteStep(2.0)),
        projections=(Decay(0.1), Blur(0.5, every=4), SmallNorm(20), Clip()),
        penalties=(AlphaNorm(weight=0.1), TotalVariation(weight=(0.1, 1.0))),
    ),
}


def objectives(network):
    rng = np.random.default_rng(0)
    maps = {"conv2": rng.uniform(0, 1, (3, 8, 8, 6))}
    statistics = statistics_objective(maps, ["conv2"], weight=0.5)
    apart = Objective((Diversity("conv2", 0.1),))
    return [unit_objective(f"fc:{i}") + statistics + apart for i in range(COUNT)]


def prepared(network, recipe, targets):
    """A batch, ready to run, that nothing is compiled for."""
    run = BatchRun(network, recipe.for_input((SIZE, SIZE)), None, tuple(jax.devices()[:1]))
    starts = np.zeros((COUNT, SIZE, SIZE, 3), np.float32)
    numbers = np.zeros(COUNT, int)
    return run, Batch(starts, targets, facet_keys(0, COUNT), numbers, numbers)


def programs_of(network, recipe, targets):
    """The loop's program of every phase."""
    run, batch = prepared(network, recipe, targets)
    found = []
    for stage in run.stages(batch.starts):
        facets = run.facets(stage, batch)
        canvas = jax.ShapeDtypeStruct((COUNT, *stage.size, 3), jnp.float32)
        state = jax.eval_shape(stage.start, canvas, facets, *start_status(COUNT))
        spec = ProgramSpec(stage.step, run.devices)
        arguments = spec.arguments(state, network.params, facets, stage.values.constants)
        loop = jax.jit(functools.partial(run_chunk, stage.step))
        found.append(export_all(loop, *shaped_all(arguments)))
    return found


def shaped_all(arguments):
    """Without the shardings of one CPU device."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), arguments)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", RECIPES)
def test_recipes_lower_for_every_device(name, precision):
    recipe = RECIPES[name]
    phases = {phase.target: phase for phase in recipe.phases}  # the others are alike
    short = Recipe(name, tuple(phases.values()), recipe.design_size)
    units = [unit_objective(f"fc:{i}") for i in range(COUNT)]
    for programs in programs_of(NETWORK.with_precision(precision), short, units):
        assert_portable(programs)
        for platform in ("cuda", "tpu"):
            loops = programs[platform].loops
            outer = [loop for loop in loops if not loop.inside]
            assert [loop.ends for loop in outer] == ["bounded"]  # as many steps as it is told
            sweeps = [loop for loop in loops if loop.inside]
            rules = [one for one in recipe.phases[0].projections if isinstance(one, TV)]
            tolerance = rules[0].tolerance if rules else None
            # To a tolerance: until it is met, four sweeps at a time. Else: a constant number.
            allowed = {"counted"} if tolerance is None else {"counted", "until"}
            assert {loop.ends for loop in sweeps} <= allowed, platform
            until = [loop for loop in sweeps if any(out.ends == "until" for out in loop.inside)]
            assert {loop.ends for loop in until} <= {"counted"}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", OTHER)
def test_other_parts_lower_for_every_device(name, precision):
    network = NETWORK.with_precision(precision)
    recipe = Recipe(name, (OTHER[name],))
    with jax.numpy_dtype_promotion("standard"):  # optax's own arithmetic mixes dtypes
        (programs,) = programs_of(network, recipe, objectives(network))
    assert_portable(programs)
    for platform in ("cuda", "tpu"):
        # Nothing loops within a step.
        assert [loop.ends for loop in programs[platform].loops] == ["bounded"]


def test_starts_canvases_and_the_last_reading_lower_for_every_device():
    recipe = Recipe("fourier", (OTHER["fourier"],))
    run, batch = prepared(NETWORK, recipe, objectives(NETWORK))
    (stage,) = run.stages(batch.starts)
    facets = run.facets(stage, batch)
    now = Now(jnp.asarray(stage.values.steps[0]), stage.values.constants, facets.keys)
    canvas = jax.ShapeDtypeStruct((COUNT, *stage.size, 3), jnp.float32)
    assert_portable(export_all(_start, stage.step, stage.size, canvas, facets.own, now))
    numbers, _ = jax.eval_shape(
        functools.partial(_start, stage.step, stage.size), canvas, facets.own, now
    )
    assert_portable(export_all(_decode, stage.step, stage.size, numbers, facets.own, now))
    stacked = stack_objectives(objectives(NETWORK), NETWORK.layers)
    final = (shaped(NETWORK.params), stacked, facets.groups, batch.starts)
    assert_portable(export_all(_read_final, run.frame, "fc", *final))


@jax.custom_vjp
def squared(x):
    """A user's own rule, with a product in its backward pass."""
    return x**2


squared.defvjp(lambda x: (x**2, x), lambda x, g: (2.0 * (x @ jnp.eye(x.shape[-1])) * g,))


class OwnRule:
    """The network with such a rule behind its last layer."""

    def __call__(self, params, net_input):
        out = dict(NETWORK.forward(params, net_input))
        return {**out, "fc": squared(out["fc"])}


def test_backward_rules_of_users_keep_float32():
    network = dataclasses.replace(NETWORK, forward=OwnRule())
    recipe = Recipe("plain", (Phase(num_steps=2, update=MeanAbsoluteStep(1.0)),))
    units = [unit_objective(f"fc:{i}") for i in range(COUNT)]
    for programs in programs_of(network, recipe, units):
        assert_portable(programs)
