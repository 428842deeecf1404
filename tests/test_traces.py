"""Single steps against the reference traces of the release's algorithm on the real SqueezeNet.

The traces give the crop, step size, weight and margin of every step, so that nothing is random.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfvjax.ascent.plan import PhaseValues
from mfvjax.ascent.scene import Frame, Reader
from mfvjax.ascent.step import Facets, Now, Step
from mfvjax.network import Network
from mfvjax.objective import stack_objectives, unit_objective
from mfvjax.priors.jitter import crop, paste
from mfvjax.priors.resample import spline_zoom
from mfvjax.priors.tv_projection import TV
from mfvjax.recipes import RELEASE_MEAN_IMAGE

TRACES = ["trace_cinema_mean_image", "trace_cinema_center_biased"]


@pytest.fixture(scope="module")
def squeezenet(data_dir):
    folder = data_dir / "models/squeezenet_v1.0"
    return Network.from_caffe(folder / "deploy.prototxt", folder / "squeezenet_v1.0.caffemodel")


@pytest.fixture(scope="module")
def take_step(squeezenet):
    """One step of the release's recipe, its numbers given."""
    frame = Frame.of(Reader(squeezenet.forward, squeezenet.preprocessing), None)

    @functools.partial(jax.jit, static_argnums=0)
    def take(order, windows, objectives, row):
        phase = RELEASE_MEAN_IMAGE.phases[0].change(TV, order=order)
        plan = PhaseValues.of(phase).plan
        keys = jax.random.split(jax.random.key(0), 1)
        now = Now(row, (), keys)
        state = plan.parts(row, (), ()).transformation().init(windows[0])
        facets = Facets(objectives, keys, jnp.zeros(1, jnp.int32))
        step = Step(frame, plan, frame.window_size)
        return step(squeezenet.params, facets, now, windows, state)

    return take


def row_of(step_size, fidelity, margin):
    """The numbers of a step, as a phase of the release has them."""
    phase = RELEASE_MEAN_IMAGE.phases[0].change(TV, fidelity=float(fidelity))
    update = dataclasses.replace(phase.update[0], size=float(step_size), margin_px=float(margin))
    phase = dataclasses.replace(phase, update=update)
    return jnp.asarray(PhaseValues.of(phase).steps[0])


def traced_steps(trace):
    """(row of the table, canvas before, canvas after) of every step that the trace holds."""
    for row in trace["steps"]:
        name = f"p{int(row[0])}i{int(row[1])}"
        if f"{name}_before" in trace:
            yield row, trace[f"{name}_before"], trace[f"{name}_after"]


@pytest.mark.parametrize("order", ["red-black", "raster"])
@pytest.mark.parametrize("file", TRACES)
def test_single_steps_are_those_of_the_release(data_dir, squeezenet, take_step, file, order):
    trace = np.load(data_dir / f"reference/{file}.npz")
    unit = unit_objective(f"pool_final:{int(trace['unit'])}")
    objectives = stack_objectives([unit], squeezenet.layers)
    steps = list(traced_steps(trace))
    assert len(steps) >= 8
    for (_, _, row, column, step_size, fidelity, margin, activation), before, after in steps:
        offset = jnp.asarray([row, column], jnp.int32)
        window = crop(jnp.asarray(before), offset, squeezenet.input_size)
        row = row_of(step_size, fidelity, margin)
        result = take_step(order, window[None], objectives, row)
        canvas = np.asarray(paste(jnp.asarray(before), result.numbers[0], offset))
        assert float(result.values[0]) == pytest.approx(activation, rel=1e-3)
        rms = np.sqrt(np.mean((canvas - after) ** 2))
        # The parallel order lags behind the raster order where little is smoothed.
        limit = 0.02 if order == "raster" else 0.05 if fidelity <= 1 else 1.5
        assert rms < limit, f"fidelity {fidelity}: {rms:.4f} grey levels"


@pytest.mark.parametrize("file", TRACES)
def test_the_canvas_between_phases_is_that_of_the_release(data_dir, file):
    trace = np.load(data_dir / f"reference/{file}.npz")
    canvas = jnp.asarray(trace["start_image"], jnp.float32)
    np.testing.assert_allclose(canvas, trace["phase0_start"], atol=1e-4)
    last = trace["p0i9_after"]
    if "p0i9_after" in trace and len(trace["steps"][trace["steps"][:, 0] == 0]) == 10:
        zoomed = spline_zoom(jnp.asarray(last), trace["phase1_start"].shape[:2])
        np.testing.assert_allclose(zoomed, trace["phase1_start"], atol=5e-3)
