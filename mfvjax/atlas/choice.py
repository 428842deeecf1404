"""Which images of a pool the facets of each unit are sought among."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int

from mfvjax.facets.places import Positions
from mfvjax.images import ImageSource
from mfvjax.images.classes import class_labels, images_by_label
from mfvjax.network import Network
from mfvjax.types import Unit


@dataclasses.dataclass(frozen=True, eq=False)
class Choice:
    """The images of one unit.

    Attributes:
      unit: as it was asked for.
      label: of its class in the pool, or ``None``.
      indices: of the images of that class; ``None`` where the images that activate the unit most
        are taken.
      count: how many these are, at most: an image on which the unit is 0 does not activate it.
      needed: of these, at least.
      positions: of its map at which the unit may be strongest; see `discover_facets`.
    """

    unit: str
    label: str | None = None
    indices: Int[np.ndarray, " n"] | None = None
    count: int = 0
    needed: int = 0
    positions: Positions = "inside"


def choose_images(
    network: Network,
    source: ImageSource,
    units: Sequence[str],
    *,
    num_facets: int | Literal["auto"],
    num_mean_images: int,
    top_fraction: float,
    top_count: int | None = None,
    class_ids: Sequence[str] | None = None,
    positions: Positions = "inside",
) -> list[Choice]:
    """For a class unit the images of its class, otherwise those that activate the unit most.

    A class unit whose class the pool does not tell, or has fewer images of than are needed, is
    treated as any other unit: `top_fraction` of the pool is taken. Needed are five images per facet
    and as many as a mean image averages; no share of the pool is smaller.

    Args:
      network: of the units.
      source: the pool.
      units: of any layers.
      num_facets: of each unit.
      num_mean_images: averaged for each facet.
      top_fraction: of the pool; the paper's is 0.02.
      top_count: a number instead.
      class_ids: of the classes; see `mfvjax.images.classes.class_labels`.
      positions: see `Choice`.

    Raises:
      ValueError: `top_fraction` or `top_count` is out of range, or the pool has fewer images than
        are needed.
    """
    if not 0 < top_fraction <= 1:
        raise ValueError(f"top_fraction={top_fraction} must be in (0, 1]; the top 2 % are 0.02")
    needed = max(5 * (1 if num_facets == "auto" else num_facets), num_mean_images)
    if len(source) < needed:
        raise ValueError(
            f"the pool has {len(source)} images; at least {needed} are needed, five per facet and "
            f"{num_mean_images} for a mean image"
        )
    count = max(round(top_fraction * len(source)), needed) if top_count is None else top_count
    if not needed <= count <= len(source):
        raise ValueError(
            f"top_count={count} must be from {needed} to the {len(source)} images of the pool"
        )
    found, labels = _classes(network, source, class_ids)
    choices = []
    for text in units:
        unit = Unit.parse(text)
        label = labels[unit.index] if network.is_class_layer(unit.layer) else None
        if label is None or len(found[label]) < needed:
            choices.append(Choice(text, count=count, needed=needed, positions=positions))
        else:
            images = np.array(found[label], np.int64)
            choices.append(Choice(text, label, images, positions=positions))
    return choices


def _classes(
    network: Network, source: ImageSource, class_ids: Sequence[str] | None
) -> tuple[dict[str, list[int]], list[str | None]]:
    found = images_by_label(source)
    labels = class_labels(
        network.class_names, found, num_classes=network.num_classes, ids=class_ids
    )
    return found, labels
