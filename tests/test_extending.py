"""The page on extending: its code runs from top to bottom, and does what the text says."""

import dataclasses
import pathlib
import re

import jax
import numpy as np
import pytest

from mfvjax.ascent import program
from mfvjax.priors.projections import Clip
from mfvjax.recipe import Phase
from mfvjax.schedule import Ramp
from mfvjax.views import Crop

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "extending.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def names():
    """What the page's code leaves behind."""
    found = {"__name__": "extending"}
    # As users have it: the tests' strict promotion is not theirs.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for number, block in enumerate(BLOCKS):
            exec(compile(block, f"{PAGE.name}, block {number}", "exec"), found)
    return found


def test_every_block_runs(names):
    assert len(BLOCKS) == 5
    assert names["mirrored"].images.shape == (2, 96, 96, 3)


@pytest.mark.parametrize("name", ["Mirrored", "Above", "Bounded"])
def test_parts_take_about_ten_lines(name):
    (block,) = [block for block in BLOCKS if f"class {name}" in block]
    source = re.search(rf"@part\nclass {name}.*?(?=\n\n\n)", block, re.DOTALL)[0]
    assert len([line for line in source.splitlines() if line.strip()]) <= 13


def test_another_value_and_another_unit_compile_nothing(names):
    kept = set(program._PROGRAMS)
    step, mirrored = names["step"], names["Mirrored"]
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        phase = Phase(num_steps=7, update=step, projections=(mirrored(Ramp(0.2, 0.4)), Clip()))
        names["show"](phase, "fc8:5")
        other = names["Objective"]((names["Above"]("fc8", 7, 0.5),)) + names["unit_objective"](
            "fc8:2"
        )
        names["show"](Phase(num_steps=4, update=dataclasses.replace(step, size=1.0)), other)
    assert set(program._PROGRAMS) == kept


def test_the_ramp_runs_from_nothing_to_all(names):
    """After the first of many steps nothing is mirrored; after the last, all."""
    phase = Phase(num_steps=10, update=names["step"], projections=(names["Mirrored"]((0, 1)),))
    first = dataclasses.replace(phase, num_steps=1)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        assert names["lopsidedness"](names["show"](first).images) > 10
        assert names["lopsidedness"](names["show"](phase).images) < 0.001


def test_limits_are_checked_when_a_phase_is_made(names):
    mirrored = names["Mirrored"]
    with pytest.raises(
        ValueError, match=r"phase: Mirrored option share=2.0 must be 0 or more and at"
    ):
        Phase(num_steps=3, update=names["step"], projections=(mirrored(2.0),))
    with pytest.raises(ValueError, match=r"share=Ramp.* at every step"):
        Phase(num_steps=3, update=names["step"], projections=(mirrored((1.0, -1.0)),))


def test_bind_refuses_and_local_numbers_can_be_cropped(names):
    above = names["Above"]("fc8", 3)
    bound = above.bind(dict(names["network"].layers))
    assert bound.unit.sum() == bound.unit[3] == 1
    with pytest.raises(IndexError):
        dataclasses.replace(above, unit=10_000).bind(dict(names["network"].layers))
    phase = Phase(
        num_steps=3,
        parametrization=names["Bounded"](),
        update=names["MeanAbsoluteStep"](0.1),
        view=Crop(),
        scale=1.2,
        projections=(),
    )
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        images = names["show"](phase).images
    assert images.shape[1] == round(96 * 1.2)
    assert np.isfinite(images).all()
