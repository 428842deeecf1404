"""Facet statistics as a recipe of runs: layers, what is climbed, and the controls beside it."""

import dataclasses
import importlib

import jax
import numpy as np
import pytest
from PIL import Image

from mfvjax.atlas import build_atlas
from mfvjax.domain import Domain
from mfvjax.facet_objective import UnitAndStatistics, UnitHeld
from mfvjax.network import Network
from mfvjax.objective import read_objectives, stack_objectives
from mfvjax.pipeline import choose_recipe, plan_ascent, replay, run_unit
from mfvjax.pipeline.depths import depth_layers
from mfvjax.pipeline.placebo import Placebo, find_placebo
from mfvjax.pipeline.references import reference_objectives
from mfvjax.pipeline.sources import PaintedSource
from mfvjax.pipeline.targets import largest_activation
from mfvjax.recipes import (
    FACET_STATISTICS,
    FACET_STATISTICS_PATCH,
    FACET_STATISTICS_SMALL,
    RECIPES,
    SMALL_IMAGE,
    SPECTROGRAM,
    default_recipe,
)
from mfvjax.store import load_run
from mfvjax.types import LayerInfo, ReceptiveField, Unit
from tests.small_job import small_run
from tests.test_pipeline import make_facets

COMPACT = Network.load("compact")
LAYERS = ["conv2", "conv3", "conv4", "conv5"]


def test_one_layer_of_each_depth_below_the_unit():
    maps, dense = depth_layers(COMPACT, COMPACT.resolve("fc8:0"), (96, 96), num_layers=7)
    assert (maps, dense) == (LAYERS, ["fc6", "fc7"])
    maps, dense = depth_layers(COMPACT, COMPACT.resolve("conv4:3"), (96, 96), num_layers=2)
    assert (maps, dense) == (["conv2", "conv4"], [])
    # Too small a window for any layer to be a part of it: all but what only pools.
    maps, _ = depth_layers(COMPACT, COMPACT.resolve("conv2:0"), (39, 39), num_layers=7)
    assert maps == ["conv1", "conv2"]


def with_layers(*infos, logits=""):
    """The network as depths see it: only facts of layers."""
    layers = {info.name: info for info in infos}
    return dataclasses.replace(
        COMPACT, layers=layers, logits_layer=logits, class_names=None, class_code_layer=None
    )


def info(name, shape, side=None, stride=4):
    field = None if side is None else ReceptiveField((side, side), (stride, stride), (0, 0))
    return LayerInfo(name, shape, field)


def test_widest_layers_are_taken_and_their_relu_but_no_branch_and_no_pooling():
    network = with_layers(
        info("squeeze", (9, 9, 8), 20),
        info("expand1", (9, 9, 16), 20),
        info("expand3", (9, 9, 16), 28),
        info("concat", (9, 9, 32), 28),
        info("branch", (9, 9, 32), 28),  # directly behind, and as wide: a ReLU of its own
        info("next/squeeze", (9, 9, 8), 28),
        info("next/expand1", (9, 9, 32), 28),  # as wide, but not behind
        info("conv", (9, 9, 64), 36),
        info("pool", (4, 4, 64), 44),
        info("last", (4, 4, 64), 60),
        info("code", (64,)),
        info("hidden", (50,)),
        info("unit", (10,)),
    )
    maps, dense = depth_layers(network, Unit("unit", 0), (96, 96), num_layers=7)
    assert maps == ["expand1", "branch", "conv", "last"]
    assert dense == ["hidden"]  # not the last map's mean, and not the unit's own layer


def test_tokens_count_by_depth_and_are_spread_evenly():
    blocks = [info(f"block{i}", (17, 32)) for i in range(12)]
    network = with_layers(*blocks, info("head", (10,)), logits="head")
    maps, dense = depth_layers(network, Unit("head", 0), (96, 96), num_layers=4)
    assert (maps, dense) == (["block0", "block4", "block7", "block11"], [])


def test_a_network_without_layers_below_the_unit_is_refused():
    network = with_layers(info("head", (10,)))
    with pytest.raises(ValueError, match="has no layer below head:3 whose statistics"):
        depth_layers(network, Unit("head", 3), (96, 96), num_layers=7)


def test_layers_of_real_networks(data_dir):
    folder = data_dir / "models/squeezenet_v1.0"
    squeezenet = Network.from_caffe(
        folder / "deploy.prototxt", folder / "squeezenet_v1.0.caffemodel"
    )
    unit = squeezenet.resolve("pool_final:574")
    maps, dense = depth_layers(squeezenet, unit, (227, 227), num_layers=7)
    assert (maps, dense) == ([f"fire{i}/concat" for i in range(3, 10)], [])
    unit = squeezenet.resolve("fire5/concat:3")
    maps, _ = depth_layers(squeezenet, unit, (59, 59), num_layers=7)
    assert maps == ["conv1", *(f"fire{i}/concat" for i in range(2, 6))]


def slow_objective(network, image, unit, sets, weights, largest):
    """The formula of `UnitAndStatistics`, image by image in NumPy."""

    def moments(images, layer):
        seen = np.asarray(network.activations(images)[layer], np.float64)
        places = seen.reshape(len(seen), -1, seen.shape[-1])
        return places.mean(axis=1), places.std(axis=1)

    def code(images, layer):
        return np.asarray(network.activations(images)[layer], np.float64)

    total = weights.unit * code(image[None], "fc8")[0, unit] / largest
    for layer in LAYERS:
        for own, wanted in zip(moments(image[None], layer), moments(sets, layer), strict=True):
            wanted = wanted.mean(axis=0)
            apart = np.mean((own[0] - wanted) ** 2) / np.mean(wanted**2)
            total -= weights.statistics * apart
    for layer in ("fc6", "fc7"):
        wanted = code(sets, layer).mean(axis=0)
        apart = np.sum((code(image[None], layer)[0] - wanted) ** 2) / np.sum(wanted**2)
        total -= weights.codes * apart
    return total


def test_what_is_climbed_is_the_documented_sum():
    rng = np.random.default_rng(0)
    references = rng.uniform(0, 255, (3, 1, 96, 96, 3)).astype(np.float32)
    facets = make_facets()
    options = UnitAndStatistics(unit=2.0, statistics=0.5, codes=0.25, percentile=50)
    plan = plan_ascent(COMPACT, facets, objective=options, references=references, seed=0)
    image = rng.uniform(0, 255, (96, 96, 3)).astype(np.float32)
    terms = stack_objectives(plan.objectives, COMPACT.layers)
    images = np.repeat(image[None], len(plan.objectives), axis=0)
    found = np.asarray(read_objectives(COMPACT.activations(images), terms))
    for k in range(3):
        expected = slow_objective(COMPACT, image, 2, references[k], options, 2.0)
        assert found[k] == pytest.approx(expected, rel=1e-4)
    unit = 2.0 * float(np.asarray(COMPACT.activations(image[None], "fc8")["fc8"])[0, 2]) / 2.0
    by_name = {name: found[3 + i] for i, (name, _) in enumerate(plan.controls)}
    assert list(by_name) == ["unit", "statistics", "noise"]
    assert by_name["unit"] == pytest.approx(unit, rel=1e-4)
    assert by_name["statistics"] == pytest.approx(found[0] - unit, rel=1e-4)
    assert by_name["noise"] == pytest.approx(found[0], rel=1e-6)


def test_facets_and_controls_have_objectives_of_one_shape():
    """So that any batch of them, as an atlas fills, runs the same program."""
    references = np.random.default_rng(1).uniform(0, 255, (3, 1, 96, 96, 3)).astype(np.float32)
    placebo = Placebo(references[0], "1 image of something else")
    plan = plan_ascent(
        COMPACT,
        make_facets(),
        objective=UnitAndStatistics(hold=1.0),
        references=references,
        seed=0,
        placebo=placebo,
    )
    assert [name for name, _ in plan.controls] == ["unit", "statistics", "placebo", "noise"]
    assert "1 image of something else" in plan.controls[2][1]
    assert plan.groups == [0, 0, 0, 1, 2, 3, 4]
    shapes = [
        jax.tree.map(np.shape, stack_objectives([objective], COMPACT.layers))
        for objective in plan.objectives
    ]
    assert all(shape == shapes[0] for shape in shapes)
    np.testing.assert_array_equal(plan.starts[3], plan.starts[0])
    assert abs(plan.starts[-1].mean() - 175) < 1


def test_without_controls_only_the_one_from_noise_is_planned():
    references = np.full((3, 1, 96, 96, 3), 50.0, np.float32)
    plan = plan_ascent(
        COMPACT,
        make_facets(),
        objective=UnitAndStatistics(),
        references=references,
        seed=0,
        controls=False,
    )
    assert [name for name, _ in plan.controls] == ["noise"]
    with pytest.raises(ValueError, match="need their nearest images as references"):
        plan_ascent(COMPACT, make_facets(), objective=UnitAndStatistics(), seed=0)


def test_statistics_of_a_region_are_those_of_its_own_positions():
    unit = COMPACT.resolve("conv2:7@9,9")
    region = COMPACT.receptive_field(unit).clip((96, 96))
    patch = np.random.default_rng(2).uniform(0, 255, (1, *region.size, 3)).astype(np.float32)
    (found,) = reference_objectives(COMPACT, unit, region, [patch], UnitAndStatistics())
    for term in found.terms:
        facts = COMPACT.layers[term.layer]
        inside = np.zeros(facts.shape[:2])
        for row, column in np.ndindex(*facts.shape[:2]):
            box = facts.receptive_field.box((row, column))
            middle = ((box.top + box.bottom) / 2, (box.left + box.right) / 2)
            inside[row, column] = (
                region.top <= middle[0] <= region.bottom
                and region.left <= middle[1] <= region.right
            )
        assert 0 < inside.sum() < inside.size
        np.testing.assert_allclose(term.positions, inside.ravel() / inside.sum(), rtol=1e-6)


def test_an_empty_set_of_references_is_refused():
    with pytest.raises(ValueError, match="has no images to take statistics of"):
        reference_objectives(
            COMPACT, Unit("fc8", 0), None, [np.zeros((0, 96, 96, 3))], UnitAndStatistics()
        )


@pytest.mark.parametrize(
    ("activations", "largest"), [([1, 2, 3], 3), ([-5, -2, -1], 5), ([0, 0], 1)]
)
def test_the_largest_activation_is_above_zero(activations, largest):
    assert largest_activation(np.array(activations, float), 100) == largest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": -1}, "unit=-1 must be a number from 0"),
        ({"statistics": float("nan")}, "statistics=nan must be a number from 0"),
        ({"unit": 0, "statistics": 0, "codes": 0}, "needs a weight above 0"),
        ({"num_layers": 0}, "num_layers=0 must be at least 1"),
        ({"percentile": 101}, "percentile=101 must be above 0"),
        ({"hold": float("inf")}, "hold=inf must be a number from 0"),
    ],
)
def test_bad_weights_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        UnitAndStatistics(**options)


def test_the_recipe_that_runs_suits_what_is_shown():
    assert default_recipe((227, 227), is_patch=False) is FACET_STATISTICS
    assert default_recipe((39, 39), is_patch=True) is FACET_STATISTICS_PATCH
    assert default_recipe((28, 28), is_patch=False) is SMALL_IMAGE
    sounds = Domain(1, -80.0, 0.0, "spectrogram")
    assert default_recipe((64, 64), sounds, is_patch=False) is SPECTROGRAM
    facets = make_facets()
    assert choose_recipe(COMPACT, facets, None, hold=None) is FACET_STATISTICS_SMALL
    assert choose_recipe(COMPACT, facets, None, hold=2.0).objective == UnitAndStatistics(hold=2.0)
    patches = make_facets(
        "conv2:7", centroids=np.eye(3, 96), mean_images=np.zeros((3, 39, 39, 3), np.float32)
    )
    assert choose_recipe(COMPACT, patches, None, hold=None) is FACET_STATISTICS_PATCH


def test_published_recipes_climb_the_unit_alone_and_ours_hold_it():
    for name in ("release-mean-image", "release-center-biased", "paper-center-biased"):
        assert RECIPES[name].objective == UnitHeld(hold=0.0)
    for name in ("mean-image", "small-image", "spectrogram"):
        assert RECIPES[name].objective == UnitHeld(hold=5.0)


def test_the_objective_counts_in_the_recipes_hash_but_not_its_hold():
    changed = dataclasses.replace(FACET_STATISTICS, objective=UnitAndStatistics(unit=2.0))
    assert changed.sha256 != FACET_STATISTICS.sha256
    assert FACET_STATISTICS.holding(3.0).sha256 == FACET_STATISTICS.sha256
    held = dataclasses.replace(SMALL_IMAGE, objective=UnitHeld(hold=1.0))
    assert held.sha256 == SMALL_IMAGE.sha256


@pytest.fixture(scope="module")
def run():
    return small_run(recipe=None)


def test_a_run_keeps_its_controls(run):
    assert run.options["recipe"] == "facet-statistics-small"
    controls = run.controls
    assert controls.names == ("start", "unit", "statistics", "placebo", "noise")
    np.testing.assert_array_equal(controls.images[0], run.facets.mean_images[0])
    assert controls.images.shape == (5, 96, 96, 3)
    seen = np.asarray(COMPACT.activations(controls.images, "fc8")["fc8"])[:, 2]
    np.testing.assert_allclose(controls.activations, seen, rtol=1e-4)
    # What the unit alone climbs is more than what it does beside statistics; these alone, less.
    assert controls.activations[1] > run.shown.final_activations[0] > 0
    assert len(run.shown.images) == 2


def test_statistics_bring_a_picture_nearer_to_its_facet(run):
    """The control without them, from the same start, stays farther from the real images'."""
    images = run.facets.nearest_images[0].astype(np.float32)
    (statistics,) = reference_objectives(
        COMPACT, Unit("fc8", 2), None, [images], UnitAndStatistics()
    )
    top = (run.shown.images.shape[1] - 96) // 2
    shown = run.shown.images[:1, top : top + 96, top : top + 96]
    pair = np.concatenate([shown, run.controls.images[1:2]])
    terms = stack_objectives([statistics] * 2, COMPACT.layers)
    own, control = np.asarray(read_objectives(COMPACT.activations(pair), terms))
    assert own > control + 0.2


def test_a_run_of_statistics_replays_with_its_controls(run):
    again = replay(run)
    np.testing.assert_array_equal(again.shown.images, run.shown.images)
    np.testing.assert_array_equal(again.controls.images, run.controls.images)
    assert again.options == run.options


def test_a_run_without_controls_has_start_and_noise():
    found = small_run(recipe=None, controls=False, step_fraction=0.04)
    assert found.controls.names == ("start", "noise")


def test_a_hidden_unit_is_shown_in_its_field_with_statistics():
    found = run_unit(
        COMPACT,
        "facetworld:pool table",
        unit="conv2:3",
        num_facets=2,
        top_count=40,
        step_fraction=0.04,
    )
    assert found.options["recipe"] == "facet-statistics-patch"
    assert found.shown.images.shape == (2, 39, 39, 3)
    assert "of the rest of the pool" in found.controls.about[3]


def paint_pool(folder):
    """Two folders of flat pictures, dark ones and light ones."""
    for name, level in (("cat", 40), ("dog", 200)):
        (folder / name).mkdir()
        for index in range(20):
            image = np.full((96, 96, 3), level + index, np.uint8)
            Image.fromarray(image).save(folder / name / f"{index:02d}.png")


def among(indices, facets=None):
    """Facets that were sought among images of these indices."""
    facets = facets or make_facets()
    count = len(indices)
    return dataclasses.replace(
        facets,
        names=tuple(map(str, indices)),
        indices=indices,
        activations=np.ones(count),
        map=np.zeros((count, 2)),
        assignment=np.arange(count) % 3,
    )


def placebo_of(images, count, *, given=None):
    from mfvjax.images import open_images

    source = open_images(images)
    facets = among(np.arange(count))
    return find_placebo(COMPACT, facets, images, source, given=given)


def test_a_placebo_is_what_is_given_or_at_hand(tmp_path):
    paint_pool(tmp_path)
    rest = placebo_of(str(tmp_path / "cat"), 3)
    assert rest.what == "15 images of the rest of the pool"
    assert rest.images.max() < 100
    assert rest.images.min() >= 43
    beside = placebo_of(str(tmp_path / "cat"), 20)
    assert beside.what == "15 images of dog"
    assert beside.images.min() >= 200
    back = placebo_of(str(tmp_path / "dog"), 20)
    assert back.what == "15 images of cat"
    given = placebo_of(str(tmp_path / "cat"), 3, given=str(tmp_path / "dog"))
    assert given.what == "15 images of dog"
    arrays = np.zeros((4, 96, 96, 3), np.uint8)
    assert placebo_of(arrays, 4) is None
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "only").mkdir()
    Image.fromarray(arrays[0]).save(tmp_path / "alone" / "only" / "one.png")
    assert placebo_of(str(tmp_path / "alone" / "only"), 1) is None


def test_a_neighbour_that_cannot_be_read_is_no_placebo(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.zeros((96, 96, 3), np.uint8)).save(tmp_path / "a" / "one.png")
    (tmp_path / "b" / "broken.png").write_bytes(b"no image")
    assert placebo_of(str(tmp_path / "a"), 1) is None


def test_a_painted_class_has_another_one_for_a_placebo():
    facets = among(np.arange(80))
    source = PaintedSource("pool table")
    found = find_placebo(COMPACT, facets, "facetworld:pool table", source, given=None)
    assert found.what.startswith("1")
    assert "pool table" not in found.what
    assert found.images.shape[1:] == (96, 96, 3)


def test_a_hidden_units_placebo_is_of_its_patches_size():
    facets = make_facets(
        "conv2:7", centroids=np.eye(3, 96), mean_images=np.zeros((3, 39, 39, 3), np.float32)
    )
    facets = among(np.arange(80), facets)
    source = PaintedSource("pool table")
    found = find_placebo(COMPACT, facets, "facetworld:pool table", source, given=None)
    assert found.images.shape[1:] == (39, 39, 3)


def test_a_run_from_before_hidden_units_were_read_inside_replays_as_it_was(run, monkeypatch):
    asked = {}

    def stop(network, images, **options):
        asked.update(options)
        raise InterruptedError

    module = importlib.import_module("mfvjax.pipeline.replay")
    monkeypatch.setattr(module, "run_unit", stop)
    for stored, positions in (({}, "all"), ({"positions": "inside"}, "inside")):
        old = dataclasses.replace(run, options={**run.options, "discovery": stored})
        with pytest.raises(InterruptedError):
            replay(old)
        assert asked["positions"] == positions


def test_an_atlas_makes_statistics_and_controls_as_a_run_does(tmp_path):
    options = {"num_facets": 2, "top_count": 60, "step_fraction": 0.04, "controls": True}
    build_atlas(
        COMPACT, "facetworld:pool table", units=["conv2:3"], out=tmp_path / "atlas", **options
    )
    stored = load_run(tmp_path / "atlas/units/conv2-0003")
    alone = run_unit(COMPACT, "facetworld:pool table", unit="conv2:3", **options)
    assert stored.options["recipe"] == alone.options["recipe"] == "facet-statistics-patch"
    assert stored.controls.names == ("start", "unit", "statistics", "placebo", "noise")
    assert stored.controls.about == alone.controls.about
    # Stored in 8 bits.
    np.testing.assert_allclose(stored.controls.images, alone.controls.images, atol=1)
    np.testing.assert_allclose(stored.shown.images, alone.shown.images, atol=0.1)
    assert stored.summary["recall_start"] == alone.summary["recall_start"]
