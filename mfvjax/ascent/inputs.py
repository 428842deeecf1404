"""What users pass to `visualize`, checked and brought into one form."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float32

from mfvjax.domain import Domain
from mfvjax.objective import Objective, Reading, unit_objective
from mfvjax.recipe import Recipe
from mfvjax.types import Keys, PixelBox, Unit

if TYPE_CHECKING:
    from mfvjax.network import Network

Target: TypeAlias = Unit | str | Objective


def checked_region(region: PixelBox, input_size: tuple[int, int]) -> PixelBox:
    """`region`, if it is a box of pixels inside the network's input; else ValueError."""
    if region.clip(input_size) != region or min(region.size) < 1:
        raise ValueError(
            f"region {region} does not lie inside the network's input of "
            f"{input_size[0]}x{input_size[1]}; PixelBox.clip gives the part that does"
        )
    return region


def checked_starts(
    starts: ArrayLike, window_size: tuple[int, int], domain: Domain
) -> Float32[np.ndarray, "b h w c"]:
    """Start images of a domain as float32 ``(b, height, width, channels)``; else ValueError."""
    images = np.asarray(starts, np.float32)
    channels = domain.channels
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4 or images.shape[-1] != channels or not len(images):
        what = "RGB images" if domain.is_color else f"{domain.kind} images"
        raise ValueError(
            f"starts must be one or more {what} (b, height, width, {channels}), not {images.shape}"
        )
    if images.shape[1] < window_size[0] or images.shape[2] < window_size[1]:
        raise ValueError(
            f"start images of {images.shape[1]}x{images.shape[2]} pixels are smaller than the "
            f"window of {window_size[0]}x{window_size[1]} that the ascent crops from them"
        )
    if not (images.min() >= domain.low and images.max() <= domain.high):  # true for NaN also
        what = "grey levels" if (domain.low, domain.high) == (0, 255) else "values"
        raise ValueError(
            f"start images must hold finite {what} in [{domain.low:g}, {domain.high:g}]"
        )
    return images


def resolve_targets(
    network: Network, targets: Target | Sequence[Target], count: int
) -> tuple[list[Objective], tuple[str, ...]]:
    """One objective per start image, and what to call it."""
    if isinstance(targets, Unit | str | Objective):
        targets = [targets] * count
    if len(targets) != count:
        raise ValueError(
            f"{len(targets)} targets for {count} start images; give one target, or one per image"
        )
    objectives, labels = [], []
    for target in targets:
        if isinstance(target, Objective):
            objectives.append(target)
            labels.append(target.label)
        else:
            unit = network.resolve(target)
            objectives.append(unit_objective(unit))
            labels.append(str(unit))
    return objectives, tuple(labels)


def find_softmax_layers(
    network: Network, objectives: Sequence[Objective], recipe: Recipe
) -> tuple[str, ...]:
    """Layers of readings whose activations are probabilities: at least 0, with a sum of 1.

    Looked at only where a phase climbs probabilities, of which no softmax is to be taken again.
    """
    if all(phase.target == "unit" for phase in recipe.phases):
        return ()
    readings = [t for o in objectives for t in o.terms if isinstance(t, Reading)]
    layers = {term.layer for term in readings} & set(network.layers)
    layers -= {network.logits_layer}
    if not layers:
        return ()
    domain = network.preprocessing.domain
    rng = np.random.default_rng(0)
    shape = (2, *network.input_size, domain.channels)
    images = rng.uniform(domain.low, domain.high, shape).astype(np.float32)
    found = network.activations(images, sorted(layers))

    def is_softmax(activation: Array) -> bool:
        values = np.asarray(activation)
        return bool(values.min() >= 0 and np.abs(values.sum(axis=-1) - 1).max() < 1e-3)

    return tuple(name for name, activation in found.items() if is_softmax(activation))


def facet_keys(key: Array | int, count: int) -> Keys:
    """One key per facet."""
    keys = jax.random.key(key) if isinstance(key, int) else key
    if not jnp.issubdtype(keys.dtype, jax.dtypes.prng_key):
        keys = jax.random.wrap_key_data(keys)
    if keys.ndim == 0:
        return jax.vmap(functools.partial(jax.random.fold_in, keys))(jnp.arange(count))
    if keys.shape != (count,):
        raise ValueError(f"keys of shape {keys.shape} for {count} start images; give one key each")
    return keys
