"""From what was found and visualized to the `Run` that is stored."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num, UInt8

from mfvjax.ascent import Visualization
from mfvjax.facets.means import group_rows, pick
from mfvjax.facets.patches import load_patches
from mfvjax.facets.result import Facets
from mfvjax.images import ImageSource, ResizeRule, iterate_batches, load_images
from mfvjax.images.sources import joint_fingerprint
from mfvjax.images.unreadable import record_unreadable
from mfvjax.network import Network
from mfvjax.pipeline.provenance import versions
from mfvjax.pipeline.scoring import Scores, center_crops, unit_activations
from mfvjax.pipeline.targets import CONTROL_FACET, AscentPlan
from mfvjax.run import Controls, FacetImages, FacetRecords, RealImages, Run
from mfvjax.types import Unit

_THUMBNAIL_PX = 48


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """What a run keeps of the real images.

    Attributes:
      nearest: ``(k, m, h, w, c)``; see `mfvjax.run.FacetRecords`.
      real: all of them, small.
      sha256: of the names and contents of all.
      num_pool: images of the source, used or not.
    """

    nearest: Num[np.ndarray, "k m h w c"]
    real: RealImages
    sha256: str
    num_pool: int


def read_pictures(network: Network, source: ImageSource, facets: Facets) -> Pictures:
    """Reads the images of `facets` from the source in which they were found, resized as then.

    Raises:
      UnreadableImageError: an image that could be read before cannot be read now.
      ValueError: the facets were found among images of another domain than the network's.
    """
    domain = network.preprocessing.domain
    if facets.domain != domain:
        raise ValueError(
            f"the facets are of images in {facets.domain}, but {network.name!r} takes {domain}"
        )
    return Pictures(
        nearest_images(network, source, facets),
        _real_images(network, source, facets),
        joint_fingerprint(source, facets.indices.tolist()),
        len(source),
    )


def assemble_run(
    network: Network,
    facets: Facets,
    plan: AscentPlan,
    pictures: Pictures,
    result: Visualization,
    scores: Scores,
    *,
    options: dict[str, Any],
    timings: dict[str, float],
) -> Run:
    """The run of one unit; `result` holds its facets and then the controls.

    Args:
      network: of the unit.
      facets: of the unit.
      plan: what was climbed.
      pictures: of `facets`.
      result: of `plan`.
      scores: of `result`.
      options: what a replay needs, as far as it is not known from the rest.
      timings: seconds of each step.
    """
    return Run(
        unit=str(plan.unit),
        title=title_of(network, plan.unit),
        network={
            "name": network.name,
            "fingerprint": network.fingerprint,
            "input_size": list(network.input_size),
            "code_layer": facets.code_layer,
            **_added(network, plan.unit),
        },
        options={
            **options,
            "precision": network.compute_dtype,
            "images_sha256": pictures.sha256,
            **_unreadable(facets, pictures),
        },
        versions=versions(),
        timings=timings,
        real=pictures.real,
        facets=FacetRecords(
            sizes=facets.sizes,
            homogeneity=facets.homogeneity,
            centroids=facets.centroids,
            nearest=facets.nearest,
            nearest_images=pictures.nearest,
            mean_images=facets.mean_images.astype(np.float32),
        ),
        shown=_shown(network, result, scores.per_facet["activation"]),
        scores=scores.per_facet,
        summary=scores.summary,
        domain=network.preprocessing.domain,
        controls=_controls(network, plan, result, scores),
    )


def _unreadable(facets: Facets, pictures: Pictures) -> dict[str, Any]:
    """What of the images could not be read; nothing where all could be."""
    if not facets.skipped:
        return {}
    options = facets.options
    is_ranked = options.get("top_count") or options.get("top_fraction") not in (None, "all")
    number = pictures.num_pool if is_ranked else len(facets.names) + len(facets.skipped)
    return {"unreadable": record_unreadable(facets.skipped, number)}


def _controls(
    network: Network, plan: AscentPlan, result: Visualization, scores: Scores
) -> Controls:
    """What was made beside the facets, and first the start of the one in whose place it was."""
    k, facet = plan.num_facets, CONTROL_FACET
    start = plan.starts[facet][None]
    made = center_crops(result.images[k:], (start.shape[1], start.shape[2]))
    at_start = unit_activations(network, plan, start)
    return Controls(
        names=("start", *(name for name, _ in plan.controls)),
        about=(f"The mean image of facet {facet + 1}, untouched.", *(s for _, s in plan.controls)),
        facet=facet,
        images=np.concatenate([start, made]).astype(np.float32),
        activations=np.concatenate([at_start, scores.activations[k:]]).astype(np.float32),
    )


def title_of(network: Network, unit: Unit) -> str:
    """A class unit's class; else the unit or its name, with its position only if it is a choice."""
    if network.is_class_layer(unit.layer) and network.class_names is not None:
        return network.class_name(unit.index)
    anywhere = Unit(unit.layer, unit.index)
    shown = str(anywhere if network.resolve(anywhere) == unit else unit)
    names = network.layers[unit.layer].unit_names
    return shown if names is None else shown.replace(str(anywhere), names[unit.index], 1)


def _added(network: Network, unit: Unit) -> dict[str, str]:
    """What there is to know of added layers: the network without, and what the unit reads."""
    found = {}
    if network.model_fingerprint != network.fingerprint:
        found["model_fingerprint"] = network.model_fingerprint
    base = network.layers[unit.layer].base
    if base is not None:
        found["base"] = base
    return found


def _rule(network: Network, facets: Facets) -> ResizeRule:
    """How the images were resized when the facets were found."""
    options = facets.options
    return ResizeRule(
        network.input_size, options.get("resize_shorter", "fit"), options.get("warp", False)
    )


def nearest_images(
    network: Network, source: ImageSource, facets: Facets
) -> Num[np.ndarray, "k m h w c"]:
    """The real images (a map's unit: their patches) nearest to each centroid."""
    rule = _rule(network, facets)
    rows, groups = group_rows(facets.nearest)
    positions = None if facets.positions is None else facets.positions[rows]
    patches, _ = load_patches(
        network,
        source,
        facets.unit,
        facets.indices[rows],
        positions,
        resize_shorter=rule.resize_shorter,
        warp=rule.warp,
    )
    return pick(patches, groups, blank=source.domain.low)


def _real_images(network: Network, source: ImageSource, facets: Facets) -> RealImages:
    return RealImages(
        names=facets.names,
        activations=facets.activations.astype(np.float32),
        map=facets.map,
        assignment=facets.assignment,
        thumbnails=_thumbnails(source, facets.indices, _rule(network, facets)),
    )


def _thumbnails(
    source: ImageSource, indices: Int[np.ndarray, " n"], rule: ResizeRule
) -> UInt8[np.ndarray, "n t t c"]:
    """Small copies of what the network saw of each image, in 256 levels.

    Of pictures the central square; other images, whose axes are not alike, are squeezed into it.
    Only photographs are ever enlarged.
    """
    domain = source.domain
    if domain.is_color and rule == ResizeRule(rule.size):  # at once, without a step between
        images, _ = load_images(source, indices, size=(_THUMBNAIL_PX, _THUMBNAIL_PX))
        return domain.levels(images)
    side = _THUMBNAIL_PX if domain.is_color else min(_THUMBNAIL_PX, *rule.size)
    shrink = ResizeRule((side, side), warp=not domain.is_picture)
    batches = iterate_batches(
        source,
        size=rule.size,
        batch_size=64,
        indices=indices,
        resize_shorter=rule.resize_shorter,
        warp=rule.warp,
        on_error="raise",
    )
    small = [shrink.apply(image) for batch in batches for image in batch.images[: batch.count]]
    return domain.levels(np.stack(small))


def _shown(
    network: Network, result: Visualization, activations: Float[np.ndarray, " k"]
) -> FacetImages:
    """The result without its control; `activations` of the unit, without the holding term."""
    k = len(activations)
    names = tuple(
        tuple(network.class_name(int(index)) for index in row) for row in result.top_classes[:k]
    )
    return FacetImages(
        images=result.images[:k],
        phase_images=tuple(images[:k] for images in result.phase_images),
        phase_ends=result.phase_ends,
        activations=result.activations[:k],
        final_activations=activations.astype(np.float32),
        top_classes=result.top_classes[:k],
        top_class_names=names,
        top_scores=result.top_scores[:k],
        stopped_at=result.stopped_at[:k],
    )
