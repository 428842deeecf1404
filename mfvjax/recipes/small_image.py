"""`MEAN_IMAGE` for small inputs, about 96x96."""

from __future__ import annotations

from mfvjax.priors.projections import Clip
from mfvjax.recipe import Phase, Recipe
from mfvjax.recipes.published import half_open, release_tv
from mfvjax.schedule import Ramp
from mfvjax.updates import MeanAbsoluteStep
from mfvjax.views import Crop


def _small(
    num_steps: int,
    weight: tuple[float, float],
    step: Ramp,
    *,
    window: float = 0.3,
    margin: int = 0,
    scale: float | tuple[float, float] = 1.0,
) -> Phase:
    return Phase(
        num_steps=num_steps,
        scale=scale,
        view=Crop(window),
        update=MeanAbsoluteStep(step, margin_px=margin),
        projections=(Clip(), release_tv(Ramp(*weight, "linear"))),
    )


def _phases(growth: float | tuple[float, float]) -> tuple[Phase, ...]:
    return (
        _small(38, (0.95, 1.9), half_open(0.7, 1.4)),
        _small(30, (0.024, 4.8), half_open(0.7), scale=growth),
        _small(4, (0.24, 4.8), half_open(1.4), margin=21, window=0.2),
        _small(2, (0.95, 4.8), half_open(1.4)),
    )


# What TV takes from a square of side s is in proportion to 1 / (fidelity * s), so fidelity grows as
# things shrink: by 227 / 96. A fifth of the steps, each 0.7 as long, keep the object of the mean
# image: chosen by looking at the bundled network's facets after 0.05 to 1 of MEAN_IMAGE's steps,
# the more steps, the less of it was left.
SMALL_IMAGE = Recipe("small-image", _phases(1.2), design_size=96)

# For spectrograms: crops move in time alone, since a sound in another octave is another sound.
SPECTROGRAM = Recipe("spectrogram", _phases((1.0, 1.2)), design_size=96)
