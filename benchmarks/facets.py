"""Ten facets of a class and what the recipe of facet statistics climbs for each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from benchmarks.context import Context
from benchmarks.networks import data_folder
from mfvjax.facets.discover import discover_facets
from mfvjax.images import load_images, open_images
from mfvjax.network import Network
from mfvjax.objective import Objective, statistics_objective, unit_objective

LAYERS = {
    "squeezenet": tuple(f"fire{i}/concat" for i in range(3, 10)),
    "caffenet": tuple(f"conv{i}" for i in range(1, 6)),
}
_NEAREST = 15


@dataclasses.dataclass(frozen=True, eq=False)
class FacetWork:
    """Facets of one unit.

    Attributes:
      network: that has it.
      unit: index of the class unit.
      largest: its largest activation on a real image.
      starts: ``(facets, h, w, 3)``, mean images.
      objectives: the unit over `largest`, and the statistics of each facet's nearest images.
      what: which images these are, in words.
    """

    network: Network
    unit: int
    largest: float
    starts: np.ndarray
    objectives: tuple[Objective, ...]
    what: str

    @classmethod
    def of(cls, context: Context, num_facets: int, subject: tuple[str, int]) -> FacetWork:
        """Facets of the class `subject`, a folder and its unit.

        Made-up ones where that folder is not there, or for a quick look.
        """
        network, layers = context.network, LAYERS[context.network_name]
        wnid, unit = subject
        folder = data_folder() / "images/imagenette" / wnid
        if folder.is_dir() and not context.quick:
            images, largest = nearest_images(network, folder, unit, num_facets)
            what = f"the {_NEAREST} images nearest to each of {num_facets} facets of class {unit}"
        else:
            images = made_up(network.input_size, num_facets)
            largest, what = 1.0, f"{images.shape[1]} made-up images for each facet"
        name = f"{network.logits_layer}:{unit}"
        climbed = (1 / largest) * unit_objective(name)
        objectives = [climbed + statistics_of(network, some, layers) for some in images]
        starts = np.stack([some.mean(axis=0, dtype=np.float32) for some in images])
        return cls(network, unit, largest, starts, tuple(objectives), what)


def nearest_images(
    network: Network, folder: object, unit: int, num_facets: int
) -> tuple[list[np.ndarray], float]:
    """Algorithm 1: each facet's nearest images, and the unit's largest activation."""
    source = open_images(str(folder))
    name = f"{network.logits_layer}:{unit}"
    facets = discover_facets(
        network, source, unit=name, num_facets=num_facets, num_mean_images=_NEAREST
    )
    rows = [facets.indices[row[row >= 0]] for row in facets.nearest]
    images = [load_images(source, row, size=network.input_size)[0] for row in rows]
    return images, float(facets.activations.max())


def made_up(size: tuple[int, int], num_facets: int) -> np.ndarray:
    """Smooth images, other ones for each facet."""
    from PIL import Image

    rng = np.random.default_rng(0)
    patches = rng.uniform(30, 225, (num_facets, 2, 9, 9, 3)).astype(np.uint8)

    def grown(patch: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(patch).resize(size[::-1], Image.Resampling.BICUBIC))

    return np.stack([np.stack([grown(patch) for patch in some]) for some in patches])


def statistics_of(network: Network, images: np.ndarray, layers: Sequence[str]) -> Objective:
    """The images' statistics in each of `layers`."""
    found = network.activations(images.astype(np.float32), list(layers))
    return statistics_objective({name: np.asarray(found[name]) for name in layers}, layers)
