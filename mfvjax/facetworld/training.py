"""How the bundled networks learn: random views, moved to where it errs, and only class labels.

Each batch of random views is used a few times in a row, and each time the gradient that updates the
weights also moves the views to where the network errs more, at most a fixed distance away
(adversarial training "for free"). Gradients of such networks follow the things in a picture, so
their visualizations show them. Facets are never told.

A rectified unit that no picture drives learns nothing anymore, and a learning rate this high leaves
whole layers so. A small term raises such a unit's largest input until it is driven again; it is 0
for a unit that some picture of the batch drives.

References: Shafahi et al. 2019, "Adversarial training for free!"; Santurkar et al. 2019, "Image
  synthesis with a single (robust) classifier".
"""

from __future__ import annotations

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
from mfvjax.facetworld.designs import PREPROCESSING, Design, Recipe
from mfvjax.facetworld.world import FacetWorld


def train(
    world: FacetWorld, design: Design, recipe: Recipe
) -> Iterator[tuple[int, Float[Array, ""], PyTree]]:
    """Trains a new network, step by step.

    Args:
      world: training pictures of the network's input size.
      design: of the network.
      recipe: how it learns.

    Yields:
      After each step its number from 1, its loss, and the averaged parameters so far.
    """
    module = design.module(len(world.class_names), nnx.Rngs(recipe.seed))
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
            graph, design, recipe, params, average, state, net_input, error, targets, drop_key
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


@functools.partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=(3, 5))
def _step(
    graph: Any,
    design: Design,
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
        module = nnx.merge(graph, params)
        blobs = design.answer(module, net_input + error, drop_key)
        logits = blobs[design.logits_layer]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
        inputs = [getattr(module, layer)(blobs[below]) for layer, below in design.hidden]
        return jnp.mean(losses) + recipe.waking * sum(silence(maps) for maps in inputs)

    loss, (gradient, slope) = jax.value_and_grad(loss_of, argnums=(0, 1))(params, error)
    updates, state = _optimizer(recipe).update(gradient, state, params)
    params = optax.apply_updates(params, updates)
    error = worsen(error, slope, recipe.distance / 64)
    average = jax.tree.map(
        lambda old, new: old + (1 - recipe.averaging) * (new - old), average, params
    )
    return params, average, state, error, loss


def silence(inputs: Float[Array, "batch *positions units"]) -> Float[Array, ""]:
    """How far, on average, the units' largest inputs before the rectifier stay below 1."""
    largest = jnp.max(inputs, axis=tuple(range(inputs.ndim - 1)))
    return jnp.mean(jax.nn.relu(1.0 - largest))


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
