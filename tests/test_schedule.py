"""Schedules against the published numbers, the reference traces, and formulas written out."""

import dataclasses

import numpy as np
import pytest

from mfvjax.presets import (
    MEAN_IMAGE,
    PAPER_CENTER_BIASED,
    PRESETS,
    RELEASE_CENTER_BIASED,
    RELEASE_MEAN_IMAGE,
    SMALL_IMAGE,
    default_schedule,
    preset,
)
from mfvjax.schedule import Phase, Ramp, Schedule, constant


def a_phase(**changes):
    return Phase(**{"num_steps": 4, "step_size": 1.0, "fidelity": 0.5, **changes})


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
    assert set(RELEASE_MEAN_IMAGE.phases[0].step_size.values(190)) == {1.0}
    floats = MEAN_IMAGE.phases[0].step_size.values(190)
    assert floats[0] == 1
    assert floats[-1] == pytest.approx(2 - 1 / 190)


def test_release_presets_hold_the_scripts_numbers():
    center = [
        (p.target, p.num_steps, p.scale, p.offset_std, p.margin_px, p.fidelity.start)
        for p in RELEASE_CENTER_BIASED.phases
    ]
    assert center == [
        ("probability", 190, 1, 0.3, 0, 0.001),
        ("probability", 150, 1.2, 0.3, 0, 0.01),
        ("unit", 150, 1.2, 0.3, 0, 0.01),
        ("unit", 30, 1, 0.1, 50, 0.1),
        ("unit", 10, 1, 0.3, 0, 0.01),
    ]
    mean = [(p.num_steps, p.scale, p.offset_std, p.margin_px) for p in RELEASE_MEAN_IMAGE.phases]
    assert mean == [(190, 1, 0.3, 0), (150, 1.2, 0.3, 0), (20, 1, 0.2, 50), (10, 1, 0.3, 0)]
    assert all(p.tv_rule == "scikit-image" for p in RELEASE_MEAN_IMAGE.phases)
    assert {p.tv_tolerance for p in RELEASE_MEAN_IMAGE.phases} == {1e-3}


def test_paper_preset_holds_the_printed_numbers():
    phases = PAPER_CENTER_BIASED.phases
    assert [p.num_steps for p in phases] == [150, 150, 150, 30, 10]
    assert [p.fidelity.start for p in phases[:3]] == [0.001, 0.08, 2]
    assert [p.step_size.start for p in phases[:3]] == [11, 6, 1]
    assert [p.margin_px for p in phases] == [0, 0, 0, 50, 0]
    assert phases[4].jitter == "uniform"


def test_canvas_sizes_are_those_of_the_release():
    sizes = RELEASE_CENTER_BIASED.canvas_sizes((227, 227))
    assert [size[0] for size in sizes] == [227, 272, 326, 326, 326]


@pytest.mark.parametrize(
    ("file", "schedule"),
    [
        ("trace_cinema_mean_image", MEAN_IMAGE),
        ("trace_cinema_center_biased", RELEASE_CENTER_BIASED),
    ],
)
def test_presets_give_the_step_sizes_and_weights_of_the_traces(data_dir, file, schedule):
    steps = np.load(data_dir / f"reference/{file}.npz")["steps"]
    assert set(steps[:, 0]) == set(range(len(schedule.phases)))
    for number, phase in enumerate(schedule.phases):
        rows = steps[steps[:, 0] == number]
        np.testing.assert_allclose(phase.step_size.values(len(rows)), rows[:, 4], atol=1e-9)
        np.testing.assert_allclose(phase.fidelity.values(len(rows)), rows[:, 5], atol=1e-9)
        assert set(rows[:, 6]) == {phase.margin_px}


def test_margins_follow_the_input_size():
    adapted = RELEASE_MEAN_IMAGE.for_input((96, 128))
    assert [p.margin_px for p in adapted.phases] == [0, 0, 21, 0]
    assert RELEASE_MEAN_IMAGE.for_input((227, 227)) == RELEASE_MEAN_IMAGE
    assert adapted.for_input((227, 300)).phases[2].margin_px == 50


def test_small_images_get_their_own_schedule():
    assert default_schedule((96, 300)) is SMALL_IMAGE
    assert default_schedule((227, 227)) is default_schedule((160, 160)) is MEAN_IMAGE
    assert SMALL_IMAGE.num_steps == 74
    # Fidelity in proportion to 1 / size: the same share of a square's contrast is taken.
    for small, large in zip(SMALL_IMAGE.phases[1:], MEAN_IMAGE.phases[1:], strict=True):
        assert small.fidelity.start / large.fidelity.start == pytest.approx(227 / 96, rel=0.02)
        assert small.fidelity.end / large.fidelity.end == pytest.approx(227 / 96, rel=0.02)
        assert small.step_size.start / large.step_size.start == pytest.approx(0.7)


def test_margins_of_a_schedule_without_a_design_size_stay():
    schedule = Schedule("mine", (a_phase(margin_px=5),))
    assert schedule.for_input((64, 64)).phases[0].margin_px == 5


def test_replace_and_shorten_make_new_schedules():
    isotropic = MEAN_IMAGE.replace(name="mine", tv_rule="isotropic", tv_tolerance=None)
    assert isotropic.name == "mine"
    assert {p.tv_rule for p in isotropic.phases} == {"isotropic"}
    assert {p.tv_rule for p in MEAN_IMAGE.phases} == {"scikit-image"}
    assert [p.num_steps for p in MEAN_IMAGE.shortened(0.1).phases] == [19, 15, 2, 2]
    assert MEAN_IMAGE.num_steps == 370


def test_numbers_and_pairs_become_ramps():
    phase = a_phase(step_size=2, fidelity=(0.5, 1.0))
    assert phase.step_size == constant(2.0)
    assert phase.fidelity == Ramp(0.5, 1.0)
    assert dataclasses.replace(phase, num_steps=9).fidelity == phase.fidelity


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_steps": 0}, "num_steps=0 must be at least 1"),
        ({"scale": 0.9}, "scale=0.9 must be at least 1"),
        ({"offset_std": -1}, "offset_std=-1 must be 0 or more"),
        ({"margin_px": -2}, "margin_px=-2"),
        ({"num_sweeps": -1}, "num_sweeps=-1"),
        ({"tv_tolerance": 0.0}, r"tv_tolerance=0\.0 must be above 0"),
        ({"step_size": (1.0, -1.0)}, "step_size=.* 0 or more at every step"),
        ({"fidelity": 0.0}, "fidelity=.* above 0 at every step"),
        ({"fidelity": Ramp(0.1, 2, "release-weight"), "num_steps": 1}, "least value is 0"),
        ({"jitter": "none"}, "jitter='none' must be one of center, uniform"),
        ({"target": "fc8"}, "target='fc8' must be one of unit, probability"),
        ({"tv_rule": "l1"}, "tv_rule='l1' must be one of isotropic"),
        ({"tv_order": "zigzag"}, "tv_order='zigzag' must be one of red-black, raster"),
    ],
)
def test_a_bad_phase_option_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        a_phase(**changes)


def test_phases_without_tv_need_no_fidelity():
    assert a_phase(num_sweeps=0, fidelity=0.0).num_sweeps == 0


def test_other_errors():
    with pytest.raises(ValueError, match="ramp rule 'cubic' is unknown; known: linear"):
        Ramp(0, 1, "cubic")
    with pytest.raises(ValueError, match="ramp end must be a finite number"):
        Ramp(0, float("nan"))
    with pytest.raises(ValueError, match="schedule 'empty' has no phases"):
        Schedule("empty", ())
    with pytest.raises(ValueError, match=r"factor=0 must be above 0"):
        MEAN_IMAGE.shortened(0)
    with pytest.raises(ValueError, match="phase 1: a margin of 12 pixels at each side leaves"):
        Schedule("mine", (a_phase(margin_px=12),)).for_input((24, 24))
    with pytest.raises(ValueError, match="no schedule 'best'; presets: paper-center-biased"):
        preset("best")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_found_by_their_own_name(name):
    assert preset(name).name == name
