"""Scores of a run: the library's metrics, fed with what a network sees in the results."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Num

from mfvjax import metrics
from mfvjax.ascent import Visualization
from mfvjax.ascent.scene import Reader
from mfvjax.domain import Domain
from mfvjax.facets.codes import read_codes
from mfvjax.facets.result import Facets
from mfvjax.network import Network
from mfvjax.objective import Objectives, read_objectives, stack_objectives, unit_objective
from mfvjax.pipeline.holding import code_place, codes_at
from mfvjax.pipeline.references import full_images
from mfvjax.pipeline.regions import visible_part
from mfvjax.pipeline.targets import AscentPlan
from mfvjax.types import Images, Params, PixelBox


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """Of the k facets and of all that was made.

    Attributes:
      per_facet: name -> ``(k,)``; names as in `metrics.METRICS`.
      summary: name -> number.
      activations: ``(k + c,)``, of the unit, on the facets' images and on the c controls'.
    """

    per_facet: dict[str, Float[np.ndarray, " k"]]
    summary: dict[str, float]
    activations: Float[np.ndarray, " all"]


def center_crops(
    images: Float[np.ndarray, "b height width c"], size: tuple[int, int]
) -> Float[np.ndarray, "b h w c"]:
    """The central windows of `size` of canvases that may be larger."""
    top = (images.shape[1] - size[0]) // 2
    left = (images.shape[2] - size[1]) // 2
    return images[:, top : top + size[0], left : left + size[1]]


def score(
    network: Network,
    facets: Facets,
    plan: AscentPlan,
    result: Visualization,
    nearest_images: Num[np.ndarray, "k m h w c"],
) -> Scores:
    """Scores the k facets of a result, whose other images are controls, the last from noise.

    Codes, gradients and colors are read on the center crop of each final image; real images are
    those nearest to the facet's centroid. Colors are compared only where images are RGB: there are
    no such scores else.
    """
    k = facets.num_facets
    size = network.input_size if plan.region is None else plan.region.size
    windows = center_crops(result.images, size)
    codes = _codes(network, facets, plan, windows)
    own = np.arange(k)
    hits, margin = metrics.facet_recall(codes[:k], own, facets.code_centroids)
    starts = _codes(network, facets, plan, plan.starts[:k])
    start_hits, _ = metrics.facet_recall(starts, own, facets.code_centroids)
    energy = _gradient_energy(network, plan, windows[:k])
    of_all = unit_activations(network, plan, windows)
    activations = of_all[:k]
    per_facet: dict[str, Any] = {
        "activation": activations,
        "activation_percentile": metrics.activation_percentile(
            activations, facets.activations.astype(np.float64)
        ),
        "activation_ratio": metrics.activation_ratio(activations, facets.activations),
        "facet_recall": hits,
        "facet_margin": margin,
        "code_retention": metrics.nearest_code_retention(
            lambda images: _codes(network, facets, plan, visible_part(network, plan.unit, images)),
            codes[:k],
            nearest_images,
            facets.nearest,
        ),
        **_colors(network.preprocessing.domain, facets, windows, nearest_images),
        "gradient_area": metrics.gradient_area(energy),
        "gradient_spread": metrics.gradient_spread(energy),
        "homogeneity": facets.homogeneity,
    }
    summary = {
        "recall": float(np.mean(hits)),
        "recall_start": float(np.mean(start_hits)),
        "image_diversity": metrics.image_diversity(
            windows[:k], domain=network.preprocessing.domain
        ),
        "diversity": (
            metrics.code_diversity(codes[:k], facets.code_centroids) if k > 1 else float("nan")
        ),
        "stability": float(facets.summary.get("agreement", float("nan"))),
    }
    scores = {n: np.asarray(v, np.float64) for n, v in per_facet.items()}
    return Scores(scores, summary, of_all)


def _colors(
    domain: Domain,
    facets: Facets,
    windows: Float[np.ndarray, "b h w c"],
    nearest_images: Num[np.ndarray, "k m _ _ c"],
) -> dict[str, list[float]]:
    """Distances of the colors of each facet's images, and of the control, from its real images'."""
    if not domain.is_color:
        return {}
    real = [images[rows >= 0] for images, rows in zip(nearest_images, facets.nearest, strict=True)]
    distance = functools.partial(metrics.color_distance, domain=domain)
    shown, control = windows[: len(real)], windows[-1]
    return {
        "color_distance": [distance(*pair) for pair in zip(shown, real, strict=True)],
        "color_distance_control": [distance(control, images) for images in real],
    }


def _codes(
    network: Network, facets: Facets, plan: AscentPlan, windows: Float[np.ndarray, "b h w c"]
) -> Float[np.ndarray, "b d"]:
    images = full_images(network, windows, plan.region)
    layer = facets.code_layer
    if facets.code == "relevance":
        return read_codes(network, images, plan.unit, layer, "relevance")
    activation = np.asarray(network.activations(images, layer)[layer], np.float64)
    return codes_at(activation, code_place(network, facets, plan.unit))


def unit_activations(
    network: Network, plan: AscentPlan, windows: Float[np.ndarray, "b h w c"]
) -> Float[np.ndarray, " b"]:
    """The unit's own activation, without what keeps a picture at its facet."""
    images = full_images(network, windows, plan.region)
    layer = plan.unit.layer
    readouts = stack_objectives([unit_objective(plan.unit)] * len(images), network.layers)
    return np.asarray(read_objectives(network.activations(images, layer), readouts), np.float64)


def _gradient_energy(
    network: Network, plan: AscentPlan, windows: Float[np.ndarray, "b h w c"]
) -> Float[np.ndarray, "b h w"]:
    """Squared gradient of the unit with respect to each pixel, summed over channels."""
    images = jnp.asarray(full_images(network, windows, plan.region))
    readouts = stack_objectives([unit_objective(plan.unit)] * len(images), network.layers)
    reader = Reader(network.forward, network.preprocessing)
    gradient = np.asarray(_gradient(reader, network.params, images, readouts), np.float64)
    box = plan.region or PixelBox(0, 0, *network.input_size)
    return (gradient[:, box.top : box.bottom, box.left : box.right] ** 2).sum(axis=-1)


@functools.partial(jax.jit, static_argnums=0)
def _gradient(reader: Reader, params: Params, images: Images, readouts: Objectives) -> Images:
    return jax.grad(lambda x: jnp.sum(read_objectives(reader(params, x), readouts)))(images)
