"""What the ascent of a unit's facets starts from, and what it climbs."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from mfvjax.ascent.scene import from_levels
from mfvjax.facets.patches import mean_color
from mfvjax.facets.result import Facets
from mfvjax.network import Network
from mfvjax.objective import Objective, OwnFacet, Where, unit_objective
from mfvjax.types import PixelBox, Unit

# Random start of the release: normal, mean 175 and standard deviation 8, per pixel and channel, in
# levels: 0 to 255 over the range of the images.
_NOISE_MEAN, _NOISE_STD = 175.0, 8.0
_CERTAINTY = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class AscentPlan:
    """One batch for `mfvjax.ascent.engine`: k facets and one control that starts from noise.

    Attributes:
      unit: with its position, if it is one of a map.
      objectives: ``k + 1``, the last one the unit alone.
      starts: ``(k + 1, h, w, channels)``, the mean images, then noise.
      region: the part of the network's input that is visualized; ``None`` for all of it.
    """

    unit: Unit
    objectives: list[Objective]
    starts: Float32[np.ndarray, "facets h w c"]
    region: PixelBox | None

    @property
    def groups(self) -> list[int]:
        """Facets that terms may take together: the control is not among them."""
        return [0] * (len(self.starts) - 1) + [1]


def plan_ascent(network: Network, facets: Facets, *, hold: float, seed: int) -> AscentPlan:
    """Starts and objectives for the facets of a unit.

    A unit alone often leaves its facet: whatever the start, it climbs to the same few patterns.
    The term that holds it is the log-probability of the own facet (`mfvjax.objective.OwnFacet`)
    with the centroids of the real images' codes, times ``hold * std(activations)`` over the real
    images. Its temperature is such that a code on its own centroid is `_CERTAINTY` nats from the
    mean other one: where a code clearly is its facet's, nothing holds it back. The term is this
    library's, not the paper's; ``hold=0`` is the paper's objective.

    Args:
      network: of the unit.
      facets: of the unit, found with `network`.
      hold: weight of the term, 0 or more.
      seed: of the control's noise.

    Raises:
      ValueError: `hold` is negative.
    """
    if not hold >= 0:
        raise ValueError(f"hold={hold} must be 0 (the paper's objective) or more")
    unit = network.resolve(facets.unit)
    alone = unit_objective(unit)
    objectives = [alone + term for term in _held(network, facets, unit, hold)]
    objectives = objectives or [alone] * facets.num_facets
    names = [f"facet {number} of {unit}" for number in range(1, facets.num_facets + 1)]
    names.append(f"the control from noise of {unit}")
    objectives = [
        dataclasses.replace(objective, name=name)
        for objective, name in zip([*objectives, alone], names, strict=True)
    ]
    region, starts = _region_and_starts(network, facets, unit)
    noise = _NOISE_MEAN + _NOISE_STD * jax.random.normal(jax.random.key(seed), starts.shape[1:])
    noise = from_levels(jnp.clip(noise, 0, 255), network.preprocessing)
    starts = np.concatenate([starts, np.asarray(noise)[None]])
    return AscentPlan(unit, objectives, starts, region)


def code_place(network: Network, facets: Facets, unit: Unit) -> Where:
    """Where in the code layer a code is read: a class unit's map is averaged, as the codes were."""
    if facets.code_layer != unit.layer:
        return "mean"
    return unit.position or "center"


def _held(network: Network, facets: Facets, unit: Unit, hold: float) -> list[Objective]:
    """The holding term of each facet; none where there is nothing to hold apart."""
    count = facets.num_facets
    if hold == 0 or count < 2:
        return []
    centroids = facets.code_centroids.astype(np.float64)
    scale = hold * float(np.std(facets.activations))
    place = code_place(network, facets, unit)
    terms = []
    for k in range(count):
        others = np.delete(centroids, k, axis=0)
        apart = float(np.mean(np.sum((others - centroids[k]) ** 2, axis=1)))
        temperature = apart / (2 * _CERTAINTY) or 1.0  # centroids may coincide
        term = OwnFacet(facets.code_layer, centroids, k, temperature, place, scale)
        terms.append(Objective((term,)))
    return terms


def _region_and_starts(
    network: Network, facets: Facets, unit: Unit
) -> tuple[PixelBox | None, Float32[np.ndarray, "k h w c"]]:
    """The visible part of the unit's receptive field, and the mean images cut to it."""
    domain = network.preprocessing.domain
    starts = np.clip(facets.mean_images, domain.low, domain.high).astype(np.float32)
    if unit.position is None:
        return None, starts
    box = network.receptive_field(unit)
    seen = box.clip(network.input_size)
    # A mean image is as large as the field, or as the image where the field is longer than it.
    top = 0 if box.size[0] >= network.input_size[0] else seen.top - box.top
    left = 0 if box.size[1] >= network.input_size[1] else seen.left - box.left
    starts = starts[:, top : top + seen.size[0], left : left + seen.size[1]]
    whole = seen.size == network.input_size
    return (None if whole else seen), starts


def full_images(
    network: Network, windows: Float[np.ndarray, "b h w c"], region: PixelBox | None
) -> Float32[np.ndarray, "b height width c"]:
    """Network inputs that show `windows` in `region`, the network's mean color around."""
    if region is None:
        return windows.astype(np.float32)
    images = np.empty((len(windows), *network.input_size, windows.shape[-1]), np.float32)
    images[:] = np.asarray(mean_color(network), np.float32)
    images[:, region.top : region.bottom, region.left : region.right] = windows
    return images
