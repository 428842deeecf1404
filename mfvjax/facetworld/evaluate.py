"""How good a network is on freshly painted pictures: its classes, and the facets in its codes."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, Int, PyTree

from mfvjax.facetworld.designs import Design, Net
from mfvjax.facetworld.world import FacetWorld
from mfvjax.preprocess import Preprocessing

_BATCH_SIZE = 100


@dataclasses.dataclass(frozen=True)
class ClassScore:
    """What the network makes of one class.

    Attributes:
      class_name: the class.
      num_facets: that it truly has.
      accuracy: share of its pictures given to it.
      agreement: adjusted Rand index, 1 for perfect and 0 for chance, between the true facets and
        k-means of the codes (PCA to 50 dimensions, k the true number); 1 for a single facet.
    """

    class_name: str
    num_facets: int
    accuracy: float
    agreement: float


def read_codes(
    module: Net, preprocessing: Preprocessing, world: FacetWorld, layers: tuple[str, ...]
) -> dict[str, Float[np.ndarray, "n neurons"]]:
    """Activations of `layers` for every picture, flattened."""
    graph, params = nnx.split(module)

    @jax.jit
    def read(params: PyTree, images: jax.Array) -> dict[str, jax.Array]:
        blobs = nnx.merge(graph, params)(preprocessing.to_net_input(images))
        return {layer: blobs[layer].reshape(len(images), -1) for layer in layers}

    starts = range(0, len(world.images), _BATCH_SIZE)
    images = [jnp.asarray(world.images[i : i + _BATCH_SIZE], jnp.float32) for i in starts]
    batches = [jax.device_get(read(params, batch)) for batch in images]
    return {layer: np.concatenate([batch[layer] for batch in batches]) for layer in layers}


def score_classes(
    design: Design, module: Net, preprocessing: Preprocessing, world: FacetWorld
) -> list[ClassScore]:
    """Scores of every class of `world`, whose classes must be the network's, in its order."""
    codes = read_codes(module, preprocessing, world, (design.code_layer, design.logits_layer))
    right = codes[design.logits_layer].argmax(1) == world.class_index
    scores = []
    for index, name in enumerate(world.class_names):
        chosen = world.class_index == index
        count = len(world.facet_names[index])
        agreement = facet_agreement(
            codes[design.code_layer][chosen], world.facet_index[chosen], count
        )
        scores.append(ClassScore(name, count, float(right[chosen].mean()), agreement))
    return scores


def facet_agreement(
    codes: Float[np.ndarray, "n neurons"], facet_index: Int[np.ndarray, " n"], num_facets: int
) -> float:
    """Adjusted Rand index between `facet_index` and k-means clusters of the codes."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.metrics import adjusted_rand_score

    if num_facets == 1:
        return 1.0
    plane = PCA(min(50, *codes.shape), random_state=0).fit_transform(codes)
    clusters = KMeans(num_facets, n_init=10, random_state=0).fit_predict(plane)
    return float(adjusted_rand_score(facet_index, clusters))
