"""Names, units and meaning of the numbers that a run stores, for pages and tables."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Literal

from mfvjax.domain import RGB, Domain


@dataclasses.dataclass(frozen=True)
class Metric:
    """One number, as people read it.

    Attributes:
      title: short, for the head of a column.
      unit: behind the number; empty for a number without one.
      better: the direction to wish for; None where neither is better.
      definition: one or two sentences.
      whole_run: whether it is one number of the whole run (`Run.summary`) instead of one per
        facet (`Run.scores`).
    """

    title: str
    unit: str
    better: Literal["higher", "lower"] | None
    definition: str
    whole_run: bool = False


METRICS: Mapping[str, Metric] = types.MappingProxyType(
    {
        "activation": Metric(
            "activation",
            "",
            "higher",
            "The unit's activation on the center crop of the visualization.",
        ),
        "activation_ratio": Metric(
            "activation / largest real",
            "",
            None,
            "The activation as a multiple of the largest that a real image reaches.",
        ),
        "activation_percentile": Metric(
            "activation percentile",
            "%",
            "higher",
            "Percentage of the real images with a lower activation.",
        ),
        "facet_recall": Metric(
            "recalled by own code",
            "",
            "higher",
            "1 if the visualization's code, read from the very network that it was made for, is "
            "nearer to the centroid of its own facet's real images than to any other facet's, "
            "else 0. A recipe that climbs this code makes it 1; a judge says more.",
        ),
        "facet_margin": Metric(
            "own margin",
            "",
            "higher",
            "Distance of the own network's code to the nearest other centroid less that to its "
            "own, over the distance between the two: 1 on its own centroid, -1 on the other.",
        ),
        "code_retention": Metric(
            "own code retention",
            "%",
            "higher",
            "Percentage of the real images nearest to the facet's center whose codes, read from "
            "the own network, are farther from their mean than the visualization's.",
        ),
        "color_distance": Metric(
            "color distance",
            "ΔE",
            "lower",
            "Sliced Wasserstein distance in CIE L*a*b* between the pixels of the visualization and "
            "of its facet's real images.",
        ),
        "color_distance_control": Metric(
            "color distance from noise",
            "ΔE",
            None,
            "The same distance for a visualization of the unit that was started from noise.",
        ),
        "gradient_area": Metric(
            "gradient area",
            "",
            "lower",
            "Share of the image that the energy of the unit's gradient effectively covers "
            "(participation ratio); repeated fragments raise it.",
        ),
        "gradient_spread": Metric(
            "gradient spread",
            "",
            "lower",
            "Root mean square distance of the gradient's energy from its center, 1 if it is even "
            "over the image; repeated fragments raise it.",
        ),
        "homogeneity": Metric(
            "homogeneity",
            "",
            None,
            "Mean cosine similarity between the codes of two real images of the facet.",
        ),
        "recall": Metric(
            "own recall (own network's code)",
            "",
            "higher",
            "Share of the facets whose visualization is recalled by the own network's code, which "
            "the ascent may climb; chance is one over their number.",
            whole_run=True,
        ),
        "recall_start": Metric(
            "own recall, untouched start",
            "",
            None,
            "The same for the mean images that the visualizations started from: what they gained "
            "is not more than the difference.",
            whole_run=True,
        ),
        "diversity": Metric(
            "diversity",
            "",
            "higher",
            "Mean cosine distance between the codes of two visualizations over that between two "
            "facets' centroids.",
            whole_run=True,
        ),
        "image_diversity": Metric(
            "image diversity",
            "ΔE",
            "higher",
            "Mean color difference between two visualizations, pixel by pixel.",
            whole_run=True,
        ),
        "stability": Metric(
            "stability",
            "",
            "higher",
            "Adjusted Rand index of the clustering between bootstrap samples of the real images.",
            whole_run=True,
        ),
    }
)
"""Of runs of RGB images; `metric` for others."""

_WITHOUT_COLOR = {
    "image_diversity": Metric(
        "image diversity",
        "%",
        "higher",
        "Mean difference between two visualizations, pixel by pixel, in percent of the range of "
        "the images.",
        whole_run=True,
    ),
}


def metric(name: str, domain: Domain = RGB) -> Metric | None:
    """What a number means in a run whose images are of `domain`; ``None`` for an unknown one."""
    if not domain.is_color and name in _WITHOUT_COLOR:
        return _WITHOUT_COLOR[name]
    return METRICS.get(name)
