"""A network of the library, built again from torch's own operations.

Maps are ``(batch, channels, rows, columns)``. The builder covers the layers of the published
networks that benchmarks run; anything else is an error, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from mfvjax.models import ops
from mfvjax.models.graph import GraphSpec, LayerSpec
from mfvjax.network import Network

if TYPE_CHECKING:
    import torch

_Apply: TypeAlias = Callable[[Any, Mapping[str, Any], Sequence[Any]], Any]


class TorchNetwork:
    """Images ``(batch, 3, h, w)``, RGB in [0, 255], to named activations.

    Args:
      network: of the library; one that was made from a graph.
      device: torch's name of it.
      stop_at: the last activation that is wanted; what lies beyond is not computed.

    Raises:
      ValueError: the network has no graph, a layer is not covered, or `stop_at` does not exist.
    """

    def __init__(
        self, network: Network, *, device: str = "cpu", stop_at: str | None = None
    ) -> None:
        spec = getattr(network.forward, "spec", None)
        if not isinstance(spec, GraphSpec):
            raise ValueError(f"network {network.name!r} is not made from a graph")
        self.device = device
        self.input_size = network.input_size
        self.input_name = spec.input_name
        self.layers = _needed(spec, stop_at or network.logits_layer)
        shapes = spec.input_shapes()
        self.parameters = {
            layer.name: _parameters(layer, network.params, shapes[layer.name], device)
            for layer in self.layers
        }
        self._prepare = _preprocessing(network, device)

    def __call__(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every activation up to the last one that is wanted."""
        known = {self.input_name: self._prepare(images)}
        for layer in self.layers:
            inputs = [known[blob] for blob in layer.inputs]
            output = _APPLY[layer.kind](layer.op, self.parameters[layer.name], inputs)
            known.update(dict.fromkeys(layer.outputs, output))
        return known


def _needed(spec: GraphSpec, last: str) -> list[LayerSpec]:
    """Layers in order, up to the last one that writes `last`."""
    writers = [i for i, layer in enumerate(spec.layers) if last in layer.outputs]
    if not writers:
        raise ValueError(f"network {spec.name!r} has no layer {last!r}")
    layers = list(spec.layers[: writers[-1] + 1])
    for layer in layers:
        if layer.kind not in _APPLY or not _is_covered(layer.op):
            raise ValueError(f"layer {layer.name!r} ({layer.op}) has no counterpart in torch")
    return layers


def _is_covered(op: ops.Op) -> bool:
    """Channels can be joined, not rows; neighbors for normalization are channels."""
    match op:
        case ops.Concat():
            return op.axis == -1
        case ops.LRN():
            return not op.within_channel
        case ops.Softmax():
            return op.axis == -1
    return True


def _parameters(
    layer: LayerSpec, params: Mapping[str, Any], inputs: Sequence[ops.Shape], device: str
) -> dict[str, torch.Tensor]:
    """The layer's parameters in torch's layout: outputs first, maps flattened channels first."""
    import torch

    arrays = {name: np.asarray(value) for name, value in params.get(layer.name, {}).items()}
    if layer.kind == "Convolution":
        arrays["kernel"] = arrays["kernel"].transpose(3, 2, 0, 1)
    if layer.kind == "InnerProduct":
        kernel = arrays["kernel"].reshape(*inputs[0], -1)
        if kernel.ndim == 4:
            kernel = kernel.transpose(2, 0, 1, 3)
        arrays["kernel"] = kernel.reshape(-1, kernel.shape[-1]).T
    return {
        name: torch.from_numpy(np.ascontiguousarray(array).copy()).to(device)
        for name, array in arrays.items()
    }


def _preprocessing(network: Network, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    import torch

    rule = network.preprocessing
    mean = torch.tensor(rule.mean, device=device).reshape(1, 3, 1, 1)
    scale = torch.tensor(np.broadcast_to(rule.scale, 3).astype(np.float32)).to(device)
    scale = scale.reshape(1, 3, 1, 1)
    flips = rule.channel_order == "BGR"

    def prepare(images: torch.Tensor) -> torch.Tensor:
        ordered = images.flip(1) if flips else images
        return (ordered - mean) * scale

    return prepare


def _convolution(op: Any, p: Mapping[str, Any], x: Sequence[Any]) -> Any:
    from torch.nn import functional

    return functional.conv2d(
        x[0], p["kernel"], p.get("bias"), op.stride, op.pad, op.dilation, op.groups
    )


def _inner_product(op: Any, p: Mapping[str, Any], x: Sequence[Any]) -> Any:
    from torch.nn import functional

    return functional.linear(x[0].flatten(1), p["kernel"], p.get("bias"))


def _pooling(op: Any, p: Mapping[str, Any], x: Sequence[Any]) -> Any:
    from torch.nn import functional

    pool = functional.max_pool2d if op.method == "max" else functional.avg_pool2d
    return pool(x[0], op.kernel, op.stride, op.pad, ceil_mode=op.round_up)


def _lrn(op: Any, p: Mapping[str, Any], x: Sequence[Any]) -> Any:
    """Sums of shifted slices, and two roots for the power -0.75: faster than torch's own."""
    import torch
    from torch.nn import functional

    half, channels = op.local_size // 2, x[0].shape[1]
    squares = functional.pad(x[0] * x[0], (0, 0, 0, 0, half, half))
    total = squares[:, :channels]
    for shift in range(1, op.local_size):
        total = total + squares[:, shift : shift + channels]
    divisor = op.k + op.alpha / op.local_size * total
    if op.beta == 0.75:
        root = torch.rsqrt(divisor)
        return x[0] * (root * torch.sqrt(root))
    return x[0] * divisor**-op.beta


def _relu(op: Any, p: Mapping[str, Any], x: Sequence[Any]) -> Any:
    from torch.nn import functional

    return functional.leaky_relu(x[0], op.negative_slope) if op.negative_slope else x[0].relu()


def _concat(op: Any, p: Mapping[str, Any], x: Sequence[Any]) -> Any:
    import torch

    return torch.cat(list(x), 1)


_APPLY: dict[str, _Apply] = {
    "Concat": _concat,
    "Convolution": _convolution,
    "Identity": lambda op, p, x: x[0],
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "Pooling": _pooling,
    "ReLU": _relu,
    "Softmax": lambda op, p, x: x[0].softmax(1),
}
