"""Whole runs on a small network: effect against controls, keys, batches, devices, failures."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mfvjax.ascent import FacetStoppedWarning, visualize
from mfvjax.ascent.loop import _mirrors, _Window
from mfvjax.ascent.memory import fitting_batch_size
from mfvjax.ascent.plan import MAX_CHUNK
from mfvjax.ascent.scene import Frame, Reader
from mfvjax.ascent.stages import stages_of
from mfvjax.ascent.step import Facets, Now
from mfvjax.objective import channel_objective, unit_objective
from mfvjax.priors.projections import Clip
from mfvjax.priors.tv_projection import TV
from mfvjax.recipe import Phase, Recipe
from mfvjax.types import PixelBox
from mfvjax.updates import MeanAbsoluteStep, Optax, mean_absolute
from mfvjax.views import Crop
from tests.tiny_network import NUM_CLASSES, SIZE, tiny_network

NETWORK = tiny_network()
ONE_DEVICE = jax.devices()[:1]


def phase(num_steps, step, *, fidelity=5.0, sweeps=8, margin=0, **options):
    tv = (TV(fidelity, num_sweeps=sweeps),) if sweeps else ()
    update = MeanAbsoluteStep(step, margin_px=margin)
    return Phase(
        **{"num_steps": num_steps, "update": update, "projections": (Clip(), *tv), **options}
    )


def make_recipe(**changes):
    return Recipe(
        "test",
        (
            phase(12, 4.0, **changes),
            phase(8, (3.0, 1.0), scale=1.2, margin=3, **changes),
            phase(5, 1.0, view=Crop(uniform=1), **changes),
        ),
    )


RECIPE = make_recipe()
# One enlarged canvas, with crops to draw: one program to compile.
JITTERED = Recipe("jittered", (phase(10, 4.0, scale=1.2, view=Crop(0.1)),))


def starts_of(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(90, 160, (count, SIZE, SIZE, 3)).astype(np.float32)


def run(targets, starts, key=0, recipe=RECIPE, network=NETWORK, **options):
    options = {"devices": ONE_DEVICE, **options}
    return visualize(network, targets, starts, recipe=recipe, key=key, **options)


@pytest.fixture(scope="module")
def three():
    return run(["fc:0", "fc:3", "conv2:1"], starts_of(3))


def test_shapes_and_traces(three):
    assert three.images.shape == (3, 29, 29, 3)
    assert [images.shape[1] for images in three.phase_images] == [24, 29, 29]
    assert three.activations.shape == (3, 25)
    assert np.isfinite(three.activations).all()
    assert three.phase_ends == (12, 20, 25)
    assert three.labels == ("fc:0", "fc:3", "conv2:1@4,4")
    np.testing.assert_array_equal(three.images, three.phase_images[-1])
    assert three.images.min() > -0.5
    assert three.images.max() < 255.5
    assert set(three.stopped_at) == {-1}


def test_the_final_reading_is_that_of_the_center_crop(three):
    crop = three.images[:, 2:26, 2:26]
    activations = NETWORK.activations(crop)
    fc = np.asarray(activations["fc"])
    expected = [fc[0, 0], fc[1, 3], activations["conv2"][2, 4, 4, 1]]
    np.testing.assert_allclose(three.final_activations, expected, rtol=1e-4)
    np.testing.assert_array_equal(three.top_classes, np.argsort(-fc, axis=1)[:, :5])
    np.testing.assert_allclose(three.top_scores, -np.sort(-fc, axis=1)[:, :5], rtol=1e-4)


def random_direction(updates, state, params=None):
    key, used = jax.random.split(state)
    return 3 * jax.random.normal(used, updates.shape), key


RANDOM_DIRECTION = optax.GradientTransformation(lambda _: jax.random.key(0), random_direction)


@pytest.mark.parametrize("seed", range(3))
def test_the_ascent_beats_its_start_and_a_random_direction(seed):
    starts = starts_of(2, seed)
    before = np.asarray(NETWORK.activations(starts)["fc"])[:, 4]
    ascended = run("fc:4", starts, seed).final_activations
    random_walk = RECIPE.replace(update=RANDOM_DIRECTION)
    wandered = run("fc:4", starts, seed, recipe=random_walk).final_activations
    # Activations of this network spread by about 0.1 over such start images.
    for control in (before, wandered):
        assert (ascended > control + 0.1).all()
        assert (ascended - control).mean() > 0.25


def test_tv_makes_the_image_smoother():
    def variation(images):
        return np.abs(np.diff(images, axis=1)).mean() + np.abs(np.diff(images, axis=2)).mean()

    starts = starts_of(2)
    smooth = variation(run("fc:1", starts).images)
    rough = variation(run("fc:1", starts, recipe=make_recipe(sweeps=0)).images)
    smoother = variation(run("fc:1", starts, recipe=make_recipe(fidelity=0.2)).images)
    # At fidelity 0.2, 5 and without any: 0.36, 79 and 92 grey levels between neighbors.
    assert smoother < 0.05 * smooth
    assert smooth < 0.9 * rough


def test_the_same_key_gives_the_same_image_and_another_key_another():
    targets, starts = ["fc:0", "fc:3"], starts_of(2)
    first = run(targets, starts)
    np.testing.assert_array_equal(run(targets, starts).images, first.images)
    other = run(targets, starts, key=1)
    # Without free range there is no jitter: the first phase draws nothing.
    np.testing.assert_array_equal(other.phase_images[0], first.phase_images[0])
    assert np.abs(other.images - first.images).mean(axis=(1, 2, 3)).min() > 0.1


def test_a_facet_does_not_depend_on_its_batch(three):
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(jnp.arange(3))
    targets, starts = np.array(["fc:0", "fc:3", "conv2:1"]), starts_of(3)
    order = np.array([2, 0, 1])
    shuffled = run(targets[order].tolist(), starts[order], keys[order])
    # Batched convolutions sum in another order; over 25 steps of about two grey levels that
    # float32 noise stays below a hundredth of a grey level.
    np.testing.assert_allclose(shuffled.images, three.images[order], atol=0.05)
    alone = run("fc:3", starts[1], keys[1:2])
    np.testing.assert_allclose(alone.images[0], three.images[1], atol=0.05)


def test_eight_devices_give_what_one_gives():
    if len(jax.devices()) < 8:
        pytest.skip(f"needs 8 devices, this process has {len(jax.devices())}")
    targets, starts = [f"fc:{i % NUM_CLASSES}" for i in range(11)], starts_of(11)
    one = run(targets, starts, recipe=JITTERED)
    eight = run(targets, starts, recipe=JITTERED, devices=jax.devices()[:8])
    assert eight.images.shape == one.images.shape
    assert eight.labels == one.labels
    # Batches of another size sum in another order. After one step that is float32 noise; over a
    # run a ReLU here and there switches a step earlier, which changes single pixels.
    np.testing.assert_allclose(eight.activations[:, :2], one.activations[:, :2], atol=1e-5)
    assert np.sqrt(np.mean((eight.images - one.images) ** 2)) < 0.05
    np.testing.assert_allclose(eight.final_activations, one.final_activations, atol=0.01)


def test_units_of_one_batch_equal_units_on_their_own():
    starts = starts_of(6)
    keys = jax.random.split(jax.random.key(5), 6)
    targets = ["fc:0"] * 2 + ["fc:3"] * 2 + ["conv2:1"] * 2
    mixed = run(targets, starts, keys, recipe=JITTERED)
    for first in (0, 2, 4):
        part = slice(first, first + 2)
        alone = run(targets[first], starts[part], keys[part], recipe=JITTERED)
        np.testing.assert_allclose(alone.images, mixed.images[part], atol=0.05)


def counting(network):
    """The network, and a list that grows with every trace of its forward pass."""
    traces = []

    def forward(params, net_input):
        traces.append(net_input.shape)
        return network.forward(params, net_input)

    return dataclasses.replace(network, forward=forward), traces


def test_one_compilation_for_all_canvas_sizes():
    network, traces = counting(NETWORK)
    run("fc:0", starts_of(2), network=network)
    # All canvas sizes, and the reading of the final image.
    assert len(traces) == 2
    other = Recipe(
        "other",
        (
            phase(5, 2.0, fidelity=(1.0, 0.5)),
            phase(70, 1.0, fidelity=0.7, scale=1.2, margin=1),
        ),
    )
    run(["fc:5", "fc:6"], starts_of(2, 9), key=77, network=network, recipe=other)
    assert len(traces) == 2


def test_thirty_facets_of_three_units_compile_once():
    network, traces = counting(NETWORK)
    targets = [unit for unit in ("fc:0", "fc:3", "fc:6") for _ in range(10)]
    run(targets, starts_of(30), network=network, recipe=Recipe("one", RECIPE.phases[:1]))
    assert len(traces) == 2


def test_a_batch_that_does_not_fit_is_split():
    starts = starts_of(3)
    targets = ["fc:0", "fc:3", "conv2:1"]
    whole = run(targets, starts, recipe=JITTERED)
    split = run(targets, starts, recipe=JITTERED, memory_limit_bytes=300_000)
    np.testing.assert_allclose(split.images, whole.images, atol=0.05)
    assert split.labels == whole.labels
    halves = run(targets, starts, recipe=JITTERED, batch_size=2)
    np.testing.assert_allclose(halves.images, whole.images, atol=0.05)
    with pytest.raises(MemoryError, match="one facet per device needs"):
        run(targets, starts, recipe=JITTERED, memory_limit_bytes=1000)


def test_fitting_batch_size_asks_little_and_respects_the_limit():
    asked = []

    def bytes_needed(size):
        asked.append(size)
        return 1000 + 100 * size

    assert fitting_batch_size(bytes_needed, wanted=5, multiple=1, limit=10_000) == 5
    assert fitting_batch_size(bytes_needed, wanted=5, multiple=4, limit=10_000) == 8
    asked.clear()
    size = fitting_batch_size(bytes_needed, wanted=100, multiple=1, limit=5000)
    assert 30 <= size <= 40
    assert len(asked) <= 3


def test_long_runs_are_cut_into_chunks_with_the_same_result():
    recipe = Recipe(
        "long",
        (phase(MAX_CHUNK + 9, 1.0, fidelity=2.0, sweeps=2, scale=1.2),),
    )
    starts = starts_of(1)
    calls = []
    whole = run("fc:0", starts, recipe=recipe, progress=lambda *done: calls.append(done))
    assert calls[-1] == (MAX_CHUNK + 9, MAX_CHUNK + 9)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    pieces = run("fc:0", starts, recipe=recipe, snapshot_every=7)
    np.testing.assert_array_equal(pieces.images, whole.images)
    assert list(pieces.snapshots) == list(range(7, MAX_CHUNK + 10, 7))
    assert not np.array_equal(pieces.snapshots[7], pieces.snapshots[14])


def test_snapshots_are_the_images_after_so_many_steps():
    short = Recipe("short", (dataclasses.replace(RECIPE.phases[0], num_steps=5),))
    whole = run("fc:2", starts_of(1), snapshot_every=5)
    assert sorted(whole.snapshots) == [5, 10, 15, 20, 25]
    np.testing.assert_array_equal(
        whole.snapshots[5], run("fc:2", starts_of(1), recipe=short).images
    )
    np.testing.assert_array_equal(whole.snapshots[25], whole.images)


def test_an_interruption_comes_through():
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("fc:0", starts_of(1), progress=interrupt)


def test_a_failing_facet_stops_alone():
    starts = starts_of(3)

    second = NETWORK.preprocessing.to_net_input(jnp.asarray(starts))[1:2]

    def forward(params, net_input):
        out = dict(NETWORK.forward(params, net_input))
        # The second facet's activations are NaN once its image has moved by about 16 grey levels;
        # the others are far from its start.
        moved = jnp.abs(net_input - second)
        spoiled = (jnp.max(moved, axis=(1, 2, 3)) > 0.25) & (jnp.mean(moved, axis=(1, 2, 3)) < 0.1)
        return {**out, "fc": jnp.where(spoiled[:, None], jnp.nan, out["fc"])}

    network = dataclasses.replace(NETWORK, forward=forward)
    recipe = make_recipe(sweeps=0)
    recipe = Recipe("flat", recipe.phases[:1])
    with pytest.warns(FacetStoppedWarning, match=r"facet 1 \(fc:5\) stopped at step \d+ of 12"):
        result = run(["fc:0", "fc:5", "fc:3"], starts, network=network, recipe=recipe)
    assert result.stopped_at[1] >= 1
    assert result.stopped_at[[0, 2]].tolist() == [-1, -1]
    assert np.isfinite(result.images).all()
    assert np.isfinite(result.activations[1, : result.stopped_at[1]]).all()
    assert np.isnan(result.activations[1, result.stopped_at[1]])
    clean = run(["fc:0", "fc:5", "fc:3"], starts, recipe=recipe)
    np.testing.assert_allclose(result.images[[0, 2]], clean.images[[0, 2]], atol=0.05)


def test_a_vanished_gradient_is_named():
    def forward(params, net_input):
        out = dict(NETWORK.forward(params, net_input))
        return {**out, "conv1": jnp.zeros_like(out["conv1"])}

    network = dataclasses.replace(NETWORK, forward=forward)
    starts = starts_of(1)
    flat = Recipe("flat", RECIPE.phases[:1])
    with pytest.warns(FacetStoppedWarning, match="stopped at step 0 of 12: its gradient vanished"):
        result = run("conv1:0", starts, recipe=flat, network=network)
    np.testing.assert_array_equal(result.images, starts)
    # With a name it goes by that; repeats that fill a batch up are told of once.
    named = dataclasses.replace(unit_objective("conv1:0"), name="the control")
    with pytest.warns(FacetStoppedWarning) as told:
        run([named] * 3, starts_of(3), recipe=flat, network=network)
    assert [str(warning.message)[:31] for warning in told] == ["the control stopped at step 0 o"]


def with_update(*update):
    return JITTERED.replace(update=update)


def test_another_optimizer_moves_its_state_with_the_canvas():
    starts = starts_of(2)
    before = np.asarray(NETWORK.activations(starts)["fc"])[:, 1]
    momentum = optax.chain(mean_absolute(), optax.trace(decay=0.5), optax.scale(-2.0))
    climbed = run("fc:1", starts, recipe=with_update(momentum))
    descended = run("fc:1", starts, recipe=with_update(momentum, optax.scale(-1.0)))
    assert (climbed.final_activations > before + 0.2).all()
    assert (descended.final_activations < before - 0.2).all()


@pytest.mark.parametrize(
    "adam",
    [optax.adam(3.0), Optax(optax.adam, {"learning_rate": (4.0, 2.0)})],
    ids=["given", "made"],
)
def test_adam_climbs_with_its_own_sign(adam):
    starts = starts_of(2)
    before = np.asarray(NETWORK.activations(starts)["fc"])[:, 1]
    with jax.numpy_dtype_promotion("standard"):  # optax's own arithmetic mixes dtypes
        climbed = run("fc:1", starts, recipe=with_update(adam))
    assert (climbed.final_activations > before + 0.2).all()


def test_momentum_of_a_pixel_stays_with_the_pixel():
    """A canvas whose crops do not overlap: momentum of one crop must not move another."""
    offsets = jnp.asarray([[0, 0], [10, 10]], jnp.int32)
    trace = optax.trace(decay=1.0)
    recipe = Recipe("one", (Phase(num_steps=1, update=trace),))
    stage = stages_of(
        Frame.of(Reader(NETWORK.forward, NETWORK.preprocessing), None), recipe, (34, 34)
    )[0]
    state = jax.vmap(trace.init)(jnp.zeros((2, 34, 34, 3)))
    window = _Window(offsets, (SIZE, SIZE))
    facets = Facets((), jax.random.split(jax.random.key(0), 2), jnp.zeros(2, jnp.int32))
    now = Now(jnp.zeros(1), (), facets.keys)
    mirrors = _mirrors(stage.step, facets, now, state)
    assert jax.tree.leaves(mirrors) == [True]
    moved = jax.tree.map(lambda leaf: jnp.ones((2, SIZE, SIZE, 3)), state)
    written = jax.tree.map(window.write_if, mirrors, state, moved).trace
    expected = np.zeros((2, 34, 34, 3), np.float32)
    expected[0, :24, :24], expected[1, 10:, 10:] = 1, 1
    np.testing.assert_array_equal(written, expected)
    adam = jax.vmap(optax.adam(0.1).init)(jnp.zeros((2, 34, 34, 3)))
    stage = dataclasses.replace(recipe.phases[0], update=optax.adam(0.1))
    stage = stages_of(
        Frame.of(Reader(NETWORK.forward, NETWORK.preprocessing), None),
        Recipe("a", (stage,)),
        (34, 34),
    )[0]
    mirrors = _mirrors(stage.step, facets, now, adam)
    assert sorted(jax.tree.leaves(mirrors)) == [False, True, True]  # count, mu, nu


def test_a_region_changes_only_itself():
    unit = "conv1:3@4,4"
    box = NETWORK.receptive_field(unit)
    assert box == PixelBox(8, 8, 13, 13)
    recipe = Recipe("patch", (phase(15, 6.0, fidelity=3.0, sweeps=5),))
    starts = np.full((2, 5, 5, 3), 128.0)
    result = run(unit, starts, recipe=recipe, region=box)
    assert result.images.shape == (2, 5, 5, 3)
    full = np.tile(np.asarray([120.0, 110.0, 100.0], np.float32), (2, SIZE, SIZE, 1))
    full[:, 8:13, 8:13] = result.images
    value = NETWORK.activations(full)["conv1"][:, 4, 4, 3]
    np.testing.assert_allclose(result.final_activations, value, rtol=1e-4)
    assert (result.final_activations > result.activations[:, 0] + 0.2).all()
    assert result.top_classes.shape == (2, 0)


def test_objectives_other_than_units():
    mixture = channel_objective("conv2", 1) + 0.5 * unit_objective("fc:2")
    result = run(mixture, starts_of(1), recipe=JITTERED)
    assert result.labels == ("conv2:1@mean + 0.5 * fc:2@center",)
    assert result.final_activations[0] > result.activations[0, 0] + 0.2


def test_bfloat16_follows_float32():
    starts = starts_of(2)
    exact = run("fc:0", starts, recipe=JITTERED)
    bfloat16 = NETWORK.with_precision("bfloat16")
    rounded = run("fc:0", starts, recipe=JITTERED, network=bfloat16)
    first = np.abs(rounded.activations[:, 0] - exact.activations[:, 0])
    assert (first < 0.03).all()
    np.testing.assert_allclose(rounded.final_activations, exact.final_activations, rtol=0.1)


def test_raw_keys_are_keys():
    raw = jax.random.key_data(jax.random.key(3))
    a = run("fc:0", starts_of(1), raw, recipe=JITTERED)
    b = run("fc:0", starts_of(1), 3, recipe=JITTERED)
    np.testing.assert_array_equal(a.images, b.images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": "fc:99"}, "layer 'fc' has units fc:0 to fc:6"),
        ({"targets": ["fc:0"]}, "1 targets for 2 start images"),
        ({"starts": np.zeros((2, 9, 24, 3))}, "9x24 pixels are smaller than the window of 24x24"),
        ({"starts": np.zeros((2, 24, 24))}, "one or more RGB images"),
        ({"starts": np.full((2, 24, 24, 3), 300.0)}, r"finite grey levels in \[0, 255\]"),
        ({"key": jax.random.split(jax.random.key(0), 3)}, r"keys of shape \(3,\) for 2 start"),
        ({"batch_size": 0}, "batch_size=0 must be at least 1"),
        ({"snapshot_every": 0}, "snapshot_every=0 must be at least 1"),
        ({"region": PixelBox(-1, 0, 4, 4)}, "does not lie inside the network's input of 24x24"),
    ],
)
def test_errors_say_what_would_be_right(options, message):
    with pytest.raises(ValueError, match=message):
        run(**{"targets": "fc:0", "starts": starts_of(2), **options})
