"""The main job: every facet of one unit, from images to a `Run`."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from mfvjax.ascent import visualize
from mfvjax.facets.codes import CodeKind
from mfvjax.facets.discover import discover_facets
from mfvjax.facets.embed import Method, Start
from mfvjax.facets.grouping import ClusterSpace
from mfvjax.facets.places import Positions
from mfvjax.facets.result import Facets
from mfvjax.images import ImageSource
from mfvjax.images.batches import OnError
from mfvjax.images.decode import MAX_PIXELS
from mfvjax.images.resize import ResizeShorter
from mfvjax.images.unreadable import MAX_UNREADABLE
from mfvjax.network import Network
from mfvjax.pipeline.assemble import assemble_run, read_pictures
from mfvjax.pipeline.checks import check_fit, check_values, recipe_of
from mfvjax.pipeline.origin import check_origin
from mfvjax.pipeline.placebo import find_placebo
from mfvjax.pipeline.provenance import Stopwatch
from mfvjax.pipeline.scoring import score
from mfvjax.pipeline.sources import (
    Imageish,
    directions_written_down,
    open_network,
    open_source,
    written_down,
)
from mfvjax.pipeline.targets import plan_ascent
from mfvjax.recipe import Recipe
from mfvjax.run import Run
from mfvjax.types import Unit

ProgressFn: TypeAlias = Callable[[str, int, int], None]
FacetsFn: TypeAlias = Callable[[Network, ImageSource, Facets], None]


def run_unit(
    network: Network | str | os.PathLike[str],
    images: Imageish,
    *,
    unit: Unit | str,
    num_facets: int | Literal["auto"] = 10,
    top_fraction: float | Literal["all"] | None = None,
    top_count: int | None = None,
    positions: Positions = "inside",
    code: CodeKind = "activation",
    code_layer: str | None = None,
    num_mean_images: int = 15,
    num_components: int = 50,
    perplexity: float = 30.0,
    start: Start = "pca",
    cluster_space: ClusterSpace = "map",
    max_facets: int = 10,
    method: Method = "jax",
    recipe: Recipe | str | None = None,
    step_fraction: float = 1.0,
    hold: float | None = None,
    controls: bool = True,
    placebo: Imageish | None = None,
    seed: int = 0,
    precision: str = "float32",
    directions: str | os.PathLike[str] | None = None,
    resize_shorter: ResizeShorter = "fit",
    warp: bool = False,
    on_error: OnError = "skip",
    max_unreadable: float = MAX_UNREADABLE,
    max_pixels: int | None = None,
    batch_size: int = 32,
    num_workers: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: ProgressFn | None = None,
    on_facets: FacetsFn | None = None,
) -> Run:
    """Finds the facets of a unit among images and visualizes each of them.

    Algorithm 1 of the paper: codes, PCA, t-SNE, k-means, mean images, then activation maximization
    from each mean image, all facets in one compiled call per phase; then scores, with controls.

    Args:
      network: whose unit it is: a `Network`, or a file or name that `Network.load` takes.
      images: those that activate the unit, of a class, say: a folder, files, arrays,
        ``"tfds:NAME/SPLIT"`` (see `mfvjax.images.open_images`) or ``"facetworld:CLASS"``. For a
        hidden unit a pool, of which those that activate it most are taken.
      unit: ``"fc8:945"``, ``"conv4:12"``; of an added layer also by name, ``"probes:stripes"``.
      num_facets: k, or "auto" to find it, up to `max_facets`.
      top_fraction: use only this share of the images, those that activate the unit most, or "all"
        as they are; by default all for a class unit and, as in the paper, 2 % for a hidden one, but
        no fewer than 50.
      top_count: use only so many, instead.
      positions: where a hidden unit may be strongest: "inside" the image, or "all".
      code: by what images are told apart: "activation", or "relevance", what the unit makes of the
        activations of a layer below.
      code_layer: of the codes; if ``None`` the one that follows from unit and `code`.
      num_mean_images: images nearest to a facet's centroid, whose mean is its start.
      num_components: of the PCA.
      perplexity: of t-SNE.
      start: of t-SNE, "pca" or "random".
      cluster_space: where k-means runs, on the "map" or on the "pca" scores.
      max_facets: the largest number that "auto" considers.
      method: "jax" or "scikit-learn", for PCA, t-SNE and k-means. Of all options from
        `top_fraction` to this one see `mfvjax.facets.discover.discover_facets`.
      recipe: a `Recipe`, or the name of one of `mfvjax.recipes`; if ``None``, the one that suits
        the size of what is shown, see `mfvjax.recipes.default_recipe`.
      step_fraction: of the recipe's steps that are taken in each phase, in (0, 1].
      hold: weight of the term that holds each code near its facet, instead of the recipe's own; 0
        for none; see `mfvjax.pipeline.targets.plan_ascent`.
      controls: whether to make the pictures beside the facets' that tell what each part of the
        objective does, see `mfvjax.run.Controls`; one from noise is made in any case.
      placebo: images of something else for one of them, as `images`; by default what is at hand,
        see `mfvjax.pipeline.placebo.find_placebo`.
      seed: of everything random; the same seed gives the same run.
      precision: "float32", "tensorfloat32" or "bfloat16"; see `Network.with_precision`.
      directions: a file of directions that become units of the network, see
        `mfvjax.network.directions.load_directions`; others by `Network.with_directions`.
      resize_shorter: how images are resized, see `mfvjax.images.resize.ResizeRule`; so is
      warp: whether their aspect ratio is lost.
      on_error: "skip" or "raise", for unreadable images; the run names those that were skipped.
      max_unreadable: the largest share of the images that may be skipped.
      max_pixels: of an image file, unless it is a JPEG, which is decoded smaller; see
        `mfvjax.images.Decoding`.
      batch_size: images in one pass of the network.
      num_workers: threads that decode images.
      cache_dir: folder that keeps codes for the next run.
      progress: called with (step, done, in all).
      on_facets: called with the network, the opened images and the facets once these are found;
        what it raises ends the run before the ascent.

    Raises:
      FileNotFoundError, PermissionError: the network, the images or `placebo` are not there, or
        `cache_dir` cannot be written to.
      ValueError: an option, the unit, or the images do not fit; the message says what would. What
        can be known of that before an image is read is told before.
    """
    discovery: dict[str, Any] = {
        "top_fraction": top_fraction,
        "top_count": top_count,
        "positions": positions,
        "code": code,
        "code_layer": code_layer,
        "num_mean_images": num_mean_images,
        "num_components": num_components,
        "perplexity": perplexity,
        "start": start,
        "cluster_space": cluster_space,
        "max_facets": max_facets,
        "method": method,
        "resize_shorter": resize_shorter,
        "warp": warp,
        "on_error": on_error,
        "batch_size": batch_size,
    }
    others: dict[str, Any] = {
        "recipe": recipe,
        "step_fraction": step_fraction,
        "hold": hold,
        "controls": controls,
        "seed": seed,
    }
    reading: dict[str, Any] = {
        "num_workers": num_workers,
        "cache_dir": cache_dir,
        "max_unreadable": max_unreadable,
    }
    whole = {**discovery, "num_facets": num_facets}
    check_values({**whole, **others, **reading, "max_pixels": max_pixels})
    watch = Stopwatch()
    opened = open_network(network, precision=precision, directions=directions)
    source = open_source(images, network=opened, max_pixels=max_pixels)
    check_fit(
        opened,
        source,
        unit=unit,
        options=whole,
        recipe=recipe,
        hold=hold,
        step_fraction=step_fraction,
        placebo=placebo,
    )
    with watch("discovery"):
        facets = discover_facets(
            opened,
            source,
            unit=unit,
            num_facets=num_facets,
            seed=seed,
            progress=_step(progress, "reading codes"),
            **reading,
            **discovery,
        )
    if on_facets is not None:
        on_facets(opened, source, facets)
    run = _run_facets(opened, images, source, facets, placebo=placebo, progress=progress, **others)
    # How many images were taken in the end, whatever rule a later version has.
    taken = {name: facets.options[name] for name in ("top_fraction", "top_count")}
    options = {
        "network": written_down(network),
        **directions_written_down(directions),
        "images": written_down(images),
        "unit": str(unit),
        "num_facets": num_facets,
        "discovery": _written_down({**discovery, **taken}),
        **({} if max_pixels is None else {"max_pixels": max_pixels}),
        **run.options,
    }
    return dataclasses.replace(run, options=options, timings={**watch.seconds, **run.timings})


def run_facets(
    network: Network,
    images: Imageish,
    facets: Facets,
    *,
    recipe: Recipe | str | None = None,
    step_fraction: float = 1.0,
    hold: float | None = None,
    controls: bool = True,
    placebo: Imageish | None = None,
    seed: int = 0,
    progress: ProgressFn | None = None,
) -> Run:
    """Visualizes facets that were found before; `images` are those they were found among.

    Options as `run_unit`.

    Raises:
      OtherOriginError: the facets were found with another network or among other images.
      ValueError: as `run_unit`.
    """
    check_values(
        {
            "recipe": recipe,
            "step_fraction": step_fraction,
            "hold": hold,
            "controls": controls,
            "seed": seed,
        }
    )
    if placebo is not None:
        open_source(placebo, network=network)
    limit = None if facets.origin is None else facets.origin.max_pixels
    source = open_source(images, network=network, max_pixels=None if limit == MAX_PIXELS else limit)
    check_origin(network, source, facets)
    return _run_facets(
        network,
        images,
        source,
        facets,
        recipe=recipe,
        step_fraction=step_fraction,
        hold=hold,
        controls=controls,
        placebo=placebo,
        seed=seed,
        progress=progress,
    )


def _run_facets(
    network: Network,
    images: Imageish,
    source: ImageSource,
    facets: Facets,
    *,
    recipe: Recipe | str | None,
    step_fraction: float,
    hold: float | None,
    controls: bool,
    placebo: Imageish | None,
    seed: int,
    progress: ProgressFn | None,
) -> Run:
    """`run_facets`, with `images` opened as `source`."""
    watch = Stopwatch()
    chosen = choose_recipe(network, facets, recipe, hold=hold)
    with watch("reading images"):
        pictures = read_pictures(network, source, facets)
        needs_placebo = controls and chosen.objective.needs_references
        other = (
            find_placebo(network, facets, images, source, given=placebo) if needs_placebo else None
        )
    with watch("references"):
        plan = plan_ascent(
            network,
            facets,
            objective=chosen.objective,
            references=pictures.nearest,
            seed=seed,
            controls=controls,
            placebo=other,
        )
    with watch("ascent"):
        result = visualize(
            network,
            plan.objectives,
            plan.starts,
            recipe=chosen if step_fraction == 1 else chosen.shortened(step_fraction),
            key=seed,
            region=plan.region,
            groups=plan.groups,
            progress=_step(progress, "ascent"),
        )
    with watch("scores"):
        scores = score(network, facets, plan, result, pictures.nearest)
    return assemble_run(
        network,
        facets,
        plan,
        pictures,
        result,
        scores,
        options={
            "recipe": chosen.name,
            "recipe_sha256": chosen.sha256,
            "step_fraction": step_fraction,
            "hold": chosen.objective.hold,
            "controls": controls,
            "placebo": written_down(placebo),
            "seed": seed,
        },
        timings=dict(watch.seconds),
    )


def choose_recipe(
    network: Network, facets: Facets, recipe: Recipe | str | None, *, hold: float | None
) -> Recipe:
    """The recipe that runs: as asked for, or the one that suits what is shown.

    Args:
      network: of the unit.
      facets: of the unit.
      recipe: a recipe, its name, or ``None``.
      hold: instead of the recipe's own.

    Raises:
      ValueError: there is no such recipe, or `hold` is no weight.
    """
    return recipe_of(network, network.resolve(facets.unit), recipe, hold=hold)


def _written_down(discovery: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are not discovery's own, which a later version may change; and positions."""
    known = inspect.signature(discover_facets).parameters
    return {
        name: value
        for name, value in discovery.items()
        if name == "positions" or value != known[name].default
    }


def _step(progress: ProgressFn | None, step: str) -> Callable[[int, int], None] | None:
    return None if progress is None else functools.partial(progress, step)
