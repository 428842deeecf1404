"""The published schedules, every number with its source.

Paper: Nguyen, Yosinski, Clune 2016, "Multifaceted Feature Visualization", arXiv 1602.03616v2.
Release: the authors' scripts ``act_max.tvd.center.py`` and ``act_max.tvd.mean.py``. Where the two
differ, both are here. Those were written for an input of 227x227; `SMALL_IMAGE`, which is ours,
for one of 96x96.
"""

from __future__ import annotations

from mfvjax.schedule import Phase, Ramp, Schedule

# denoise_tv_bregman(..., max_iter=100, eps=1e-3) with the smooth shrinkage of scikit-image: the
# rule that the release's weights were tuned with.
_RELEASE_TV = {"tv_rule": "scikit-image", "num_sweeps": 100, "tv_tolerance": 1e-3}


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
        offset_std=window,
        margin_px=margin,
        fidelity=Ramp(*weight, "release-weight"),
        step_size=step,
        target=target,
        **_RELEASE_TV,  # type: ignore[arg-type]
    )


def _steps(start: float, end: float | None = None) -> Ramp:
    return Ramp(start, start if end is None else end, "half-open")


# Iterations, canvas growth, TV weights and step sizes of phases 1-3, the margin of phase 4 and the
# free crops of phase 5: paper, section S2.3. It prints neither weight nor step for phases 4 and 5:
# phase 3's are kept. It gives no width for the crops of phases 1-4: the release's.
PAPER_CENTER_BIASED = Schedule(
    "paper-center-biased",
    (
        Phase(num_steps=150, fidelity=0.001, step_size=11.0, offset_std=0.3),
        Phase(num_steps=150, fidelity=0.08, step_size=6.0, offset_std=0.3, scale=1.2),
        Phase(num_steps=150, fidelity=2.0, step_size=1.0, offset_std=0.3, scale=1.2),
        Phase(num_steps=30, fidelity=2.0, step_size=1.0, offset_std=0.1, margin_px=50),
        Phase(num_steps=10, fidelity=2.0, step_size=1.0, jitter="uniform"),
    ),
    design_size=227,
)

# Release, act_max.tvd.center.py, list "octaves": prob in phases 1 and 2, fc8 after that.
RELEASE_CENTER_BIASED = Schedule(
    "release-center-biased",
    (
        _release(190, 0.3, 0, (0.001, 0.05), _steps(11), target="probability"),
        _release(150, 0.3, 0, (0.01, 0.08), _steps(6), scale=1.2, target="probability"),
        _release(150, 0.3, 0, (0.01, 2.0), _steps(1), scale=1.2),
        _release(30, 0.1, 50, (0.1, 2.0), _steps(3)),
        _release(10, 0.3, 0, (0.01, 2.0), _steps(6, 3)),
    ),
    design_size=227,
)


def _mean_image(name: str, first_step: Ramp) -> Schedule:
    return Schedule(
        name,
        (
            _release(190, 0.3, 0, (0.4, 0.4), first_step),
            _release(150, 0.3, 0, (0.01, 2.0), _steps(1), scale=1.2),
            _release(20, 0.2, 50, (0.1, 2.0), _steps(2)),
            _release(10, 0.3, 0, (0.4, 2.0), _steps(2)),
        ),
        design_size=227,
    )


# Release, act_max.tvd.mean.py, list "octaves"; integer arithmetic keeps phase 1's step size at 1.
RELEASE_MEAN_IMAGE = _mean_image("release-mean-image", Ramp(1, 2, "half-open-integer"))
# The same with phase 1's step size rising from 1 to 2, as the script's numbers say.
MEAN_IMAGE = _mean_image("mean-image", _steps(1, 2))


def _small(
    num_steps: int, fidelity: tuple[float, float], step: Ramp, *, margin: int = 0, **options: float
) -> Phase:
    return Phase(
        num_steps=num_steps,
        margin_px=margin,
        fidelity=Ramp(*fidelity, "linear"),
        step_size=step,
        **{"offset_std": 0.3, **_RELEASE_TV, **options},  # type: ignore[arg-type]
    )


# MEAN_IMAGE for inputs of about 96x96. What TV takes from a square of side s is in proportion to
# 1 / (fidelity * s), so fidelity grows as things shrink: by 227 / 96. A fifth of the steps, each
# 0.7 as long, keep the object of the mean image: chosen by looking at the bundled network's facets
# after 0.05 to 1 of MEAN_IMAGE's steps, the more steps, the less of it was left.
SMALL_IMAGE = Schedule(
    "small-image",
    (
        _small(38, (0.95, 1.9), _steps(0.7, 1.4)),
        _small(30, (0.024, 4.8), _steps(0.7), scale=1.2),
        _small(4, (0.24, 4.8), _steps(1.4), margin=21, offset_std=0.2),
        _small(2, (0.95, 4.8), _steps(1.4)),
    ),
    design_size=96,
)

_SMALL_INPUT_PX = 160

PRESETS: dict[str, Schedule] = {
    schedule.name: schedule
    for schedule in (
        PAPER_CENTER_BIASED,
        RELEASE_CENTER_BIASED,
        RELEASE_MEAN_IMAGE,
        MEAN_IMAGE,
        SMALL_IMAGE,
    )
}


def default_schedule(size: tuple[int, int]) -> Schedule:
    """`MEAN_IMAGE`, or `SMALL_IMAGE` where the shorter side is under 160 pixels.

    Args:
      size: ``(height, width)`` of what is visualized: the network's input or a receptive field.
    """
    return SMALL_IMAGE if min(size) < _SMALL_INPUT_PX else MEAN_IMAGE


def preset(name: str) -> Schedule:
    """The preset called `name`.

    Raises:
      ValueError: there is none; the message lists those there are.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise ValueError(f"no schedule {name!r}; presets: {', '.join(PRESETS)}") from None
