"""The whole job on the bundled network and painted pictures, with few steps; and its parts."""

import dataclasses
import functools
import importlib
import inspect
import types

import numpy as np
import pytest

from mfvjax.ascent import visualize
from mfvjax.facet_objective import UnitHeld
from mfvjax.facets.discover import discover_facets
from mfvjax.facets.result import Facets
from mfvjax.metrics import METRICS, facet_recall
from mfvjax.network import Network
from mfvjax.pipeline import largest_difference, plan_ascent, replay, run_unit
from mfvjax.pipeline.assemble import title_of
from mfvjax.pipeline.references import full_images
from mfvjax.pipeline.scoring import center_crops
from mfvjax.pipeline.sources import PaintedSource, open_source, painted_class
from mfvjax.priors.tv_projection import TV
from mfvjax.recipe import Recipe
from mfvjax.recipes import MEAN_IMAGE
from mfvjax.types import PixelBox, Unit
from tests.small_job import SMALL_JOB, small_run

COMPACT = Network.load("compact")


@pytest.fixture(scope="module")
def run():
    return small_run()


def test_the_run_holds_every_part(run):
    assert run.unit == SMALL_JOB["unit"]
    assert run.title == "pool table"
    assert run.num_facets == 2
    assert run.facets.sizes.sum() == len(run.real.names) == 80
    assert run.facets.nearest_images.shape == (2, 15, 96, 96, 3)
    assert run.shown.images.shape == (2, 115, 115, 3)
    assert len(run.shown.phase_images) == 4
    assert run.shown.top_class_names[0][0] == "pool table"
    assert set(run.scores) <= set(METRICS)
    assert set(run.summary) <= set(METRICS)
    assert all(values.shape == (2,) for values in run.scores.values())
    assert {"discovery", "reading images", "references", "ascent", "scores"} == set(run.timings)


def test_clusters_are_the_painted_facets(run):
    facets = [name.split("/")[1] for name in run.real.names]
    for facet in (0, 1):
        inside = {f for f, k in zip(facets, run.real.assignment, strict=True) if k == facet}
        assert len(inside) == 1


def test_each_facet_is_recalled_and_keeps_its_colors(run):
    assert run.summary["recall"] == 1
    assert (run.scores["color_distance"] < run.scores["color_distance_control"]).all()
    for facet, activation in enumerate(run.scores["activation"]):
        own = run.real.activations[run.real.assignment == facet]
        assert activation > own.max()


def test_nearest_images_and_thumbnails_are_those_named(run):
    source = PaintedSource("pool table")
    row = run.facets.nearest[1, 0]
    index = source.names.index(run.real.names[row])
    np.testing.assert_array_equal(run.facets.nearest_images[1, 0], source.read(index))
    small = np.asarray(source.read(index), np.float64).mean(axis=(0, 1))
    np.testing.assert_allclose(run.real.thumbnails[row].mean(axis=(0, 1)), small, atol=3)


def test_scores_are_read_on_the_center_crop(run):
    crop = run.shown.images[:, 9:105, 9:105]
    fc8 = np.asarray(COMPACT.activations(crop, "fc8")["fc8"])
    np.testing.assert_allclose(run.scores["activation"], fc8[:, 2], rtol=1e-4)
    np.testing.assert_allclose(run.shown.final_activations, fc8[:, 2], rtol=1e-4)


def test_every_option_of_discovery_is_one_of_the_job():
    job = inspect.signature(run_unit).parameters
    for name, option in inspect.signature(discover_facets).parameters.items():
        if name not in ("network", "images", "progress"):
            assert job[name].kind is inspect.Parameter.KEYWORD_ONLY
            assert (job[name].default, job[name].annotation) == (option.default, option.annotation)


def test_options_of_discovery_reach_it_and_are_written_down(monkeypatch, tmp_path):
    asked = {
        "top_count": 7,
        "positions": "all",
        "code_layer": "fc7",
        "num_mean_images": 3,
        "num_components": 4,
        "perplexity": 5.5,
        "start": "random",
        "cluster_space": "pca",
        "max_facets": 6,
        "method": "scikit-learn",
        "resize_shorter": 100,
        "warp": True,
        "on_error": "raise",
        "batch_size": 8,
    }
    # Of the machine, or of what is refused, but not of the result.
    here = {"num_workers": 1, "cache_dir": str(tmp_path), "max_unreadable": 0.3}
    heard = {}

    def discover(network, source, **options):
        heard.update(options)
        taken = {"top_fraction": None, "top_count": 7}  # a rule may decide, as of hidden units
        return types.SimpleNamespace(options=taken)

    visualized = dataclasses.replace(small_run(), options={})
    module = importlib.import_module("mfvjax.pipeline.run_unit")
    monkeypatch.setattr(module, "discover_facets", functools.wraps(discover_facets)(discover))
    monkeypatch.setattr(module, "_run_facets", lambda *_, **__: visualized)
    job = {"unit": "fc8:2", "num_facets": 2}
    made = run_unit("compact", "facetworld:pool table", **job, **asked, **here)
    assert {name: heard[name] for name in asked | here} == asked | here
    assert made.options["discovery"] == asked
    plain = run_unit("compact", "facetworld:pool table", **job)
    assert plain.options["discovery"] == {"positions": "inside", "top_count": 7}


def test_a_run_replays_to_the_same_images(run):
    again = replay(run)
    assert largest_difference(run, again) == 0
    assert again.options == run.options
    other = replay(run, seed=1)
    assert largest_difference(run, other) > 1


def test_replay_notices_what_has_changed(run):
    moved = dataclasses.replace(run, network={**run.network, "fingerprint": "0" * 64})
    with pytest.raises(ValueError, match="network 'compact' has changed since the run"):
        replay(moved)
    swapped = dataclasses.replace(run, options={**run.options, "images_sha256": "0" * 64})
    with pytest.raises(ValueError, match="the images in 'facetworld:pool table' are not those"):
        replay(swapped)
    lost = dataclasses.replace(run, options={**run.options, "images": None})
    with pytest.raises(ValueError, match="does not say where its images came from"):
        replay(lost)


def test_holding_pulls_a_code_to_its_own_facet():
    """Each facet starts from the other one's mean image: only the term can bring it home."""
    facets = discover_facets(COMPACT, PaintedSource("pool table"), unit="fc8:2", num_facets=2)
    margins = {}
    for hold in (0.0, 1.0):
        plan = plan_ascent(COMPACT, facets, objective=UnitHeld(hold), seed=0)
        result = visualize(
            COMPACT,
            plan.objectives[:2],
            plan.starts[:2][::-1],
            recipe=MEAN_IMAGE.shortened(0.05),
            key=0,
        )
        windows = center_crops(result.images, COMPACT.input_size)
        codes = np.asarray(COMPACT.activations(windows, "fc7")["fc7"])
        margins[hold] = facet_recall(codes, np.arange(2), facets.code_centroids)[1].mean()
    assert margins[0.0] < -0.4  # without it, they stay where they started
    assert margins[1.0] > margins[0.0] + 0.25  # measured: -0.72 and -0.17


def make_facets(unit="fc8:2", *, centroids=None, layer="fc7", mean_images=None):
    rng = np.random.default_rng(0)
    k = 3
    return Facets(
        unit=Unit.parse(unit),
        code_layer=layer,
        names=("a", "b", "c"),
        indices=np.arange(3),
        activations=np.array([1.0, 2.0, 6.0]),
        positions=None,
        map=rng.normal(size=(3, 2)),
        assignment=np.arange(3),
        sizes=np.ones(3, int),
        centroids=rng.normal(size=(3, 2)),
        code_centroids=rng.normal(size=(k, 256)) if centroids is None else centroids,
        nearest=np.arange(3)[:, None],
        mean_images=(
            np.full((k, 96, 96, 3), 100.0, np.float32) if mean_images is None else mean_images
        ),
        homogeneity=np.ones(3),
        stability=np.ones(3),
        summary={},
        options={},
    )


def test_the_holding_term_is_the_documented_one():
    facets = make_facets()
    plan = plan_ascent(COMPACT, facets, objective=UnitHeld(0.7), seed=0)
    c = facets.code_centroids
    for k in range(3):
        unit, held = plan.objectives[k].terms
        assert (unit.layer, unit.channels) == ("fc8", 2)
        assert (held.layer, held.own, held.where) == ("fc7", k, "mean")
        assert held.weight == pytest.approx(0.7 * np.std([1.0, 2.0, 6.0]))
        apart = np.mean([np.sum((c[k] - c[j]) ** 2) for j in range(3) if j != k])
        assert apart / (2 * held.temperature) == pytest.approx(4)
        np.testing.assert_array_equal(held.centroids, c)
    # The control climbs the unit alone.
    assert len(plan.objectives[3].terms) == 1


def test_without_holding_or_with_one_facet_the_unit_stands_alone():
    plan = plan_ascent(COMPACT, make_facets(), objective=UnitHeld(0.0), seed=0)
    assert all(len(objective.terms) == 1 for objective in plan.objectives)
    assert len(plan.objectives) == len(plan.starts) == 4
    names = [objective.name for objective in plan.objectives]
    assert names[0] == f"facet 1 of {plan.unit}"
    assert names[3] == f"control 'noise' of {plan.unit}"


def test_the_control_starts_from_the_noise_of_the_release():
    noise = plan_ascent(COMPACT, make_facets(), objective=UnitHeld(0.0), seed=0).starts[-1]
    assert noise.mean() == pytest.approx(175, abs=0.2)
    assert noise.std() == pytest.approx(8, abs=0.2)
    other = plan_ascent(COMPACT, make_facets(), objective=UnitHeld(0.0), seed=1).starts[-1]
    assert not np.array_equal(noise, other)


def test_a_unit_of_a_map_is_visualized_in_its_receptive_field():
    unit = "conv2:7@9,9"
    box = COMPACT.receptive_field(unit)
    patches = np.full((3, *box.size, 3), 80.0, np.float32)
    facets = make_facets(unit, centroids=np.eye(3, 96), layer="conv2", mean_images=patches)
    plan = plan_ascent(COMPACT, facets, objective=UnitHeld(1.0), seed=0)
    assert plan.region == box.clip((96, 96))
    assert plan.starts.shape == (4, *plan.region.size, 3)
    images = full_images(COMPACT, plan.starts, plan.region)
    inside = images[0, box.top : box.bottom, box.left : box.right]
    np.testing.assert_array_equal(inside, plan.starts[0])
    assert plan.objectives[0].terms[1].where == (9, 9)


def test_a_field_that_reaches_beyond_the_border_is_cut_to_the_image():
    unit = "conv2:0@0,0"
    box = COMPACT.receptive_field(unit)
    assert box.top < 0
    patches = np.arange(3 * np.prod(box.size) * 3, dtype=np.float32) % 256
    patches = patches.reshape(3, *box.size, 3)
    facets = make_facets(unit, centroids=np.eye(3, 96), layer="conv2", mean_images=patches)
    plan = plan_ascent(COMPACT, facets, objective=UnitHeld(0.0), seed=0)
    assert plan.region == PixelBox(0, 0, box.bottom, box.right)
    np.testing.assert_array_equal(plan.starts[:3], patches[:, -box.top :, -box.left :])


@pytest.mark.parametrize(
    ("unit", "title"),
    [("conv2:7", "conv2:7"), ("conv2:7@3,4", "conv2:7@3,4"), ("fc6:5", "fc6:5")],
)
def test_units_without_names_are_titled_as_they_are_asked_for(unit, title):
    assert title_of(COMPACT, COMPACT.resolve(unit)) == title


def test_class_units_are_titled_by_their_class():
    assert title_of(COMPACT, Unit("fc8", 0)) == COMPACT.class_name(0)
    unnamed = dataclasses.replace(COMPACT, class_names=None)
    assert title_of(unnamed, Unit("fc8", 0)) == "fc8:0"


def test_sources_by_name():
    assert painted_class(COMPACT, "fc8:2") == "facetworld:pool table"
    source = open_source("facetworld:pool table", network=COMPACT)
    assert source.names[0] == "pool table/balls close up/00"
    assert source.read(0).shape == (96, 96, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: painted_class(COMPACT, "conv1:0"), "no images given for conv1:0@"),
        (lambda: PaintedSource("unicorn"), "facetworld has no class 'unicorn'; it has bell pepper"),
        (lambda: run_unit(**SMALL_JOB, hold=-1), "hold=-1 must be a number from 0"),
        (lambda: run_unit(**{**SMALL_JOB, "recipe": "best"}), "no recipe 'best'; there are"),
        (lambda: run_unit(**{**SMALL_JOB, "unit": "fc9:0"}), "no layer 'fc9'"),
        (lambda: run_unit(**{**SMALL_JOB, "precision": "int8"}), "int8"),
    ],
)
def test_errors_say_what_would_be_right(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_recipe_of_ones_own():
    own = Recipe("two steps", (dataclasses.replace(MEAN_IMAGE.phases[0], num_steps=2),))
    run = small_run(recipe=own, step_fraction=1.0)
    assert run.options["recipe"] == "two steps"
    assert run.shown.activations.shape == (2, 2)
    with pytest.raises(ValueError, match=r"recipe 'two steps' is not the run's: .* give recipe="):
        replay(run)
    other = own.change(TV, num_sweeps=7)
    with pytest.raises(ValueError, match="recipe 'two steps' is not the run's"):
        replay(run, recipe=other)
    assert largest_difference(run, replay(run, recipe=own)) == 0
