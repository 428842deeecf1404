"""Doing a stored run again, from what it wrote down about itself."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from mfvjax.facets.result import Facets
from mfvjax.images import ImageSource
from mfvjax.images.sources import joint_fingerprint
from mfvjax.network import Network
from mfvjax.network.python_address import is_python_address
from mfvjax.pipeline.checks import check_values
from mfvjax.pipeline.run_unit import ProgressFn, run_unit
from mfvjax.pipeline.sources import directions_written_down
from mfvjax.recipe import Recipe
from mfvjax.recipes import RECIPES
from mfvjax.run import Run

_DISCOVERY = {
    "top_fraction",
    "top_count",
    "positions",
    "code",
    "code_layer",
    "num_mean_images",
    "num_components",
    "perplexity",
    "start",
    "cluster_space",
    "max_facets",
    "method",
    "resize_shorter",
    "warp",
    "on_error",
    "batch_size",
}
_STORED = {
    "network",
    "images",
    "unit",
    "num_facets",
    "discovery",
    "recipe",
    "schedule",  # what recipes were called in version 0.1
    "step_fraction",
    "hold",
    "controls",
    "placebo",
    "seed",
    "precision",
    "directions",
    "max_pixels",
}
_RECORDED = {"recipe_sha256", "directions_sha256", "images_sha256", "unreadable"}


def replay(run: Run, *, progress: ProgressFn | None = None, **changes: Any) -> Run:
    """Runs again with the options of `run`, and checks that network and images are the same.

    That is checked before the ascent, which takes most of the time.

    A run may come from anyone. Its options are those of `run_unit`, or it is refused; none of them
    names a place to write to. Where it names a function to be called for its network
    (``"python:package.module:function"``), that is called only if it is given again here.

    Args:
      run: a stored run.
      progress: as in `run_unit`.
      **changes: options that replace the stored ones: `network` or `images`, say, where they have
        moved to another place.

    Raises:
      FileNotFoundError: the network, the images or the file of directions are not where they were.
      ValueError: the run was made from objects in memory that were not given now, or the network,
        the directions, the images or the recipe have changed since, or the run names a function
        for its network, or an option that is none.
    """
    stored = _checked(run.options)
    expected_images = stored.pop("images_sha256", None)
    stored.pop("unreadable", None)
    # Runs of version 0.1 read hidden units at all positions, and all images where none were chosen.
    discovery = {"positions": "all", **stored.pop("discovery", {})}
    if not {"top_fraction", "top_count"} & discovery.keys():
        discovery["top_fraction"] = "all"
    # However many images could not be read: whether they are the same is told below.
    options = {"max_unreadable": 1.0, **stored, **discovery, **changes}
    expected_recipe = options.pop("recipe_sha256", None)  # runs of version 0.1 have none
    if "schedule" in options:  # what recipes were called in runs of version 0.1
        options.setdefault("recipe", options.pop("schedule"))
    for name in ("network", "images"):
        if options.get(name) is None:
            raise ValueError(
                f"the run does not say where its {name} came from; give {name}=... to replay it"
            )
    if "unit" not in options:
        raise ValueError("the run's options do not say of which unit it is")
    if "network" not in changes:
        _refuse_code(options["network"])
    _check_recipe(options.get("recipe"), expected_recipe)
    _check_directions(options.get("directions"), options.pop("directions_sha256", None))
    check_values(options)
    network, images = options.pop("network"), options.pop("images")
    if "images" not in changes:
        _check_there(images)

    def compare(opened: Network, source: ImageSource, facets: Facets) -> None:
        if opened.fingerprint != run.network["fingerprint"]:
            raise ValueError(
                f"network {network!r} has changed since the run: its fingerprint was "
                f"{run.network['fingerprint'][:16]} and is {opened.fingerprint[:16]}"
            )
        if joint_fingerprint(source, facets.indices.tolist()) != expected_images:
            raise ValueError(f"the images in {images!r} are not those of the run")

    return run_unit(network, images, progress=progress, on_facets=compare, **options)


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    """The stored options, if all are names of options that a run writes down."""
    discovery = options.get("discovery", {})
    if not isinstance(discovery, dict):
        raise ValueError(f"the run's option discovery is {discovery!r}, not options by name")
    for name in options.keys() - _STORED - _RECORDED - _DISCOVERY:
        raise ValueError(_unknown(name))
    for name in discovery.keys() - _DISCOVERY:
        raise ValueError(_unknown(f"discovery.{name}"))
    for name in ("network", "images", "placebo", "directions", "unit"):
        if not isinstance(options.get(name, ""), str | None):
            raise ValueError(f"the run's option {name} is {options[name]!r}, not text")
    return dict(options)


def _unknown(name: str) -> str:
    return (
        f"the run has an option {name!r}, which runs do not write down: it was changed, or written "
        "by a newer mfvjax"
    )


def _check_there(images: object) -> None:
    """Says how to go on where a folder is not where the run was made from."""
    is_path = isinstance(images, str) and ":" not in images
    if is_path and not os.path.exists(images):  # type: ignore[arg-type]
        where = "" if os.path.isabs(images) else f" (sought in {os.getcwd()})"  # type: ignore[arg-type]
        raise FileNotFoundError(
            f"the images of the run, {images!r}, are not there{where}: say where they are now, by "
            "images=... or --images"
        )


def _refuse_code(network: object) -> None:
    """Refuses to run code that only the run's folder asks for."""
    if is_python_address(network):
        raise ValueError(
            f"the run's network is {network!r}: opening it runs code, which a run folder must not "
            f"do by itself; if you trust it, name it yourself: network={network!r}, or --network"
        )


def _check_recipe(recipe: Recipe | str | None, expected: str | None) -> None:
    """Refuses a recipe of the same name with other values, before any work."""
    if recipe is None or expected is None:
        return
    known = RECIPES.get(recipe) if isinstance(recipe, str) else recipe
    if known is None or known.sha256 != expected:
        raise ValueError(
            f"recipe {getattr(recipe, 'name', recipe)!r} is not the run's: it has changed "
            "since, or the run's was one of your own; give recipe=... as it was"
        )


def _check_directions(file: str | os.PathLike[str] | None, expected: str | None) -> None:
    """Refuses a file of directions that has changed, before any work."""
    found = directions_written_down(file).get("directions_sha256")
    if expected is not None and found != expected:
        raise ValueError(f"directions {str(file)!r} are not those of the run: the file has changed")


def largest_difference(one: Run, other: Run) -> float:
    """The largest difference of any pixel of any facet, in its units; inf if shapes differ."""
    if one.shown.images.shape != other.shown.images.shape:
        return float("inf")
    return float(np.abs(one.shown.images - other.shown.images).max())
