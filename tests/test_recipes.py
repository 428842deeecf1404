"""Recipes against the published numbers, the reference traces, and formulas written out."""

import dataclasses

import numpy as np
import optax
import pytest

from mfvjax.domain import GREY, RGB, Domain
from mfvjax.objective import AlphaNorm, Energy
from mfvjax.parametrizations import Fourier
from mfvjax.priors.projections import Clip
from mfvjax.priors.tv_projection import TV
from mfvjax.recipe import Phase, Recipe
from mfvjax.recipes import (
    FACET_STATISTICS,
    FACET_STATISTICS_SMALL,
    MEAN_IMAGE,
    PAPER_CENTER_BIASED,
    RECIPES,
    RELEASE_CENTER_BIASED,
    RELEASE_MEAN_IMAGE,
    SMALL_IMAGE,
    SPECTROGRAM,
    default_recipe,
    find_recipe,
)
from mfvjax.schedule import Ramp, values_of
from mfvjax.updates import Given, MeanAbsoluteStep
from mfvjax.views import Crop, RandomView


def a_phase(step=1.0, weight=0.5, margin=0.0, **changes):
    common = {
        "num_steps": 4,
        "update": MeanAbsoluteStep(step, margin),
        "projections": (TV(weight),),
    }
    return Phase(**{**common, **changes})


def step_of(phase):
    return phase.update[0].size


def margin_of(phase):
    return phase.update[0].margin_px


def tv_of(phase):
    return phase.projections[1]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("linear", [1, 2, 3, 4, 5]),
        ("half-open", [1, 1.8, 2.6, 3.4, 4.2]),
        ("half-open-integer", [1, 1, 2, 3, 4]),
        ("release-weight", [0.8, 1.8, 2.8, 3.8, 4.8]),
    ],
)
def test_each_ramp_rule_written_out(rule, expected):
    np.testing.assert_allclose(Ramp(1, 5, rule).values(5), expected, atol=1e-12)


def test_the_constant_weight_of_the_release_nearly_doubles():
    values = Ramp(0.4, 0.4, "release-weight").values(190)
    assert values[0] == pytest.approx(0.4 * (1 - 1 / 190))
    assert values[-1] == pytest.approx(0.8 - 0.4 * 2 / 190)


def test_a_linear_ramp_of_one_step_is_its_start():
    assert Ramp(3, 9).values(1).tolist() == [3]


def test_integer_arithmetic_keeps_the_release_step_at_one():
    assert set(step_of(RELEASE_MEAN_IMAGE.phases[0]).values(190)) == {1.0}
    floats = step_of(MEAN_IMAGE.phases[0]).values(190)
    assert floats[0] == 1
    assert floats[-1] == pytest.approx(2 - 1 / 190)


def test_release_recipes_hold_the_scripts_numbers():
    center = [
        (
            p.target,
            p.num_steps,
            p.scale,
            p.view[0].offset_std,
            margin_of(p),
            tv_of(p).fidelity.start,
        )
        for p in RELEASE_CENTER_BIASED.phases
    ]
    assert center == [
        ("probability", 190, 1, 0.3, 0, 0.001),
        ("probability", 150, 1.2, 0.3, 0, 0.01),
        ("unit", 150, 1.2, 0.3, 0, 0.01),
        ("unit", 30, 1, 0.1, 50, 0.1),
        ("unit", 10, 1, 0.3, 0, 0.01),
    ]
    mean = [
        (p.num_steps, p.scale, p.view[0].offset_std, margin_of(p))
        for p in RELEASE_MEAN_IMAGE.phases
    ]
    assert mean == [(190, 1, 0.3, 0), (150, 1.2, 0.3, 0), (20, 1, 0.2, 50), (10, 1, 0.3, 0)]
    for phase in (*RELEASE_MEAN_IMAGE.phases, *RELEASE_CENTER_BIASED.phases):
        tv = tv_of(phase)
        assert phase.projections[0] == Clip(0, 255)  # the step is clipped before it is denoised
        assert (tv.rule, tv.order, tv.num_sweeps, tv.tolerance) == (
            "scikit-image",
            "red-black",
            100,
            1e-3,
        )


def test_paper_recipe_holds_the_printed_numbers():
    phases = PAPER_CENTER_BIASED.phases
    assert [p.num_steps for p in phases] == [150, 150, 150, 30, 10]
    assert [tv_of(p).fidelity for p in phases[:3]] == [0.001, 0.08, 2]
    assert [step_of(p) for p in phases[:3]] == [11, 6, 1]
    assert [margin_of(p) for p in phases] == [0, 0, 0, 50, 0]
    assert [p.view[0].uniform for p in phases] == [0, 0, 0, 0, 1]
    assert {tv_of(p).rule for p in phases} == {"isotropic"}


def test_canvas_sizes_are_those_of_the_release():
    sizes = RELEASE_CENTER_BIASED.canvas_sizes((227, 227))
    assert [size[0] for size in sizes] == [227, 272, 326, 326, 326]


@pytest.mark.parametrize(
    ("file", "recipe"),
    [
        ("trace_cinema_mean_image", MEAN_IMAGE),
        ("trace_cinema_center_biased", RELEASE_CENTER_BIASED),
    ],
)
def test_recipes_give_the_step_sizes_and_weights_of_the_traces(data_dir, file, recipe):
    steps = np.load(data_dir / f"reference/{file}.npz")["steps"]
    assert set(steps[:, 0]) == set(range(len(recipe.phases)))
    for number, phase in enumerate(recipe.phases):
        rows = steps[steps[:, 0] == number]
        np.testing.assert_allclose(values_of(step_of(phase), len(rows)), rows[:, 4], atol=1e-9)
        weights = values_of(tv_of(phase).fidelity, len(rows))
        np.testing.assert_allclose(weights, rows[:, 5], atol=1e-9)
        assert set(rows[:, 6]) == {margin_of(phase)}


def test_margins_follow_the_input_size():
    adapted = RELEASE_MEAN_IMAGE.for_input((96, 128))
    assert [margin_of(p) for p in adapted.phases] == [0, 0, 21, 0]
    assert RELEASE_MEAN_IMAGE.for_input((227, 227)) == RELEASE_MEAN_IMAGE
    assert margin_of(adapted.for_input((227, 300)).phases[2]) == 50


def test_small_images_and_spectrograms_get_their_own_recipe():
    for size, domain, recipe in (
        ((96, 300), RGB, FACET_STATISTICS_SMALL),
        ((96, 96), GREY, FACET_STATISTICS_SMALL),
        ((28, 28), GREY, SMALL_IMAGE),
        ((227, 227), RGB, FACET_STATISTICS),
        ((160, 160), RGB, FACET_STATISTICS),
        ((227, 227), Domain(1, -80.0, 0.0, "spectrogram"), SPECTROGRAM),
    ):
        assert default_recipe(size, domain, is_patch=False) is recipe
    # Crops of a spectrogram move along time only.
    assert {size[0] for size in SPECTROGRAM.canvas_sizes((64, 64))} == {64}
    assert SPECTROGRAM.canvas_sizes((64, 64))[-1] == (64, 77)
    assert SMALL_IMAGE.num_steps == 74
    # Fidelity in proportion to 1 / size: the same share of a square's contrast is taken.
    for small, large in zip(SMALL_IMAGE.phases[1:], MEAN_IMAGE.phases[1:], strict=True):
        for end in ("start", "end"):
            ratio = getattr(tv_of(small).fidelity, end) / getattr(tv_of(large).fidelity, end)
            assert ratio == pytest.approx(227 / 96, rel=0.02)
        assert step_of(small).start / step_of(large).start == pytest.approx(0.7)


def test_margins_of_a_recipe_without_a_design_size_stay():
    recipe = Recipe("mine", (a_phase(margin=5),))
    assert margin_of(recipe.for_input((64, 64)).phases[0]) == 5


def test_change_replace_and_shorten_make_new_recipes():
    isotropic = MEAN_IMAGE.change(TV, name="mine", rule="isotropic", tolerance=None)
    assert isotropic.name == "mine"
    assert {tv_of(p).rule for p in isotropic.phases} == {"isotropic"}
    assert {tv_of(p).rule for p in MEAN_IMAGE.phases} == {"scikit-image"}
    assert [tv_of(p).fidelity for p in isotropic.phases] == [
        tv_of(p).fidelity for p in MEAN_IMAGE.phases
    ]
    assert [p.num_steps for p in MEAN_IMAGE.shortened(0.1).phases] == [19, 15, 2, 2]
    assert MEAN_IMAGE.num_steps == 370
    assert {p.projections for p in MEAN_IMAGE.replace(projections=()).phases} == {()}


def test_numbers_and_pairs_become_ramps():
    phase = a_phase(step=2, weight=(0.5, 1.0))
    assert step_of(phase) == 2.0
    assert phase.projections[0].fidelity == Ramp(0.5, 1.0)
    assert dataclasses.replace(phase, num_steps=9).projections == phase.projections


def test_single_parts_and_transformations_of_optax_are_put_in_rows():
    adam = optax.adam(0.05)
    phase = Phase(num_steps=2, update=adam, view=RandomView(), parametrization=Fourier())
    assert phase.update == (Given(adam),)
    assert phase.view == (RandomView(),)
    assert phase.projections == (Clip(),)
    assert Phase(num_steps=2, update=(adam, optax.scale(2.0))).update[0] == Given(adam)


def test_hashes_tell_recipes_apart():
    hashes = {recipe.sha256 for recipe in RECIPES.values()}
    assert len(hashes) == len(RECIPES)
    other = MEAN_IMAGE.change(TV, num_sweeps=99)
    assert other.sha256 not in hashes
    assert MEAN_IMAGE.change(TV, num_sweeps=100).sha256 == MEAN_IMAGE.sha256
    assert dataclasses.replace(MEAN_IMAGE, name="x").sha256 == MEAN_IMAGE.sha256
    one, two = (Recipe("r", (Phase(num_steps=1, update=optax.adam(0.1)),)) for _ in range(2))
    assert one.sha256 == two.sha256


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_steps": 0}, "num_steps=0 must be at least 1"),
        ({"num_views": 0}, "num_views=0 must be at least 1"),
        ({"scale": 0.9}, "scale=0.9 must be at least 1"),
        ({"scale": (1.0, 0.5)}, r"scale=\(1.0, 0.5\) must be at least 1"),
        ({"target": "fc8"}, "target='fc8' must be one of unit, probability"),
        ({"step": (1.0, -1.0)}, "MeanAbsoluteStep option size=.* must be 0 or more at every step"),
        ({"margin": -2}, "margin_px=-2"),
        ({"weight": 0.0}, "TV option fidelity=0.0 must be above 0 at every step"),
        ({"weight": Ramp(0.1, 2, "release-weight"), "num_steps": 1}, "least value is 0"),
        ({"view": Crop(-1)}, "Crop option offset_std=-1.0 must be 0 or more"),
        ({"update": ()}, r"update=\(\) must be an update, or several"),
        ({"view": (RandomView(), Crop())}, "several of which only the first crops"),
        ({"parametrization": Fourier()}, "a view other than Crop: Fourier moves as a whole"),
        ({"penalties": (Energy("fc"),)}, "penalties=.* must be terms of the window"),
        ({"penalties": (AlphaNorm(weight=(1.0, 2.0), alpha=0),)}, "alpha=0.0 must be above 0"),
    ],
)
def test_a_bad_phase_option_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        a_phase(**changes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TV(1.0, rule="l1"), "TV option rule='l1' must be one of isotropic"),
        (lambda: TV(1.0, order="zigzag"), "order='zigzag' must be one of red-black, raster"),
        (lambda: TV(1.0, num_sweeps=0), "num_sweeps=0 must be at least 1"),
        (lambda: TV(1.0, tolerance=0.0), r"tolerance=0\.0 must be above 0, or None"),
        (lambda: TV(float("nan")), "fidelity=nan must be a finite number"),
        (lambda: Crop("wide"), "offset_std='wide' must be a finite number, a pair"),
        (lambda: Ramp(0, 1, "cubic"), "ramp rule 'cubic' is unknown; known: linear"),
        (lambda: Ramp(0, float("nan")), "ramp end must be a finite number"),
        (lambda: Recipe("empty", ()), "recipe 'empty' has no phases"),
        (lambda: MEAN_IMAGE.shortened(0), r"factor=0 must be above 0"),
        (lambda: find_recipe("best"), "no recipe 'best'; there are: facet-statistics"),
        (
            lambda: Recipe("mine", (a_phase(margin=12),)).for_input((24, 24)),
            "phase 1: a margin of 12 pixels at each side leaves",
        ),
    ],
)
def test_other_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_found_by_their_own_name(name):
    assert find_recipe(name).name == name
