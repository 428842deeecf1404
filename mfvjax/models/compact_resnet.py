"""The second bundled network, judge of the first: residual, of 3x3 kernels, globally pooled."""

from __future__ import annotations

from mfvjax.models import ops
from mfvjax.models.compact import INPUT_SIZE
from mfvjax.models.graph import GraphSpec, LayerSpec

_STAGES = ((2, 32), (3, 64), (4, 128))
_EMBEDDING = 192
_LAST_MAP = (6, 6)


def compact_resnet_graph(num_classes: int = 14) -> GraphSpec:
    """Eleven convolutions, six of them beside shortcuts, a dense layer: 0.5 million parameters.

    It shares with `mfvjax.models.compact` the size of its input and nothing else: no large
    kernels, groups, max pooling, response normalization or hidden dense layers. Each stage halves
    the map (``conv2``), then adds to it what two more convolutions make of it (``res2``). Where a
    residual network has batch normalization this one has biases, so that it is the same function
    in training and after. ``pool5``, the mean of the last map, describes an image.

    Args:
      num_classes: outputs of ``fc6`` and ``prob``.

    References: He et al. 2016, "Deep residual learning"; Lin et al. 2014, "Network in network".
    """
    steps: list[LayerSpec] = []

    def add(name: str, op: ops.Op, *inputs: str, output: str | None = None) -> None:
        steps.append(LayerSpec(name, op, inputs, (output or name,)))

    def rectify(name: str) -> None:
        add(f"relu_{name}", ops.ReLU(), name, output=name)

    add("conv1", ops.Convolution(16, (5, 5), stride=(2, 2), pad=(2, 2)), "data")
    rectify("conv1")
    below = "conv1"
    for stage, width in _STAGES:
        conv, inner, outer, res = (f"{kind}{stage}" for kind in ("conv", "inner", "outer", "res"))
        add(conv, ops.Convolution(width, (3, 3), stride=(2, 2), pad=(1, 1)), below)
        rectify(conv)
        add(inner, ops.Convolution(width, (3, 3), pad=(1, 1)), conv)
        rectify(inner)
        add(outer, ops.Convolution(width, (3, 3), pad=(1, 1)), inner)
        add(res, ops.Eltwise("sum"), conv, outer)
        rectify(res)
        below = res
    add("conv5", ops.Convolution(_EMBEDDING, (1, 1)), below)
    rectify("conv5")
    add("pool5", ops.Pooling("average", _LAST_MAP, spans_map=True), "conv5")
    add("fc6", ops.InnerProduct(num_classes), "pool5")
    add("prob", ops.Softmax(), "fc6")
    return GraphSpec("compact-resnet", "data", (*INPUT_SIZE, 3), tuple(steps))
