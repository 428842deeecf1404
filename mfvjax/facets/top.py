"""The images of a pool that activate units most: many units, one pass, a pool of any size."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from mfvjax.facets.places import Positions
from mfvjax.facets.reading import (
    AskedUnits,
    FacetNetwork,
    UnitRequest,
    as_arrays,
    as_positions,
    read_units,
    request_unit,
)
from mfvjax.images import (
    Batch,
    Imagelike,
    ImageSource,
    SkippedImage,
    iterate_batches,
    open_images,
)
from mfvjax.images.batches import OnError
from mfvjax.images.resize import ResizeShorter
from mfvjax.preprocess import Preprocessing
from mfvjax.types import ForwardFn, Params, Unit

TOP_SHARE = 0.02
"""Of a pool, that a hidden unit's facets are sought among."""
LEAST_TOP = 50
"""Images of a pool, likewise: ten facets of five."""

Best: TypeAlias = tuple[Array, Array, Array]  # activations, image indices, places: (units, count)
Groups: TypeAlias = dict[str, list[tuple[int, UnitRequest]]]
"""By layer: the units asked for, each with its place among all."""


@dataclasses.dataclass(frozen=True, eq=False)
class TopImages:
    """The images that activate one unit most, best first; of equal ones the earlier image first.

    Attributes:
      unit: as it was asked for.
      indices: of the images in their source.
      activations: of the unit; for a map without a fixed position, the maximum over the positions
        that count.
      positions: ``(row, column)`` of that maximum, ``(token, 0)`` for tokens; ``None`` if dense.
      names: of the images.
      skipped: images of the pool that could not be read, the same for all units.
    """

    unit: Unit
    indices: Int[np.ndarray, " count"]
    activations: Float[np.ndarray, " count"]
    positions: Int[np.ndarray, "count 2"] | None
    names: tuple[str, ...]
    skipped: tuple[SkippedImage, ...] = ()


def top_images(
    network: FacetNetwork,
    images: Imagelike,
    *,
    units: Sequence[Unit | str],
    count: int | None = None,
    fraction: float | None = None,
    only_active: bool = False,
    positions: Positions = "inside",
    batch_size: int = 32,
    resize_shorter: ResizeShorter = "fit",
    warp: bool = False,
    on_error: OnError = "skip",
    max_unreadable: float = 1.0,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[TopImages, ...]:
    """Finds the images that activate each unit most, in one pass over the pool.

    The running best of every unit stay on the device; memory does not grow with the pool but for
    its names. The result depends neither on `batch_size` nor on decoding order, as far as the
    network's own activations do not.

    Args:
      network: what is asked.
      images: the pool; as `open_images`, of the network's domain.
      units: of any layers; one of a map without a position counts by its maximum over the
        positions that `positions` names, one with a position by its activation there.
      count: images per unit; fewer are returned if too many images cannot be read.
      fraction: instead of `count`, a share of the pool in (0, 1], rounded to nearest and at least
        one image. The paper's is 0.02.
      only_active: leave out images on which a unit is exactly 0, as it is where its ReLU is closed;
        fewer than `count` may remain, or none.
      positions: "inside" for those whose receptive field lies inside the image, where a map has
        any (see ``counted_window``); "all", as in the paper, for facets of the border too.
      batch_size: images in one pass of the network.
      resize_shorter: see ``ResizeRule``.
      warp: see ``ResizeRule``.
      on_error: what to do with an unreadable image.
      max_unreadable: the largest share of the pool that may be skipped.
      num_workers: decoding threads; see ``iterate_batches``.
      progress: called with the number of images done and of all, after each batch.

    Returns:
      One result per unit, in their order.

    Raises:
      TooManyUnreadableError: more than `max_unreadable` of the images are unreadable.
      UnreadableImageError: an image is unreadable and `on_error` is ``"raise"``.
      ValueError: not just one of `count` and `fraction` is given, or it is out of range; there are
        no units, or one does not exist; no image can be read; an activation is not finite.

    References:
      Nguyen et al. 2016 (arXiv 1602.03616), hidden units: the top 2 % of the validation images.
    """
    requests = [request_unit(network, unit, positions=positions) for unit in units]
    if not requests:
        raise ValueError("units is empty; give at least one unit, such as 'conv4:12'")
    source = open_images(images, domain=network.preprocessing.domain)
    number = top_number(len(source), count=count, fraction=fraction)
    groups = _group(requests)
    batches = iterate_batches(
        source,
        size=network.input_size,
        batch_size=batch_size,
        resize_shorter=resize_shorter,
        warp=warp,
        on_error=on_error,
        max_unreadable=max_unreadable,
        num_workers=num_workers,
    )
    best, skipped = _scan(network, batches, len(source), number, groups, only_active, progress)
    num_read = len(source) - len(skipped)
    if num_read == 0:
        raise ValueError(f"none of {len(source)} images can be read; the first: {skipped[0]}")
    results: dict[int, TopImages] = {}
    for layer, members in groups.items():
        host = [np.asarray(values)[:, :num_read] for values in best[layer]]
        for row, (place, request) in enumerate(members):
            activations, indices, places = (values[row] for values in host)
            there = activations > -np.inf
            activations, indices, places = activations[there], indices[there], places[there]
            results[place] = _result(request, source, activations, indices, places, skipped)
    return tuple(results[place] for place in range(len(requests)))


def too_few_activate(request: UnitRequest, found: int, needed: int) -> ValueError:
    """The error where too few images of a pool activate a unit at all.

    Args:
      request: the unit.
      found: images on which it is not 0.
      needed: of these, at least.
    """
    unit = request.unit
    where = " where its receptive field lies inside the image" if request.is_limited else ""
    what = f"only {found} images activate {unit}{where}, which is 0 on the rest of the pool"
    if found == 0:
        what = f"no image of the pool activates {unit}{where}"
    other = ', or positions="all"' if request.is_limited else ""
    return ValueError(
        f"{what}; at least {needed} are needed: take another unit, or a pool for this one{other}"
    )


def top_number(pool: int, *, count: int | None, fraction: float | None) -> int:
    """How many of the `pool` images `count` or `fraction` asks for.

    Raises:
      ValueError: not just one of them is given, or it is out of range; see `top_images`.
    """
    if (count is None) == (fraction is None):
        raise ValueError(f"give either count or fraction, not count={count}, fraction={fraction}")
    if fraction is not None:
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction={fraction} must be in (0, 1]; the top 2 % are 0.02")
        return max(1, round(fraction * pool))
    assert count is not None
    if not 1 <= count <= pool:
        raise ValueError(f"count={count} must be from 1 to the {pool} images of the pool")
    return count


def default_top(num_images: int, *, least: int) -> int:
    """How many images are taken for a hidden unit where nothing else is asked for.

    As the paper's and an atlas's: 2 % of the pool, but no fewer than facets need.

    Args:
      num_images: of the pool; no more are taken.
      least: no fewer are taken, as long as there are so many.
    """
    return min(num_images, max(round(TOP_SHARE * num_images), LEAST_TOP, least))


def _group(requests: Sequence[UnitRequest]) -> Groups:
    groups: Groups = {}
    for place, request in enumerate(requests):
        groups.setdefault(request.unit.layer, []).append((place, request))
    return groups


def _scan(
    network: FacetNetwork,
    batches: Iterable[Batch],
    total: int,
    number: int,
    groups: Groups,
    only_active: bool,
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[str, Best], tuple[SkippedImage, ...]]:
    """The best `number` of every unit, by layer, and what could not be read."""
    best = {layer: _nothing(len(members), number) for layer, members in groups.items()}
    asked = {layer: as_arrays([request for _, request in groups[layer]]) for layer in groups}
    skipped: list[SkippedImage] = []
    num_read = 0
    for batch in batches:
        indices = np.full(len(batch.images), -1, np.int32)
        indices[: batch.count] = batch.indices
        waiting = best
        best = _update(
            network.params,
            batch.images,
            indices,
            best,
            asked,
            forward=network.forward,
            preprocessing=network.preprocessing,
            only_active=only_active,
        )
        jax.block_until_ready(waiting)  # else decoded batches pile up before a slow device
        num_read += batch.count
        skipped.extend(batch.skipped)
        if progress is not None:
            progress(num_read + len(skipped), total)
    return best, tuple(skipped)


def _nothing(num_units: int, count: int) -> Best:
    shape = (num_units, count)
    none = jnp.full(shape, -1, jnp.int32)
    return jnp.full(shape, -jnp.inf, jnp.float32), none, none


@functools.partial(jax.jit, static_argnames=("forward", "preprocessing", "only_active"))
def _update(
    params: Params,
    images: Num[Array, "batch height width channels"],
    indices: Int[Array, " batch"],
    best: dict[str, Best],
    asked: dict[str, AskedUnits],
    *,
    forward: ForwardFn,
    preprocessing: Preprocessing,
    only_active: bool,
) -> dict[str, Best]:
    """Merges one batch into the running best; rows of index -1 are padding."""
    activations = forward(params, preprocessing.to_net_input(images.astype(jnp.float32)))
    merged = {}
    for layer, units in asked.items():
        values, where = read_units(activations[layer], units)
        values = values.astype(jnp.float32)
        # What is not finite comes out on top, where `_result` finds it.
        values = jnp.where(jnp.isfinite(values), values, jnp.inf)
        left_out = (indices[:, None] < 0) | (only_active & (values == 0))
        values = jnp.where(left_out, -jnp.inf, values)
        merged[layer] = _merge(best[layer], (values.T, indices, where.T))
    return merged


def _merge(best: Best, new: Best) -> Best:
    """The best of both; of equals ``top_k`` prefers the left, where the earlier images are."""
    activations, indices, places = best
    new_activations, new_indices, new_places = new
    rows = jnp.broadcast_to(new_indices[None, :], new_activations.shape)
    joined = jnp.concatenate([activations, new_activations], axis=1)
    # Plus and minus zero are the same activation.
    joined = jnp.where(joined == 0, 0.0, joined)
    kept, order = jax.lax.top_k(joined, activations.shape[1])
    take = functools.partial(jnp.take_along_axis, indices=order, axis=1)
    return (
        kept,
        take(jnp.concatenate([indices, rows], axis=1)),
        take(jnp.concatenate([places, new_places], axis=1)),
    )


def _result(
    request: UnitRequest,
    source: ImageSource,
    activations: np.ndarray,
    indices: np.ndarray,
    places: np.ndarray,
    skipped: tuple[SkippedImage, ...],
) -> TopImages:
    if not np.isfinite(activations).all():
        bad = source.names[int(indices[np.argmin(np.isfinite(activations))])]
        raise ValueError(f"unit {request.unit} has an activation that is not finite on {bad!r}")
    positions = as_positions(request, places)
    names = tuple(source.names[int(index)] for index in indices)
    return TopImages(request.unit, indices.astype(np.int64), activations, positions, names, skipped)
