"""Ways of making pictures, by name; a few lines each, every number with its source."""

from __future__ import annotations

from mfvjax.domain import RGB, Domain
from mfvjax.recipe import Recipe
from mfvjax.recipes.published import MEAN_IMAGE as MEAN_IMAGE
from mfvjax.recipes.published import PAPER_CENTER_BIASED as PAPER_CENTER_BIASED
from mfvjax.recipes.published import RELEASE_CENTER_BIASED as RELEASE_CENTER_BIASED
from mfvjax.recipes.published import RELEASE_MEAN_IMAGE as RELEASE_MEAN_IMAGE
from mfvjax.recipes.small_image import SMALL_IMAGE as SMALL_IMAGE
from mfvjax.recipes.small_image import SPECTROGRAM as SPECTROGRAM

_SMALL_INPUT_PX = 160

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        PAPER_CENTER_BIASED,
        RELEASE_CENTER_BIASED,
        RELEASE_MEAN_IMAGE,
        MEAN_IMAGE,
        SMALL_IMAGE,
        SPECTROGRAM,
    )
}


def default_recipe(size: tuple[int, int], domain: Domain = RGB) -> Recipe:
    """`MEAN_IMAGE`, or `SMALL_IMAGE` where the shorter side is under 160 pixels.

    Args:
      size: ``(height, width)`` of what is visualized: the network's input or a receptive field.
      domain: of the images; where rows and columns are not alike it is `SPECTROGRAM`.
    """
    if not domain.is_picture:
        return SPECTROGRAM
    return SMALL_IMAGE if min(size) < _SMALL_INPUT_PX else MEAN_IMAGE


def find_recipe(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
      ValueError: there is none; the message lists those there are.
    """
    try:
        return RECIPES[name]
    except KeyError:
        raise ValueError(f"no recipe {name!r}; there are: {', '.join(RECIPES)}") from None
