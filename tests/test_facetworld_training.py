"""Training of the bundled network: views, adversary, scores, and the command."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from scipy import ndimage
from typer.testing import CliRunner

from mfvjax import facetworld
from mfvjax.facetworld import augment, training
from mfvjax.facetworld import train as command
from mfvjax.facetworld.designs import COMPACT, DESIGNS, PREPROCESSING, Recipe
from mfvjax.facetworld.evaluate import facet_agreement, read_codes, score_classes
from mfvjax.facetworld.weights import load_weights
from mfvjax.models.compact import Compact


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.8, 3.3), (-1.2, -2.5)])
def test_resampling_reads_a_smooth_row_where_it_should(slope, shift):
    size = 48
    row = np.sin(np.arange(size) / 6)
    matrix = augment.resampling(size, *map(jnp.float32, (slope, shift, augment.SHARP)))
    places = np.clip(
        (size - 1) / 2 + slope * (np.arange(size) - (size - 1) / 2) + shift, 0, size - 1
    )
    expected = ndimage.map_coordinates(row, [places], order=3, mode="nearest")
    # The Gaussian flattens a sine of this period by 0.3 %, more where the row ends.
    np.testing.assert_allclose(matrix @ jnp.asarray(row, jnp.float32), expected, atol=0.03)


def test_resampling_blurs_as_a_gaussian():
    row = np.random.default_rng(0).normal(size=64)
    matrix = augment.resampling(64, *map(jnp.float32, (1.0, 0.0, 1.5)))
    expected = ndimage.gaussian_filter1d(row, 1.5, mode="constant", truncate=8)
    blurred = np.asarray(matrix @ jnp.asarray(row, jnp.float32))
    np.testing.assert_allclose(blurred[12:-12], expected[12:-12], atol=1e-5)
    np.testing.assert_allclose(np.asarray(matrix).sum(1), 1, atol=1e-6)


def test_views_are_random_per_image_and_keep_the_picture():
    image = facetworld.render("bell pepper", "one red on white", seed=0, size=48)
    images = jnp.asarray(np.stack([image] * 4), jnp.float32)
    look = jax.jit(augment.random_views)
    views = look(jax.random.key(0), images)
    assert views.shape == images.shape
    differences = [float(jnp.abs(views[0] - view).mean()) for view in views[1:]]
    assert min(differences) > 5  # of 255
    np.testing.assert_array_equal(views, look(jax.random.key(0), images))
    others = look(jax.random.key(0), images.at[1:].set(0.0))
    np.testing.assert_allclose(others[0], views[0], atol=1e-3)
    # Red stays redder than green and blue: views change colors gently.
    middle = views[:, 16:32, 16:32].mean((0, 1, 2))
    assert middle[0] > 1.3 * middle[1]


def test_the_error_goes_up_the_loss_and_stays_in_its_ball():
    rng = np.random.default_rng(0)
    error, slope = (jnp.asarray(rng.normal(size=(3, 6, 6, 3)), jnp.float32) for _ in range(2))
    for start in (jnp.zeros_like(error), error, 0.01 * error):
        moved = training.worsen(start, slope, 0.2)
        size = jnp.sqrt(jnp.mean(moved**2, axis=(1, 2, 3)))
        assert np.all(size <= 0.2 + 1e-6)
        assert np.all(jnp.sum((moved - start) * slope, axis=(1, 2, 3)) > 0) or start is error
    first = training.worsen(jnp.zeros_like(error), slope, 0.2)
    expected = 0.2 * slope / np.sqrt(np.mean(np.asarray(slope) ** 2, axis=(1, 2, 3), keepdims=True))
    np.testing.assert_allclose(first, expected, rtol=1e-5)


def test_silence_counts_units_that_no_picture_drives():
    inputs = np.full((2, 3, 3, 4), -5.0, np.float32)
    inputs[1, 2, 0] = [-1.0, 0.25, 1.5, 7.0]
    assert float(training.silence(jnp.asarray(inputs))) == pytest.approx((2 + 0.75) / 4)
    slope = np.asarray(jax.grad(training.silence)(jnp.asarray(inputs)))
    assert slope[1, 2, 0].tolist() == [-0.25, -0.25, 0, 0]
    assert slope.sum() == pytest.approx(-0.5)


@pytest.mark.slow
def test_waking_drives_silent_units(small_world):
    """One unit of conv3 starts far below its rectifier; only the waking term can raise it."""
    raised = {}
    for waking in (0.0, 0.1):
        module = Compact(num_classes=2, rngs=nnx.Rngs(0))
        bias = module.conv3.bias[...].at[0].set(-100.0)
        module.conv3.bias[...] = bias
        design = dataclasses.replace(COMPACT, module=lambda classes, rngs, made=module: made)
        recipe = Recipe(num_steps=3, batch_size=4, num_replays=1, waking=waking, averaging=0.0)
        with jax.numpy_dtype_promotion("standard"):
            *_, (_, _, params) = training.train(small_world, design, recipe)
        raised[waking] = float(nnx.to_pure_dict(params)["conv3"]["bias"][0]) + 100
    assert raised[0.0] == 0
    assert raised[0.1] > 1e-3


def test_agreement_of_facets_found_and_true():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 12)
    codes = np.eye(3, 20, dtype=np.float32)[truth] * 5 + rng.normal(0, 0.1, (36, 20)).astype("f4")
    assert facet_agreement(codes, truth, 3) == pytest.approx(1.0)
    assert abs(facet_agreement(codes, rng.permutation(truth), 3)) < 0.25
    assert facet_agreement(codes, np.zeros(36, int), 1) == 1.0


@pytest.fixture(scope="module")
def small_world():
    return facetworld.dataset(4, classes=["golf ball", "beacon"], seed=0)


@pytest.mark.parametrize(
    "design",
    [
        pytest.param(d, marks=() if name == COMPACT.name else pytest.mark.slow, id=name)
        for name, d in DESIGNS.items()
    ],
)
def test_training_learns_and_repeats_itself(small_world, design):
    recipe = Recipe(num_steps=10, batch_size=8, num_replays=2, averaging=0.5)
    with jax.numpy_dtype_promotion("standard"):  # optax's Adam mixes integers and floats
        runs = [list(training.train(small_world, design, recipe)) for _ in range(2)]
    assert [number for number, _, _ in runs[0]] == list(range(1, 11))
    losses = [float(loss) for _, loss, _ in runs[0]]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    first, second = (nnx.to_pure_dict(run[-1][2]) for run in runs)
    for name in ("conv1", design.logits_layer):
        # Threads add in any order, so runs agree to rounding.
        np.testing.assert_allclose(first[name]["kernel"], second[name]["kernel"], atol=1e-4)
    start = nnx.to_pure_dict(nnx.state(design.module(2, nnx.Rngs(0))))
    logits = design.logits_layer
    assert np.abs(start[logits]["kernel"] - first[logits]["kernel"]).max() > 1e-3


def test_another_seed_draws_other_pictures(small_world):
    draws = [next(training.batches(small_world, Recipe(seed=s))) for s in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


def test_classes_are_drawn_by_the_root_of_their_facets(small_world):
    recipe = Recipe(num_steps=200, batch_size=64)
    counts = np.zeros(len(small_world.images))
    for chosen in training.batches(small_world, recipe):
        np.add.at(counts, chosen, 1)
    ball, beacon = np.bincount(small_world.class_index, weights=counts)
    assert beacon / ball == pytest.approx(3**0.5, rel=0.1)  # three facets against one


def test_scores_follow_the_network(small_world):
    module = Compact(num_classes=2, rngs=nnx.Rngs(0))
    codes = read_codes(module, PREPROCESSING, small_world, ("fc7", "fc8"))
    net_input = PREPROCESSING.to_net_input(jnp.asarray(small_world.images))
    blobs = nnx.jit(lambda module, net_input: module(net_input))(module, net_input)
    np.testing.assert_allclose(codes["fc7"], blobs["fc7"], atol=1e-4)
    scores = score_classes(COMPACT, module, PREPROCESSING, small_world)
    right = np.asarray(blobs["fc8"]).argmax(1) == small_world.class_index
    assert [score.accuracy for score in scores] == [right[:4].mean(), right[4:].mean()]
    assert [score.num_facets for score in scores] == [1, 3]


def run_command(*arguments):
    app = command.typer.Typer()
    app.command()(command.main)
    return CliRunner().invoke(app, [*arguments, "--workers", "0"])


@pytest.mark.parametrize("name", DESIGNS)
def test_the_command_shows_scores_of_the_bundled_weights(name):
    result = run_command("--evaluate", "--network", name, "--test-pictures", "2")
    assert result.exit_code == 0, result.output
    assert "66 new pictures" in result.output
    assert float(result.output.split("test accuracy ")[1].split()[0]) >= 0.95
    assert "Rand" in result.output


def test_the_command_names_the_networks_there_are():
    result = run_command("--network", "alexnet")
    assert result.exit_code == 2
    assert "no network 'alexnet'; there are compact, compact-resnet" in " ".join(
        result.output.replace("│", " ").split()
    )


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_the_command_trains_and_writes_weights(tmp_path, design):
    file = tmp_path / "new" / "net.safetensors"
    options = ["--network", design.name]
    options += ["--steps", "3", "--pictures", "1", "--test-pictures", "2", "--seed", "5"]
    with jax.numpy_dtype_promotion("standard"):
        result = run_command(*options, "--weights", str(file))
    assert result.exit_code == 0, result.output
    module, _, class_names = load_weights(design, file)
    assert class_names == facetworld.CLASSES
    start, end = (
        getattr(net, design.logits_layer).kernel[...]
        for net in (design.module(len(class_names), nnx.Rngs(5)), module)
    )
    assert 0 < np.abs(end - start).max() < 0.1
    assert optax.tree.norm(nnx.state(module)) > 0
