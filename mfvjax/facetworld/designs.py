"""The networks that come with the library: how each is built, what it eats and how it learns."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

from flax import nnx
from jaxtyping import Array, Float, Key

from mfvjax.models.caffe_graph import CaffeGraph
from mfvjax.models.compact import INPUT_SIZE, Compact, compact_graph
from mfvjax.models.compact_resnet import compact_resnet_graph
from mfvjax.models.graph import GraphSpec
from mfvjax.preprocess import Preprocessing

Net = Compact | CaffeGraph

PREPROCESSING = Preprocessing(INPUT_SIZE, "RGB", (124.0, 113.0, 97.0), 1 / 64)
"""What the bundled networks eat: pictures minus facetworld's mean color, over their deviation."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that, with the pictures, decides the trained weights.

    Attributes:
      num_steps: updates of the weights.
      num_replays: updates in a row that use the same views.
      batch_size: pictures in each.
      learning_rate: at its highest, after a warm-up; falls to 0 along a cosine.
      weight_decay: AdamW's.
      distance: that views are moved, as root mean square over pixels and channels, in grey levels.
      waking: weight of the term that keeps hidden units from falling silent.
      averaging: decay of the running average of the weights that is kept in the end.
      seed: of weights, order, views and dropout, and of the pictures.
    """

    num_steps: int = 2400
    num_replays: int = 4
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    distance: float = 7.0
    waking: float = 0.0
    averaging: float = 0.997
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Design:
    """One of the networks.

    Attributes:
      name: by which `Network.load` finds it.
      architecture: the model that computes it, as a weights file names it.
      graph: the network of so many classes as data.
      module: with starting parameters, ``(number of classes, rngs)``.
      code_layer, logits_layer: what describes a picture, and the classes.
      hidden: rectified layers and what each reads, whose units training keeps awake.
      recipe: that its bundled weights were trained with.
    """

    name: str
    architecture: str
    graph: Callable[[int], GraphSpec]
    module: Callable[[int, nnx.Rngs], Net]
    code_layer: str
    logits_layer: str
    hidden: tuple[tuple[str, str], ...]
    recipe: Recipe

    @property
    def weights(self) -> pathlib.Path:
        """The weights that come with the library."""
        return pathlib.Path(__file__).parents[1] / "data" / f"{self.name}.safetensors"

    def answer(
        self,
        module: Net,
        net_input: Float[Array, "batch height width 3"],
        drop_key: Key[Array, ""],
    ) -> dict[str, Float[Array, "batch *shape"]]:  # noqa: UP037  (a shape)
        """Activations in training; only `Compact` drops anything."""
        if isinstance(module, Compact):
            return module(net_input, drop_key=drop_key)
        return module(net_input)


COMPACT = Design(
    "compact",
    "compact",
    compact_graph,
    lambda classes, rngs: Compact(num_classes=classes, rngs=rngs),
    "fc7",
    "fc8",
    (
        ("conv2", "norm1"),
        ("conv3", "norm2"),
        ("conv4", "conv3"),
        ("conv5", "conv4"),
        ("fc6", "pool5"),
        ("fc7", "fc6"),
    ),
    # Chosen among two trainings: with less disturbance, and nothing to keep units awake, nearly all
    # of conv3 fell silent.
    Recipe(num_steps=1500, batch_size=48, distance=9.0, waking=0.1),
)

# Other pictures, seeds and disturbances than the first's, so that it shares none of its habits.
COMPACT_RESNET = Design(
    "compact-resnet",
    "caffe_graph",
    compact_resnet_graph,
    lambda classes, rngs: CaffeGraph(compact_resnet_graph(classes), rngs=rngs),
    "pool5",
    "fc6",
    (),
    Recipe(num_steps=1200, distance=4.0, averaging=0.995, seed=1),
)

DESIGNS: Mapping[str, Design] = MappingProxyType(
    {design.name: design for design in (COMPACT, COMPACT_RESNET)}
)
