"""Whole runs on the real SqueezeNet: an independent implementation, controls, and the job."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

from mfvjax.ascent import visualize
from mfvjax.network import Network
from mfvjax.pipeline import run_unit
from mfvjax.recipe import Recipe
from mfvjax.recipes import MEAN_IMAGE, PAPER_CENTER_BIASED, RELEASE_CENTER_BIASED

CINEMA = "pool_final:498"


@pytest.fixture(scope="module")
def squeezenet(data_dir):
    folder = data_dir / "models/squeezenet_v1.0"
    return Network.from_caffe(folder / "deploy.prototxt", folder / "squeezenet_v1.0.caffemodel")


@pytest.fixture(scope="module")
def cinema_means(data_dir):
    files = [data_dir / f"images/cinema_facets/mean_{k}.jpg" for k in range(10)]
    return np.stack([np.asarray(Image.open(file).convert("RGB"), np.float32) for file in files])


def phase_means(result, windows=(10, 10, None, 5)):
    """Mean activation over facets at the ends of phases 1 and 2 and of the run."""
    ends = result.phase_ends
    return [
        result.activations[:, end - window : end].mean()
        for end, window in zip(ends, windows, strict=True)
        if window
    ]


@pytest.mark.slow
def test_cinema_activations_are_those_of_the_independent_runs(data_dir, squeezenet, cinema_means):
    reference = json.loads((data_dir / "reference/cinema_release_runs.json").read_text())["mean"]
    result = visualize(
        squeezenet, CINEMA, cinema_means, recipe=MEAN_IMAGE, key=0, devices=jax.devices()[:1]
    )
    assert result.activations[:, 0].mean() == pytest.approx(reference["first"], rel=0.01)
    expected = [reference[name] for name in ("end_of_phase_1", "end_of_phase_2", "end")]
    # Runs are chaotic: means over ten facets are compared, not trajectories.
    np.testing.assert_allclose(phase_means(result), expected, rtol=0.15)


@pytest.mark.slow
def test_controls_stay_far_below_the_ascent(squeezenet, cinema_means):
    phase = dataclasses.replace(MEAN_IMAGE.phases[0], num_steps=30)
    recipe = Recipe("start of phase 1", (phase,))

    def random(updates, state, params=None):
        key, used = jax.random.split(state)
        return jax.random.normal(used, updates.shape), key

    controls = {
        "no gradient": optax.set_to_zero(),
        "random direction": optax.GradientTransformation(lambda _: jax.random.key(0), random),
    }
    options = {"recipe": recipe, "key": 0, "devices": jax.devices()[:1]}
    ascended = visualize(squeezenet, CINEMA, cinema_means[:3], **options).activations[:, -1]
    for optimizer in controls.values():
        control = visualize(squeezenet, CINEMA, cinema_means[:3], optimizer=optimizer, **options)
        assert control.activations[:, -1].max() < 0.3 * ascended.min()


@pytest.mark.slow
def test_bfloat16_drifts_little_in_one_step(squeezenet, cinema_means):
    one_step = Recipe("one step", (dataclasses.replace(MEAN_IMAGE.phases[0], num_steps=2),))
    options = {"recipe": one_step, "key": 0, "devices": jax.devices()[:1]}
    exact = visualize(squeezenet, CINEMA, cinema_means[:4], **options)
    rounded = visualize(squeezenet.with_precision("bfloat16"), CINEMA, cinema_means[:4], **options)
    np.testing.assert_allclose(rounded.activations[:, 0], exact.activations[:, 0], rtol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unit", "recipe"),
    [
        ("pool_final:574", RELEASE_CENTER_BIASED),
        ("pool_final:497", RELEASE_CENTER_BIASED),
        # This network's class scores end in a ReLU: from the release's phases on the probability,
        # the cinema's comes out dead, and its facet stops.
        (CINEMA, PAPER_CENTER_BIASED),
    ],
)
def test_the_center_bias_puts_the_object_in_the_middle(squeezenet, unit, recipe):
    """From noise, the network sees the class, and the detail is where the bias is."""
    noise = 175 + 8 * jax.random.normal(jax.random.key(0), (1, 227, 227, 3))
    result = visualize(
        squeezenet,
        unit,
        jnp.clip(noise, 0, 255),
        recipe=recipe.shortened(0.4),
        key=0,
        devices=jax.devices()[:1],
    )
    image = result.images[0]
    detail = np.abs(np.diff(image, axis=0))[:, :-1] + np.abs(np.diff(image, axis=1))[:-1]
    detail = detail.mean(axis=-1)
    third = len(detail) // 3
    middle = detail[third : 2 * third, third : 2 * third].mean()
    border = np.concatenate([detail[: third // 2].ravel(), detail[-third // 2 :].ravel()]).mean()
    assert middle > 2 * border
    assert f"pool_final:{result.top_classes[0, 0]}" == unit
    assert result.final_activations[0] > 20


@pytest.mark.slow
def test_the_whole_job_on_real_photographs(data_dir, squeezenet):
    """Golf balls: few images and steps; each facet is found, climbed and scored."""
    folder = data_dir / "images/imagenette/n03445777"
    files = sorted(folder.iterdir())[:48]
    run = run_unit(
        squeezenet,
        files,
        unit="pool_final:574",
        num_facets=3,
        step_fraction=0.4,
        num_mean_images=8,
    )
    assert run.num_facets == 3
    assert run.facets.sizes.sum() == 48
    assert run.shown.images.shape == (3, 272, 272, 3)
    assert (run.shown.top_classes[:, 0] == 574).all()
    assert (run.scores["activation_percentile"] > 50).all()
    assert run.summary["recall"] >= 2 / 3
    assert (run.scores["color_distance"] < run.scores["color_distance_control"]).all()
