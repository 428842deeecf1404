"""Ways of making pictures, by name; a few lines each, every number with its source."""

from __future__ import annotations

from mfvjax.domain import RGB, Domain
from mfvjax.facet_objective import UnitAndStatistics as UnitAndStatistics
from mfvjax.facet_objective import UnitHeld as UnitHeld
from mfvjax.recipe import Recipe
from mfvjax.recipes.facet_statistics import FACET_STATISTICS as FACET_STATISTICS
from mfvjax.recipes.facet_statistics import FACET_STATISTICS_PATCH as FACET_STATISTICS_PATCH
from mfvjax.recipes.facet_statistics import FACET_STATISTICS_SMALL as FACET_STATISTICS_SMALL
from mfvjax.recipes.published import MEAN_IMAGE as MEAN_IMAGE
from mfvjax.recipes.published import PAPER_CENTER_BIASED as PAPER_CENTER_BIASED
from mfvjax.recipes.published import RELEASE_CENTER_BIASED as RELEASE_CENTER_BIASED
from mfvjax.recipes.published import RELEASE_MEAN_IMAGE as RELEASE_MEAN_IMAGE
from mfvjax.recipes.small_image import SMALL_IMAGE as SMALL_IMAGE
from mfvjax.recipes.small_image import SPECTROGRAM as SPECTROGRAM

_SMALL_PX = 160
_SMALLEST_PX = 32
"""Smaller images have no layers of several depths to take statistics in."""

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        FACET_STATISTICS,
        FACET_STATISTICS_SMALL,
        FACET_STATISTICS_PATCH,
        PAPER_CENTER_BIASED,
        RELEASE_CENTER_BIASED,
        RELEASE_MEAN_IMAGE,
        MEAN_IMAGE,
        SMALL_IMAGE,
        SPECTROGRAM,
    )
}


def default_recipe(size: tuple[int, int], domain: Domain = RGB, *, is_patch: bool) -> Recipe:
    """`FACET_STATISTICS`, and what takes its place where it does not fit.

    Args:
      size: ``(height, width)`` of what is visualized: the network's input or a receptive field.
      domain: of the images; where rows and columns are not alike it is `SPECTROGRAM`.
      is_patch: whether it is a receptive field, for which it is `FACET_STATISTICS_PATCH`; whole
        images have `FACET_STATISTICS_SMALL` where the shorter side is under 160 pixels. Under 32
        it is `SMALL_IMAGE`.
    """
    if not domain.is_picture:
        return SPECTROGRAM
    if min(size) < _SMALLEST_PX:
        return SMALL_IMAGE
    if is_patch:
        return FACET_STATISTICS_PATCH
    return FACET_STATISTICS_SMALL if min(size) < _SMALL_PX else FACET_STATISTICS


def find_recipe(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
      ValueError: there is none; the message lists those there are.
    """
    try:
        return RECIPES[name]
    except KeyError:
        raise ValueError(f"no recipe {name!r}; there are: {', '.join(RECIPES)}") from None
