"""How the bundled network learns: random views, moved to where it errs, and only class labels.

Each batch of random views is used a few times in a row, and each time the gradient that updates the
weights also moves the views to where the network errs more, at most a fixed distance away
(adversarial training "for free"). Gradients of such networks follow the things in a picture, so
their visualizations show them. Facets are never told.

References: Shafahi et al. 2019, "Adversarial training for free!"; Santurkar et al. 2019, "Image
  synthesis with a single (robust) classifier".
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, Key, PyTree, UInt8

from mfvjax.facetworld.augment import random_views
from mfvjax.facetworld.world import FacetWorld
from mfvjax.models.compact import INPUT_SIZE, Compact
from mfvjax.preprocess import Preprocessing

PREPROCESSING = Preprocessing(INPUT_SIZE, "RGB", (124.0, 113.0, 97.0), 1 / 64)
"""What the bundled network eats: pictures minus facetworld's mean color, over their deviation."""


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
      averaging: decay of the running average of the weights that is kept in the end.
      seed: of weights, order, views and dropout.
    """

    num_steps: int = 2400
    num_replays: int = 4
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    distance: float = 7.0
    averaging: float = 0.997
    seed: int = 0


def train(world: FacetWorld, recipe: Recipe) -> Iterator[tuple[int, Float[Array, ""], PyTree]]:
    """Trains a new network, step by step.

    Args:
      world: training pictures of the network's input size.
      recipe: see `Recipe`.

    Yields:
      After each step its number from 1, its loss, and the averaged parameters so far.
    """
    module = Compact(rngs=nnx.Rngs(recipe.seed), num_classes=len(world.class_names))
    graph, params = nnx.split(module)
    state, average = _optimizer(recipe).init(params), jax.tree.map(jnp.copy, params)
    images, labels = jnp.asarray(world.images), jnp.asarray(world.class_index)
    key = jax.random.key(recipe.seed)
    net_input = error = None
    for number, chosen in enumerate(batches(world, recipe)):
        view_key, drop_key = jax.random.split(jax.random.fold_in(key, number))
        if number % recipe.num_replays == 0:
            net_input, targets = _look(view_key, images, chosen), labels[chosen]
            error = jnp.zeros_like(net_input)
        params, average, state, error, loss = _step(
            graph, recipe, params, average, state, net_input, error, targets, drop_key
        )
        yield number + 1, loss, average


def _optimizer(recipe: Recipe) -> optax.GradientTransformation:
    rate = optax.warmup_cosine_decay_schedule(
        0.0, recipe.learning_rate, max(recipe.num_steps // 20, 1), recipe.num_steps
    )
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(rate, weight_decay=recipe.weight_decay, mask=_is_kernel),
    )


def _is_kernel(params: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def batches(world: FacetWorld, recipe: Recipe) -> Iterator[Int[np.ndarray, " batch"]]:
    """Indices of each batch; k facets make a class sqrt(k) times as frequent, not k times."""
    counts = np.bincount(world.class_index)
    chances = counts[world.class_index] ** -0.5
    chances /= chances.sum()
    rng = np.random.default_rng(recipe.seed)
    for _ in range(recipe.num_steps):
        yield rng.choice(len(chances), recipe.batch_size, p=chances)


@jax.jit
def _look(
    key: Key[Array, ""], images: UInt8[Array, "n height width 3"], chosen: Int[Array, " batch"]
) -> Float[Array, "batch height width 3"]:
    return PREPROCESSING.to_net_input(random_views(key, images[chosen].astype(jnp.float32)))


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2, 4))
def _step(
    graph: Any,
    recipe: Recipe,
    params: PyTree,
    average: PyTree,
    state: PyTree,
    net_input: Float[Array, "batch height width 3"],
    error: Float[Array, "batch height width 3"],
    targets: Int[Array, " batch"],
    drop_key: Key[Array, ""],
) -> tuple[PyTree, PyTree, PyTree, Float[Array, "batch height width 3"], Float[Array, ""]]:
    """One update of the weights, and one of the error that is added to the pictures."""

    def loss_of(params: PyTree, error: Array) -> Array:
        logits = nnx.merge(graph, params)(net_input + error, drop_key=drop_key)["fc8"]
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, targets))

    loss, (gradient, slope) = jax.value_and_grad(loss_of, argnums=(0, 1))(params, error)
    updates, state = _optimizer(recipe).update(gradient, state, params)
    params = optax.apply_updates(params, updates)
    error = worsen(error, slope, recipe.distance / 64)
    average = jax.tree.map(
        lambda old, new: old + (1 - recipe.averaging) * (new - old), average, params
    )
    return params, average, state, error, loss


def worsen(
    error: Float[Array, "batch height width 3"],
    slope: Float[Array, "batch height width 3"],
    distance: float,
) -> Float[Array, "batch height width 3"]:
    """A step up the loss, then back into the ball of root mean square `distance`."""

    def size(values: Array) -> Array:
        return jnp.sqrt(jnp.mean(values**2, axis=(1, 2, 3), keepdims=True)) + 1e-12

    moved = error + distance * slope / size(slope)
    return moved * jnp.minimum(distance / size(moved), 1.0)
