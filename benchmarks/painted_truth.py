"""What pictures show, by what was painted, in the eyes of a network that had no part in them."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from mfvjax import facetworld, metrics
from mfvjax.facetworld import FacetWorld
from mfvjax.network import Network

REFERENCE_SEED = 77_001_003
"""Of pictures that no network was trained, tested or visualized with."""
_BATCH = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """Verdicts on n pictures, one row each.

    Attributes:
      of_class: its nearest painted facet, among those of its class, is the one it should show.
      of_all: the same among the facets of all classes.
      top1: the judge's best class is its class.
      margin: of `of_class`, as `mfvjax.metrics.facet_recall` has it.
    """

    of_class: Bool[np.ndarray, " n"]
    of_all: Bool[np.ndarray, " n"]
    top1: Bool[np.ndarray, " n"]
    margin: Float[np.ndarray, " n"]

    def summary(self) -> dict[str, float]:
        """Mean of each."""
        fields = dataclasses.fields(self)
        return {field.name: float(np.mean(getattr(self, field.name))) for field in fields}


@dataclasses.dataclass(frozen=True, eq=False)
class PaintedTruth:
    """A judge that knows how each painted facet looks on average, in its own embedding.

    Attributes:
      network: the judge; its classes are facetworld's.
      centroids: ``(facets, d)``, mean embedding of each facet's reference pictures.
      class_index, facet_index: ``(facets,)``, which facet of which class each row is.
      held_out: reference pictures with no part in the centroids.
    """

    network: Network
    centroids: Float[np.ndarray, "facets d"]
    class_index: Int[np.ndarray, " facets"]
    facet_index: Int[np.ndarray, " facets"]
    held_out: FacetWorld

    @classmethod
    def of(cls, network: Network, *, per_facet: int = 20) -> PaintedTruth:
        """Paints references: `per_facet` for the centroids, half as many held out.

        Raises:
          ValueError: the network's classes are not facetworld's.
        """
        if network.class_names != facetworld.CLASSES:
            raise ValueError(f"the classes of {network.name!r} are not those that are painted")
        size = min(network.input_size)
        world = facetworld.dataset(per_facet, seed=REFERENCE_SEED, size=size)
        held_out = facetworld.dataset(max(per_facet // 2, 1), seed=REFERENCE_SEED + 1, size=size)
        pairs = np.stack([world.class_index, world.facet_index], axis=1)
        facets, assignment = np.unique(pairs, axis=0, return_inverse=True)
        codes, _ = read(network, world.images)
        centroids = metrics.code_centroids(codes, assignment.ravel(), num_facets=len(facets))
        return cls(network, centroids, facets[:, 0], facets[:, 1], held_out)

    def look(
        self,
        images: Num[np.ndarray, "n h w 3"],
        class_index: Int[np.ndarray, " n"],
        facet_index: Int[np.ndarray, " n"],
    ) -> Seen:
        """Verdicts on `images`, each of which should show one facet of one class."""
        codes, logits = read(self.network, images)
        hits, margins, everywhere = [], [], []
        for code, c, f in zip(codes, class_index, facet_index, strict=True):
            rows = np.flatnonzero(self.class_index == c)
            hit, margin = metrics.facet_recall(code[None], np.array([f]), self.centroids[rows])
            hits.append(hit[0])
            margins.append(margin[0])
            nearest = np.argmin(np.sum((self.centroids - code) ** 2, axis=1))
            everywhere.append(nearest == rows[f])
        top1 = logits.argmax(axis=1) == class_index
        return Seen(np.array(hits), np.array(everywhere), top1, np.array(margins))

    def ceiling(self, classes: Int[np.ndarray, " c"]) -> Seen:
        """Verdicts on single held-out pictures of these classes."""
        chosen = np.isin(self.held_out.class_index, classes)
        return self.look(
            self.held_out.images[chosen],
            self.held_out.class_index[chosen],
            self.held_out.facet_index[chosen],
        )

    def chance(self, class_index: Int[np.ndarray, " n"]) -> dict[str, float]:
        """What one answer for all pictures of a class, or a guess among all facets, gets right."""
        facets = [np.sum(self.class_index == c) for c in class_index]
        return {
            "of_class": float(np.mean(1 / np.array(facets))),
            "of_all": 1 / len(self.centroids),
            "top1": 1 / len(set(self.class_index.tolist())),
        }


def read(
    network: Network, images: Num[np.ndarray, "n h w 3"]
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n classes"]]:
    """Embeddings (maps averaged over positions) and logits, in batches of one size."""
    layers = [network.code_layer(network.logits_layer), network.logits_layer]
    parts: list[list[np.ndarray]] = [[], []]
    for start in range(0, len(images), _BATCH):
        some = np.asarray(images[start : start + _BATCH], np.float32)
        filled = np.concatenate([some, some[-1:].repeat(_BATCH - len(some), axis=0)])
        found = network.activations(filled, layers)
        for part, layer in zip(parts, layers, strict=True):
            values = np.asarray(found[layer], np.float64)[: len(some)]
            part.append(values.reshape(len(some), -1, values.shape[-1]).mean(axis=1))
    return np.concatenate(parts[0]), np.concatenate(parts[1])
