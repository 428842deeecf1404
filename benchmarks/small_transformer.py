"""A small vision transformer as a pure function, and how it learns painted pictures.

Pictures of 96 pixels become 12 x 12 tokens by two convolutions, and a class token is put before
them; four blocks of attention and a layer of classes follow. It is here so that a transformer can
be tried with something to see: trained on class labels only, as the bundled networks are.

References: Dosovitskiy et al. 2021, "An image is worth 16x16 words"; Xiao et al. 2021, "Early
  convolutions help transformers see better" (the stem).
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import safetensors.numpy
from jaxtyping import Array, Float

from mfvjax.facetworld.augment import random_views
from mfvjax.facetworld.designs import PREPROCESSING
from mfvjax.facetworld.world import FacetWorld
from mfvjax.network import Network

WIDTH, NUM_BLOCKS, NUM_HEADS, SIDE = 96, 4, 4, 12
_STRIDES = (4, 2)
Params = dict[str, Array]


def init(key: Array, num_classes: int) -> Params:
    """Parameters, by name; kernels are normal with variance one over their inputs."""
    shapes: dict[str, tuple[int, ...]] = {
        "stem0/kernel": (7, 7, 3, 48),
        "stem1/kernel": (3, 3, 48, WIDTH),
        "head/kernel": (WIDTH, num_classes),
    }
    for block in range(NUM_BLOCKS):
        shapes[f"block{block}/qkv/kernel"] = (WIDTH, 3 * WIDTH)
        shapes[f"block{block}/out/kernel"] = (WIDTH, WIDTH)
        shapes[f"block{block}/up/kernel"] = (WIDTH, 2 * WIDTH)
        shapes[f"block{block}/down/kernel"] = (2 * WIDTH, WIDTH)
    keys = jax.random.split(key, len(shapes) + 1)
    params = {
        name: jax.random.normal(k, shape) / np.sqrt(np.prod(shape[:-1]))
        for k, (name, shape) in zip(keys[1:], shapes.items(), strict=True)
    }
    params |= {name.replace("kernel", "bias"): jnp.zeros(s[-1]) for name, s in shapes.items()}
    params["positions"] = 0.02 * jax.random.normal(keys[0], (1 + SIDE**2, WIDTH))
    params["class"] = jnp.zeros((1, 1, WIDTH))
    for block in range(NUM_BLOCKS):
        params[f"block{block}/scale"] = jnp.ones((2, WIDTH))
    return params | {"scale": jnp.ones(WIDTH)}


def apply(params: Params, images: Float[Array, "batch 96 96 3"]) -> dict[str, Array]:
    """Named activations: the map of patches, tokens after each block, class token, logits."""
    found: dict[str, Array] = {}
    maps = images
    for number, stride in enumerate(_STRIDES):
        kernel = params[f"stem{number}/kernel"]
        maps = jax.lax.conv_general_dilated(
            maps, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        maps = jax.nn.relu(maps + params[f"stem{number}/bias"][None, None, None])
        found[f"stem{number}"] = maps
    tokens = maps.reshape(maps.shape[0], -1, WIDTH)
    first = jnp.broadcast_to(params["class"], (tokens.shape[0], 1, WIDTH))
    tokens = jnp.concatenate([first, tokens], axis=1) + params["positions"][None]
    for block in range(NUM_BLOCKS):
        tokens = _block(params, f"block{block}", tokens)
        found[f"block{block}"] = tokens
    found["class_token"] = _normalized(tokens[:, 0]) * params["scale"][None]
    found["logits"] = _dense(params, "head", found["class_token"])
    return found


def _block(params: Params, name: str, tokens: Float[Array, "b t d"]) -> Float[Array, "b t d"]:
    scale = params[f"{name}/scale"][:, None, None]
    heads = (NUM_HEADS, WIDTH // NUM_HEADS)
    qkv = _dense(params, f"{name}/qkv", _normalized(tokens) * scale[0])
    query, key, value = (a.reshape(*a.shape[:2], *heads) for a in jnp.split(qkv, 3, axis=-1))
    weights = jax.nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", query, key) / heads[1] ** 0.5)
    mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, value).reshape(tokens.shape)
    tokens = tokens + _dense(params, f"{name}/out", mixed)
    up = jax.nn.gelu(_dense(params, f"{name}/up", _normalized(tokens) * scale[1]))
    return tokens + _dense(params, f"{name}/down", up)


def _dense(params: Params, name: str, inputs: Array) -> Array:
    bias = params[f"{name}/bias"]
    return inputs @ params[f"{name}/kernel"] + bias.reshape((1,) * (inputs.ndim - 1) + (-1,))


def _normalized(tokens: Array) -> Array:
    centered = tokens - tokens.mean(axis=-1, keepdims=True)
    return centered / jnp.sqrt((centered**2).mean(axis=-1, keepdims=True) + 1e-6)


def train(
    world: FacetWorld, *, num_steps: int, batch_size: int = 48, seed: int = 0
) -> Iterator[tuple[int, float, Params]]:
    """Trains on random views of painted pictures; after each step its number, loss, parameters."""
    rate = optax.warmup_cosine_decay_schedule(0.0, 2e-3, max(num_steps // 10, 1), num_steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=0.05))
    params = init(jax.random.key(seed), len(world.class_names))
    state = optimizer.init(params)
    images, labels = jnp.asarray(world.images), jnp.asarray(world.class_index)
    counts = np.bincount(world.class_index)
    chances = counts[world.class_index] ** -0.5
    rng = np.random.default_rng(seed)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Params, state: Any, key: Array, chosen: Array) -> tuple[Params, Any, Array]:
        views = random_views(key, images[chosen].astype(jnp.float32))
        net_input, targets = PREPROCESSING.to_net_input(views), labels[chosen]

        def loss_of(params: Params) -> Array:
            logits = apply(params, net_input)["logits"]
            return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

        loss, gradient = jax.value_and_grad(loss_of)(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, loss

    for number in range(num_steps):
        chosen = rng.choice(len(chances), batch_size, p=chances / chances.sum())
        key = jax.random.fold_in(jax.random.key(seed), number)
        params, state, loss = step(params, state, key, jnp.asarray(chosen))
        yield number + 1, float(loss), params


def network(params: Params, class_names: tuple[str, ...]) -> Network:
    """The transformer behind the package's one face."""
    return Network.from_function(
        apply,
        params,
        preprocessing=PREPROCESSING,
        name="small-transformer",
        class_names=class_names,
    )


def save(params: Params, path: pathlib.Path) -> None:
    """Writes the parameters."""
    safetensors.numpy.save_file({name: np.asarray(leaf) for name, leaf in params.items()}, path)


def load(path: pathlib.Path) -> Params:
    """Reads what `save` wrote."""
    return {name: jnp.asarray(leaf) for name, leaf in safetensors.numpy.load_file(path).items()}
