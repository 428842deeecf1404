"""What users pass to `visualize`, checked and brought into one form."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from mfvjax.objective import FacetTerm, Objective, Term, unit_objective
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


def checked_starts(starts: ArrayLike, window_size: tuple[int, int]) -> np.ndarray:
    """Start images as float32 ``(b, height, width, 3)``."""
    images = np.asarray(starts, np.float32)
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4 or images.shape[-1] != 3 or not len(images):
        raise ValueError(
            f"starts must be one or more RGB images (b, height, width, 3), not {images.shape}"
        )
    if images.shape[1] < window_size[0] or images.shape[2] < window_size[1]:
        raise ValueError(
            f"start images of {images.shape[1]}x{images.shape[2]} pixels are smaller than the "
            f"window of {window_size[0]}x{window_size[1]} that the ascent crops from them"
        )
    if not np.isfinite(images).all() or images.min() < 0 or images.max() > 255:
        raise ValueError("start images must hold finite grey levels in [0, 255]")
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
            labels.append(" + ".join(_label(term) for term in target.terms if term.weight))
        else:
            unit = network.resolve(target)
            objectives.append(unit_objective(unit))
            labels.append(str(unit))
    return objectives, tuple(labels)


def _label(term: Term | FacetTerm) -> str:
    if isinstance(term, FacetTerm):
        return f"{term.weight:g} * facet {term.own} in {term.layer}"
    channels = term.channels if isinstance(term.channels, int | np.integer) else "direction"
    where = term.where if isinstance(term.where, str) else f"{term.where[0]},{term.where[1]}"
    weight = "" if term.weight == 1 else f"{term.weight:g} * "
    return f"{weight}{term.layer}:{channels}@{where}"


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
