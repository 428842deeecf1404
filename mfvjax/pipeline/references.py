"""What a facet's own images look like to the network, as terms that its picture shall meet."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32, Num

from mfvjax.facet_objective import UnitAndStatistics
from mfvjax.facets.patches import mean_color
from mfvjax.network import Network
from mfvjax.objective import CodeDistance, Objective, statistics_objective
from mfvjax.pipeline.depths import depth_layers
from mfvjax.types import LayerInfo, PixelBox, Unit


def reference_objectives(
    network: Network,
    unit: Unit,
    region: PixelBox | None,
    sets: list[Num[np.ndarray, "_ h w c"]],
    options: UnitAndStatistics,
) -> list[Objective]:
    """For each set of images the statistics that describe it, as terms to be climbed.

    Args:
      network: that describes them.
      unit: with its position, if it is one of a map; layers behind it are not looked at.
      region: the part of the network's input that the images fill; ``None`` for all of it.
      sets: images of each facet, of the region's size, in the range of their domain.
      options: which layers, and how much each counts.

    Raises:
      ValueError: a set is empty, or the network has no layer that could describe an image.
    """
    size = network.input_size if region is None else region.size
    maps, dense = depth_layers(network, unit, size, num_layers=options.num_layers)
    positions = _positions_inside(network.layers, maps, region)
    objectives = []
    for images in sets:
        if not len(images):
            raise ValueError(f"a facet of {unit} has no images to take statistics of")
        seen = _activations(network, full_images(network, images, region), [*maps, *dense])
        terms: list[Objective] = []
        if maps:
            terms.append(
                statistics_objective(seen, maps, positions=positions, weight=options.statistics)
            )
        distances = tuple(_code_distance(name, seen[name], options.codes) for name in dense)
        objectives.append(sum(terms, Objective(distances)))
    return objectives


def _code_distance(layer: str, codes: Float32[np.ndarray, "n d"], weight: float) -> CodeDistance:
    """From the mean code; of no weight where the layer is silent, which has no relative distance.

    Left out, it would change the shape of the objective, and with it the compiled program.
    """
    code = codes.mean(axis=0)
    if not code.any():
        return CodeDistance(layer, np.ones_like(code), weight=0.0)
    return CodeDistance(layer, code, weight=weight)


def full_images(
    network: Network, windows: Num[np.ndarray, "b h w c"], region: PixelBox | None
) -> Float32[np.ndarray, "b height width c"]:
    """Network inputs that show `windows` in `region`, the network's mean color around."""
    if region is None:
        return windows.astype(np.float32)
    images = np.empty((len(windows), *network.input_size, windows.shape[-1]), np.float32)
    images[:] = np.asarray(mean_color(network), np.float32)
    images[:, region.top : region.bottom, region.left : region.right] = windows
    return images


def _activations(
    network: Network, images: np.ndarray, layers: list[str]
) -> dict[str, Float32[np.ndarray, "b *shape"]]:  # noqa: UP037  (a shape)
    """Of a few images; batches of one size, so that all facets share a compiled program."""
    batch = 16
    parts: dict[str, list[np.ndarray]] = {name: [] for name in layers}
    for first in range(0, len(images), batch):
        some = images[first : first + batch]
        filled = np.concatenate([some, np.repeat(some[-1:], batch - len(some), axis=0)])
        seen = network.activations(filled, layers)
        for name in layers:
            parts[name].append(np.asarray(seen[name], np.float32)[: len(some)])
    return {name: np.concatenate(rows) for name, rows in parts.items()}


def _positions_inside(
    layers: Mapping[str, LayerInfo], names: list[str], region: PixelBox | None
) -> dict[str, np.ndarray] | None:
    """Weights of the positions whose receptive fields have their middle in the region."""
    if region is None:
        return None
    found = {}
    for name in names:
        info = layers[name]
        if info.receptive_field is None or len(info.shape) != 3:
            continue
        inside = []
        for axis, (low, high) in enumerate(
            ((region.top, region.bottom), (region.left, region.right))
        ):
            field = info.receptive_field
            places = np.arange(info.shape[axis])
            middle = field.start[axis] + places * field.stride[axis] + field.size[axis] / 2
            inside.append((middle >= low) & (middle <= high))
        weights = np.outer(*inside).reshape(-1).astype(np.float64)
        if weights.any():
            found[name] = weights / weights.sum()
    return found
