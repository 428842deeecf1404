"""From images and a unit to its facets with their mean images: Algorithm 1 up to the ascent."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from mfvjax.facets.codes import CodeKind, Codes, check_code, compute_codes
from mfvjax.facets.embed import EmbedOptions, Method, Start, check_map
from mfvjax.facets.grouping import (
    ClusterSpace,
    Grouping,
    GroupOptions,
    canonical_order,
    group_codes,
)
from mfvjax.facets.means import group_rows, mean_images
from mfvjax.facets.origin import origin_of
from mfvjax.facets.patches import load_patches, mean_color
from mfvjax.facets.places import Positions
from mfvjax.facets.reading import FacetNetwork, request_unit
from mfvjax.facets.result import Facets
from mfvjax.facets.top import default_top, too_few_activate, top_images, top_number
from mfvjax.images import Imagelike, ImageSource, SelectedSource, SkippedImage, open_images
from mfvjax.images.batches import OnError
from mfvjax.images.resize import ResizeShorter
from mfvjax.images.unreadable import MAX_UNREADABLE, check_unreadable, describe
from mfvjax.types import Unit

_LOG = logging.getLogger("mfvjax")
_ALL: dict[str, Any] = {"count": None, "fraction": "all"}
_PER_FACET = 5  # images of a hidden unit's pool, as in atlases


def discover_facets(
    network: FacetNetwork,
    images: Imagelike,
    *,
    unit: Unit | str,
    num_facets: int | Literal["auto"] = 10,
    num_mean_images: int = 15,
    top_fraction: float | Literal["all"] | None = None,
    top_count: int | None = None,
    positions: Positions = "inside",
    num_components: int = 50,
    perplexity: float = 30.0,
    start: Start = "pca",
    cluster_space: ClusterSpace = "map",
    max_facets: int = 10,
    method: Method = "jax",
    seed: int = 0,
    code: CodeKind = "activation",
    code_layer: str | None = None,
    batch_size: int = 32,
    resize_shorter: ResizeShorter = "fit",
    warp: bool = False,
    on_error: OnError = "skip",
    max_unreadable: float = MAX_UNREADABLE,
    num_workers: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Facets:
    """Finds the facets of a unit: groups of images that activate it for different reasons.

    Reads the codes of the images, embeds them in the plane (PCA, then t-SNE), divides the map by
    k-means, and takes the mean of the images nearest to each centroid. The same images, network
    and options give the same facets, in whatever order the images come.

    Args:
      network: whose unit it is.
      images: as `open_images`, of the network's domain (``network.preprocessing.domain``: RGB in
        [0, 255], if it does not say otherwise). For a class unit the images of its class; for a
        hidden unit, of any other layer, a pool from which `top_fraction` or `top_count` picks
        those that activate it most; one on which a unit is exactly 0, behind a ReLU that is
        closed, does not activate it.
      unit: such as ``"fc8:945"``, ``"conv4:12"`` (image by image where it is highest) or
        ``"conv4:12@6,6"``, or ``"probes:stripes"`` where units have names.
      num_facets: k, or "auto" to find it, where 1 may be the answer; see ``choose_num_facets``.
      num_mean_images: m, images nearest to the centroid that are averaged; a facet with fewer
        members averages all of them.
      top_fraction: use only this share of the images, those that activate the unit most, or "all"
        as they are. If neither it nor `top_count` is given, all for a class unit, and for a hidden
        unit 2 %, as in the paper, but no fewer than 50 (see ``default_top``).
      top_count: use only so many, instead.
      positions: at which a unit of a map without a position may be highest: "inside", where its
        receptive field lies inside the image, if the map has such positions (see
        ``counted_window``); "all", as in the paper, and many a facet is one of the border.
      num_components: of the PCA, lowered to ``min(n - 1, d)``.
      perplexity: of t-SNE, lowered to a third of the other images.
      start: of t-SNE: "pca" or "random".
      cluster_space: where k-means runs and nearness is measured: in the "map", as in the paper, or
        on the "pca" scores.
      max_facets: the largest number that "auto" considers.
      method: "jax", or "scikit-learn" for its PCA, Barnes-Hut t-SNE and k-means.
      seed: of everything random.
      code: by what images are told apart: "activation" of a layer, or "relevance", what the unit
        makes of the activations of a layer below; see ``compute_codes``.
      code_layer: instead of the one that follows from the unit and `code`.
      batch_size: images in one pass of the network.
      resize_shorter: see ``ResizeRule``.
      warp: see ``ResizeRule``.
      on_error: "skip" or "raise", for unreadable images. Skipped ones are in the result, and the
        log tells of them.
      max_unreadable: the largest share of the images that may be skipped.
      num_workers: decoding threads.
      cache_dir: folder that keeps codes; see ``compute_codes``.
      progress: called with the number of images done and of all, after each batch.

    Returns: the facets, largest first.

    Raises:
      FileNotFoundError: there is no such folder or file.
      MemoryError: the map of so many images does not fit into memory.
      TooManyUnreadableError: more than `max_unreadable` of the images are unreadable.
      UnreadableImageError: an image is unreadable and `on_error` is "raise".
      ValueError: an option is out of range; the unit does not exist; there are fewer images than
        facets, than `num_mean_images` or than 5, or so few of the pool activate the unit; or all
        images have the same code.

    References: Nguyen et al. 2016 (arXiv 1602.03616), Algorithm 1 and the section on hidden units.
    """
    check_code(code)
    options = GroupOptions(
        num_facets=num_facets,
        num_mean_images=num_mean_images,
        cluster_space=cluster_space,
        max_facets=max_facets,
        embed=EmbedOptions(
            num_components=num_components, perplexity=perplexity, start=start, method=method
        ),
        seed=seed,
    )
    reading: dict[str, Any] = {
        "resize_shorter": resize_shorter,
        "warp": warp,
        "num_workers": num_workers,
    }
    scanning: dict[str, Any] = {
        **reading,
        "positions": positions,
        "batch_size": batch_size,
        "on_error": on_error,
        "max_unreadable": max_unreadable,
        "progress": progress,
    }
    source = open_images(images, domain=network.preprocessing.domain)
    top = _top(network, source, unit, top_count, top_fraction, options)
    check_map(len(source) if top == _ALL else top_number(len(source), **top), options.embed)
    pool, skipped = _pool(network, source, unit, top, options, scanning)
    options.check_number(len(pool))
    codes = compute_codes(
        network,
        pool,
        unit=unit,
        code=code,
        code_layer=code_layer,
        cache_dir=cache_dir,
        **scanning,
    )
    # `source` may itself be a selection: indices then are into it.
    if pool is not source and isinstance(pool, SelectedSource):
        whole = np.asarray(pool.indices)[codes.indices]
        codes = dataclasses.replace(codes, indices=whole, skipped=skipped + codes.skipped)
    if codes.skipped:  # codes that were kept from an earlier run may have them too
        check_unreadable(codes.skipped, len(source), max_unreadable)
        _LOG.warning("%s", describe(codes.skipped, len(source)))
    order = canonical_order(codes.codes, codes.activations, codes.names)
    (grouping,) = group_codes([codes.codes], [order], options=options)
    chosen = {
        **dataclasses.asdict(options),
        "top_fraction": top["fraction"],
        "top_count": top["count"],
        "positions": positions,
        "code": code,
        "code_layer": code_layer,
        "resize_shorter": resize_shorter,
        "warp": warp,
    }
    facets = assemble_facets(network, source, codes, grouping, options=chosen, reading=reading)
    origin = origin_of(network, source, facets.indices.tolist())
    return dataclasses.replace(facets, origin=origin)


def _top(
    network: FacetNetwork,
    source: ImageSource,
    unit: Unit | str,
    count: int | None,
    fraction: float | Literal["all"] | None,
    options: GroupOptions,
) -> dict[str, Any]:
    """What `top_images` is asked for, or `_ALL`."""
    request = request_unit(network, unit)
    if fraction == "all":
        if count is not None:
            raise ValueError(f'top_fraction="all" and top_count={count}: give one of them')
        return _ALL
    if count is not None or fraction is not None:
        return {"count": count, "fraction": fraction}
    facets = 1 if options.num_facets == "auto" else options.num_facets
    number = default_top(len(source), least=max(_PER_FACET * facets, options.least_images))
    if network.is_class_layer(request.unit.layer) or number == len(source):
        return _ALL
    _LOG.info(
        "%s is a hidden unit: of %d images the %d that activate it most are taken; other than that "
        "by --top, top_count or top_fraction",
        request.unit,
        len(source),
        number,
    )
    return {"count": number, "fraction": None}


def _pool(
    network: FacetNetwork,
    source: ImageSource,
    unit: Unit | str,
    top: dict[str, Any],
    options: GroupOptions,
    scanning: dict[str, Any],
) -> tuple[ImageSource, tuple[SkippedImage, ...]]:
    """The images whose facets are sought, and those that could not be read on the way."""
    if top == _ALL:
        return source, ()
    (found,) = top_images(network, source, units=[unit], only_active=True, **top, **scanning)
    readable = len(source) - len(found.skipped)
    needed = min(options.least_images, top_number(len(source), **top), readable)
    if len(found.indices) < needed:
        request = request_unit(network, unit, positions=scanning["positions"])
        raise too_few_activate(request, len(found.indices), needed)
    return SelectedSource(source, found.indices), found.skipped


def assemble_facets(
    network: FacetNetwork,
    source: ImageSource,
    codes: Codes,
    grouping: Grouping,
    *,
    options: dict[str, Any],
    reading: dict[str, Any] | None = None,
) -> Facets:
    """Reads the images nearest to each centroid, averages them, and puts everything together.

    Args:
      network: whose unit it is.
      source: the images that ``codes.indices`` point into.
      codes: of one unit.
      grouping: of these codes.
      options: kept as they are; plain values.
      reading: how images are resized and read; see ``load_patches``.

    Raises:
      UnreadableImageError: an image that could be read before cannot be read now.
    """
    rows, groups = group_rows(grouping.nearest)
    patches, valid = load_patches(
        network,
        source,
        codes.unit,
        codes.indices[rows],
        None if codes.positions is None else codes.positions[rows],
        **(reading or {}),
    )
    return Facets(
        unit=codes.unit,
        code_layer=codes.layer,
        names=codes.names,
        indices=codes.indices,
        activations=codes.activations,
        positions=codes.positions,
        mean_images=mean_images(patches, valid, groups, fill=mean_color(network)),
        options=options,
        skipped=codes.skipped,
        domain=source.domain,
        **{field.name: getattr(grouping, field.name) for field in dataclasses.fields(grouping)},
    )
