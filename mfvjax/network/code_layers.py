"""Which layer's activations describe an image when facets of a unit are looked for."""

from __future__ import annotations

from collections.abc import Mapping

from mfvjax.types import LayerInfo


def class_layers(layers: Mapping[str, LayerInfo], logits_layer: str) -> tuple[str, ...]:
    """Layers whose units are classes: around `logits_layer`, all with as many units as it has.

    The unbroken run of layers of that width that ends in `logits_layer` (SqueezeNet's class maps
    before its pooled logits), and every layer of that width after it (the softmax). None that was
    added to the network.
    """
    names, num_classes = own_layers(layers), layers[logits_layer].num_units
    last = names.index(logits_layer)
    first = last
    while first > 0 and layers[names[first - 1]].num_units == num_classes:
        first -= 1
    after = [name for name in names[last + 1 :] if layers[name].num_units == num_classes]
    return (*names[first : last + 1], *after)


def penultimate_layer(layers: Mapping[str, LayerInfo], logits_layer: str) -> str:
    """The last layer before the class layers: fc7 of CaffeNet, fire9/concat of SqueezeNet.

    The logits themselves, if nothing comes before them.
    """
    names = own_layers(layers)
    first = names.index(class_layers(layers, logits_layer)[0])
    return names[first - 1] if first > 0 else logits_layer


def own_layers(layers: Mapping[str, LayerInfo]) -> list[str]:
    """Names of the network's own layers, in the order of execution, without those added to it."""
    return [name for name, info in layers.items() if info.base is None]
