"""The published recipes, every number with its source.

Paper: Nguyen, Yosinski, Clune 2016, "Multifaceted Feature Visualization", arXiv 1602.03616v2.
Release: the authors' scripts ``act_max.tvd.center.py`` and ``act_max.tvd.mean.py``. Where the two
differ, both are here. They were written for an input of 227x227.
"""

from __future__ import annotations

from mfvjax.facet_objective import FacetObjective, UnitHeld
from mfvjax.priors.projections import Clip
from mfvjax.priors.tv_projection import TV
from mfvjax.recipe import Phase, Recipe
from mfvjax.schedule import Ramp
from mfvjax.updates import MeanAbsoluteStep
from mfvjax.views import Crop

_ALONE = UnitHeld(hold=0.0)  # nothing but the unit is climbed


def _paper(
    num_steps: int,
    weight: float,
    step: float,
    *,
    scale: float = 1.0,
    margin: int = 0,
    crop: Crop = Crop(0.3),  # noqa: B008 (frozen)
) -> Phase:
    return Phase(
        num_steps=num_steps,
        scale=scale,
        view=crop,
        update=MeanAbsoluteStep(step, margin_px=margin),
        projections=(Clip(), TV(weight)),
    )


# Iterations, canvas growth, TV weights and step sizes of phases 1-3, the margin of phase 4 and the
# free crops of phase 5: paper, section S2.3. It prints neither weight nor step for phases 4 and 5:
# phase 3's are kept. It gives no width for the crops of phases 1-4: the release's.
PAPER_CENTER_BIASED = Recipe(
    "paper-center-biased",
    (
        _paper(150, weight=0.001, step=11),
        _paper(150, weight=0.08, step=6, scale=1.2),
        _paper(150, weight=2.0, step=1, scale=1.2),
        _paper(30, weight=2.0, step=1, margin=50, crop=Crop(0.1)),
        _paper(10, weight=2.0, step=1, crop=Crop(uniform=1)),
    ),
    design_size=227,
    objective=_ALONE,
)


def release_tv(weight: Ramp) -> TV:
    """``denoise_tv_bregman(..., max_iter=100, eps=1e-3)`` with scikit-image's smooth shrinkage.

    The rule that the release's weights were tuned with.
    """
    return TV(weight, rule="scikit-image", num_sweeps=100, tolerance=1e-3)


def _release(
    num_steps: int,
    window: float,
    margin: int,
    weight: tuple[float, float],
    step: Ramp,
    *,
    scale: float = 1.0,
    target: str = "unit",
) -> Phase:
    return Phase(
        num_steps=num_steps,
        scale=scale,
        target=target,
        view=Crop(window),
        update=MeanAbsoluteStep(step, margin_px=margin),
        projections=(Clip(), release_tv(Ramp(*weight, "release-weight"))),
    )


def half_open(start: float, end: float | None = None) -> Ramp:
    """Step sizes as the release ramps them: one step short of `end`."""
    return Ramp(start, start if end is None else end, "half-open")


# Release, act_max.tvd.center.py, list "octaves": prob in phases 1 and 2, fc8 after that.
RELEASE_CENTER_BIASED = Recipe(
    "release-center-biased",
    (
        _release(190, 0.3, 0, (0.001, 0.05), half_open(11), target="probability"),
        _release(150, 0.3, 0, (0.01, 0.08), half_open(6), scale=1.2, target="probability"),
        _release(150, 0.3, 0, (0.01, 2.0), half_open(1), scale=1.2),
        _release(30, 0.1, 50, (0.1, 2.0), half_open(3)),
        _release(10, 0.3, 0, (0.01, 2.0), half_open(6, 3)),
    ),
    design_size=227,
    objective=_ALONE,
)


def _mean_image(name: str, first_step: Ramp, objective: FacetObjective) -> Recipe:
    return Recipe(
        name,
        (
            _release(190, 0.3, 0, (0.4, 0.4), first_step),
            _release(150, 0.3, 0, (0.01, 2.0), half_open(1), scale=1.2),
            _release(20, 0.2, 50, (0.1, 2.0), half_open(2)),
            _release(10, 0.3, 0, (0.4, 2.0), half_open(2)),
        ),
        design_size=227,
        objective=objective,
    )


# Release, act_max.tvd.mean.py, list "octaves"; integer arithmetic keeps phase 1's step size at 1.
RELEASE_MEAN_IMAGE = _mean_image("release-mean-image", Ramp(1, 2, "half-open-integer"), _ALONE)
# The same with phase 1's step size rising from 1 to 2, as the script's numbers say, and the term
# that holds each code at its facet, which is this library's.
MEAN_IMAGE = _mean_image("mean-image", half_open(1, 2), UnitHeld())
