"""Which layers stand for a network's depths: one of each depth, from its layers' facts alone."""

from __future__ import annotations

import numpy as np

from mfvjax.network import Network
from mfvjax.network.code_layers import own_layers
from mfvjax.types import LayerInfo, Unit

# Layers that see less than this share of the image know edges and colors only. On SqueezeNet
# (statistics from conv1 on, or from fire3) they made no difference.
_SMALLEST_VIEW = 0.1
_FEWEST_LAYERS = 3


def depth_layers(
    network: Network, unit: Unit, window_size: tuple[int, int], *, num_layers: int
) -> tuple[list[str], list[str]]:
    """Layers whose statistics describe an image from early to late, below a unit.

    Of layers that see equally far the widest is taken (of SqueezeNet's fire modules the joined
    output), and none that only pools what an earlier one found. Those that see less than a tenth of
    the window are left out where three others remain.

    Args:
      network: whose layers are chosen.
      unit: nothing behind its layer is taken; of a unit of classes or of a layer that was added,
        nothing behind the layer of codes.
      window_size: ``(height, width)`` of what is made, in pixels.
      num_layers: at most so many layers of maps or tokens, evenly spread.

    Returns:
      Names of layers of maps or tokens, and of dense layers, each from early to late.

    Raises:
      ValueError: there is no such layer below the unit.
    """
    below = _below(network, unit)
    maps = [info for info in below if not info.is_dense]
    chosen = _without_pooled(_widest_by_view(maps))
    seen = [info for info in chosen if _view(info) >= _SMALLEST_VIEW * min(window_size)]
    chosen = seen if len(seen) >= _FEWEST_LAYERS else chosen
    places = np.unique(np.linspace(0, len(chosen) - 1, min(num_layers, len(chosen))).round())
    names = [chosen[int(place)].name for place in places]
    width = maps[-1].num_units if maps else 0
    # A dense layer as wide as the last map is its mean over positions, which counts already.
    dense = [info.name for info in below if info.is_dense and info.num_units != width]
    if not names and not dense:
        raise ValueError(
            f"network {network.name!r} has no layer below {unit} whose statistics could describe "
            "an image; take another recipe, such as mean-image"
        )
    return names, dense


def _below(network: Network, unit: Unit) -> list[LayerInfo]:
    """Layers that describe what the unit is made from, in the order of execution.

    None that was added: what it reads describes as much. A unit of such a layer is made from that.
    """
    is_own = network.layers[unit.layer].base is None and not network.is_class_layer(unit.layer)
    last = unit.layer if is_own else network.code_layer(unit.layer)
    names = own_layers(network.layers)
    infos = [network.layers[name] for name in names[: names.index(last) + 1]]
    # A dense unit is no description of itself.
    return [info for info in infos if not (info.is_dense and info.name == unit.layer)]


def _view(info: LayerInfo) -> float:
    """Side of the receptive field; all of the image where positions see all of it."""
    return float("inf") if info.receptive_field is None else max(info.receptive_field.size)


def _widest_by_view(infos: list[LayerInfo]) -> list[LayerInfo]:
    """Of neighbours that see equally far the widest; the last of some that follow each other."""
    chosen: list[LayerInfo] = []
    before: LayerInfo | None = None
    for info in infos:
        is_same_view = chosen and info.receptive_field and _view(info) == _view(chosen[-1])
        if not is_same_view:
            chosen.append(info)
        # A convolution's ReLU as a layer of its own follows it; a branch as wide may come later.
        elif info.num_units > chosen[-1].num_units or (
            before is chosen[-1] and info.num_units == before.num_units
        ):
            chosen[-1] = info
        before = info
    return chosen


def _without_pooled(infos: list[LayerInfo]) -> list[LayerInfo]:
    """Without those that have the channels of the one before at fewer positions."""
    pairs = zip([None, *infos], infos, strict=False)
    return [
        info
        for before, info in pairs
        if before is None or info.num_units != before.num_units or _places(info) >= _places(before)
    ]


def _places(info: LayerInfo) -> int:
    return int(np.prod(info.shape[:-1]))
