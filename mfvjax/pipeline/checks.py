"""What is asked of a run, looked at before any image is read: nothing is thrown away at the end."""

from __future__ import annotations

import math
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any, get_args

from mfvjax.facets.codes import CodeKind, request_code
from mfvjax.facets.embed import EmbedOptions, Method, Start
from mfvjax.facets.grouping import ClusterSpace, GroupOptions
from mfvjax.facets.places import Positions
from mfvjax.facets.top import top_number
from mfvjax.images import ImageSource
from mfvjax.images.batches import OnError
from mfvjax.images.unreadable import check_limit
from mfvjax.network import Network
from mfvjax.pipeline.regions import visible_region
from mfvjax.pipeline.sources import Imageish, open_source
from mfvjax.recipe import Recipe
from mfvjax.recipes import default_recipe, find_recipe
from mfvjax.types import Unit

MAX_SEED = 2**32 - 1
_MAX_BATCH, _MAX_WORKERS = 2**16, 2**10
_FROM_ONE = {
    "top_count": 2**31,
    "num_mean_images": 2**31,
    "num_components": 2**31,
    "max_facets": 2**31,
    "batch_size": _MAX_BATCH,
    "num_workers": _MAX_WORKERS,
    "max_pixels": 2**62,
}
_NUMBERS = ("top_fraction", "perplexity", "step_fraction", "hold", "max_unreadable")
_FLAGS = ("controls", "warp")
_WORDS = {
    "positions": get_args(Positions),
    "code": get_args(CodeKind),
    "start": get_args(Start),
    "cluster_space": get_args(ClusterSpace),
    "method": get_args(Method),
    "on_error": get_args(OnError),
}
_MAY_BE_NONE = ("top_count", "top_fraction", "hold", "num_workers", "max_pixels")


def check_values(options: Mapping[str, Any]) -> None:
    """Checks what can be checked without a network: types, ranges and words.

    Args:
      options: of `mfvjax.run_unit`, by name; those that are not there are not looked at.

    Raises:
      ValueError: an option is of another type, or out of range; the message names it.
    """
    for name, value in options.items():
        if value is None and name in _MAY_BE_NONE:
            continue
        if name in _FROM_ONE:
            _check_whole(name, value, 1, _FROM_ONE[name])
        elif name in _NUMBERS and not (name == "top_fraction" and value == "all"):
            _check_number(name, value)
        elif name in _FLAGS and not isinstance(value, bool):
            raise ValueError(f"{name}={value!r} must be True or False")
        elif name in _WORDS and value not in _WORDS[name]:
            raise ValueError(f"{name}={value!r} must be one of {', '.join(_WORDS[name])}")
    _check_some(options)


def _check_some(options: Mapping[str, Any]) -> None:
    """Options with a rule of their own."""
    if "seed" in options:
        _check_whole("seed", options["seed"], 0, MAX_SEED)
    if "num_facets" in options and options["num_facets"] != "auto":
        _check_whole("num_facets", options["num_facets"], 1, 2**31, or_else=', or "auto"')
    step_fraction = options.get("step_fraction", 1.0)
    if not 0 < step_fraction <= 1:
        raise ValueError(f"step_fraction={step_fraction!r} must be above 0 and at most 1")
    if "max_unreadable" in options:
        check_limit(options["max_unreadable"])
    shorter = options.get("resize_shorter")
    if shorter is not None and shorter != "fit":
        _check_whole("resize_shorter", shorter, 1, 2**16, or_else=', "fit" or None')
    recipe = options.get("recipe")
    if isinstance(recipe, str):
        find_recipe(recipe)
    elif not (recipe is None or isinstance(recipe, Recipe)):
        raise ValueError(f"recipe={recipe!r} must be a Recipe, or the name of one")
    cache = options.get("cache_dir")
    if cache is not None:
        check_folder("cache_dir", cache)


def check_fit(
    network: Network,
    source: ImageSource,
    *,
    unit: Unit | str,
    options: Mapping[str, Any],
    recipe: Recipe | str | None,
    hold: float | None,
    step_fraction: float,
    placebo: Imageish | None,
) -> None:
    """Checks whether network, images and options fit each other, before any image is read.

    Args:
      network: of the unit.
      source: the images.
      unit: of the network.
      options: of discovery, by name.
      recipe: as `mfvjax.run_unit`; so are `hold`, `step_fraction` and `placebo`.

    Raises:
      ValueError: they do not, there is no such unit, layer or recipe, or there are too few images.
      FileNotFoundError: there are no such images as `placebo`.
    """
    resolved = network.resolve(unit)
    request_code(network, resolved, options["code_layer"], options["positions"], options["code"])
    grouping = GroupOptions(
        num_facets=options["num_facets"],
        num_mean_images=options["num_mean_images"],
        cluster_space=options["cluster_space"],
        max_facets=options["max_facets"],
        embed=EmbedOptions(
            num_components=options["num_components"],
            perplexity=options["perplexity"],
            start=options["start"],
            method=options["method"],
        ),
    )
    count, fraction = options["top_count"], options["top_fraction"]
    number = len(source)
    if fraction != "all" and (count is not None or fraction is not None):
        number = top_number(number, count=count, fraction=fraction)
    grouping.check_number(number)
    region = visible_region(network, resolved)
    chosen = recipe_of(network, resolved, recipe, hold=hold)
    size = network.input_size if region is None else region.size
    chosen.shortened(step_fraction).for_input(size)
    if placebo is not None:
        open_source(placebo, network=network)


def recipe_of(
    network: Network, unit: Unit, recipe: Recipe | str | None, *, hold: float | None
) -> Recipe:
    """The recipe that runs: as asked for, or the one that suits what is shown.

    Args:
      network: of the unit.
      unit: resolved.
      recipe: a recipe, its name, or ``None``.
      hold: instead of the recipe's own.

    Raises:
      ValueError: there is no such recipe, or `hold` is no weight.
    """
    if recipe is None:
        region = visible_region(network, unit)
        size = network.input_size if region is None else region.size
        domain = network.preprocessing.domain
        recipe = default_recipe(size, domain, is_patch=region is not None)
    elif isinstance(recipe, str):
        recipe = find_recipe(recipe)
    return recipe if hold is None else recipe.holding(hold)


def check_folder(name: str, folder: str | os.PathLike[str]) -> None:
    """Makes a folder if it is missing, and tries whether files can be written there.

    Args:
      name: of the option, for the message.
      folder: its value.

    Raises:
      OSError: it cannot be made, or cannot be written to; the message names the option.
    """
    path = pathlib.Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise type(error)(
            error.errno, f"{name}={os.fspath(folder)!r} cannot be written to ({error.strerror})"
        ) from error


def _check_whole(name: str, value: object, low: int, high: int, *, or_else: str = "") -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not (is_whole and low <= value <= high):  # type: ignore[operator]
        raise ValueError(f"{name}={value!r} must be a whole number from {low} to {high}{or_else}")


def _check_number(name: str, value: object) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value)):  # type: ignore[arg-type]
        raise ValueError(f"{name}={value!r} must be a finite number")
