"""Which axes of an activation are the image's rows and columns: measured, not guessed.

A user's function may give maps channels last or first, or some of each (ConvNeXt, Swin). What tells
is what an axis follows: replace the upper half of an image by that of another, and the activation
changes at the low end of the axis of the rows, and all along the other two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfvjax.preprocess import Preprocessing
from mfvjax.types import ForwardFn, NetInput, Params

Order: TypeAlias = tuple[int, ...]
Contrast: TypeAlias = Float[np.ndarray, "directions axes"]

FORMATS: dict[str, Order] = {
    "NHWC": (0, 1, 2, 3),
    "NCHW": (0, 2, 3, 1),
    "NTC": (0, 1, 2),
    "NCT": (0, 2, 1),
}
"""Layouts by name, each as the transposition that puts channels last; T counts tokens."""

_LEAST = 0.2  # contrast of an axis that follows the image: 1 if wholly local, of others near 0
_MARGIN = 0.1  # ahead of the next best choice of axes
_CELLS = 4  # per side of half an image: coarse, so that deep layers see a difference too
_BY_RANK = {4: ("NHWC", "NCHW"), 3: ("NTC", "NCT")}


def channels_last(
    forward: ForwardFn,
    params: Params,
    shapes: Mapping[str, tuple[int, ...]],
    preprocessing: Preprocessing,
    *,
    input_format: str,
    data_formats: Mapping[str, str],
) -> dict[str, Order]:
    """For each activation the transposition to ``(batch, rows, columns, channels)``.

    Likewise to ``(batch, tokens, channels)`` for three axes; two are left alone. In this order:

    1. what `data_formats` says;
    2. where only one axis is longer than 1, it is the channels;
    3. measured: the axes that follow the image's rows and columns, in one compiled pass of six
       images for all layers (see `contrasts`);
    4. of what no measurement tells, since every position sees the whole image alike: the layout
       that gives a map of sizes that another layer has; else that of the nearest layer before it
       that is known, or after it; else `input_format`, and tokens before channels.

    Args:
      forward: ``(params, net_input) -> {layer: activation}``, net inputs channels last.
      params: as `forward` takes them.
      shapes: of the activations as `forward` gives them, without the batch, in their order.
      preprocessing: of the images.
      input_format: "NHWC" or "NCHW", of what the user's function takes.
      data_formats: names of layouts, see `FORMATS`, by layer.

    Raises:
      ValueError: `data_formats` names no layer, or a layout that its number of axes cannot have.
    """
    orders: dict[str, Order] = _given(shapes, data_formats)
    orders |= {n: _by_sizes(s) for n, s in shapes.items() if n not in orders and _is_plain(s)}
    unknown = [name for name in shapes if name not in orders]
    if unknown:
        measured = contrasts(forward, params, unknown, preprocessing)
        found = {name: order_of(measured[name]) for name in unknown}
        orders |= {name: order for name, order in found.items() if order is not None}
    others = {n: _like_others(n, shapes, orders, input_format) for n in shapes if n not in orders}
    return orders | others


def turned_shapes(
    shapes: Mapping[str, tuple[int, ...]], orders: Mapping[str, Order]
) -> dict[str, tuple[int, ...]]:
    """`shapes`, without the batch, of activations transposed by `orders`; others stay."""
    return {n: _turned(s, orders[n]) if n in orders else s for n, s in shapes.items()}


def contrasts(
    forward: ForwardFn, params: Params, names: list[str], preprocessing: Preprocessing
) -> dict[str, Contrast]:
    """How the axes of activations follow the image's rows (first line) and columns (second).

    With `first` the change where the upper half of an image is replaced, and `last` where the lower
    half is, both summed over all other axes: the mean of ``(last - first) / (last + first)`` over
    the upper half of an axis, less that over its lower half, divided by 2. This is 1 along the rows
    of a map whose positions see one half only, and near 0 along columns and channels.

    Args:
      forward: as `channels_last`.
      params: likewise.
      names: of the activations to measure.
      preprocessing: of the images.
    """
    batch = preprocessing.to_net_input(jnp.asarray(_probes(preprocessing)))

    def chosen(params: Params, batch: NetInput) -> dict[str, Array]:
        out = forward(params, batch)
        return {name: out[name].astype(jnp.float32) for name in names}

    # Reduced outside of the compiled pass: within it, the sums of each layer take far longer to
    # compile than the network itself.
    out = jax.jit(chosen)(params, batch)
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite tells nothing
        return {name: _contrast(np.asarray(out.pop(name))) for name in names}


def order_of(contrast: Contrast) -> Order | None:
    """The transposition to channels last that measured contrasts tell; ``None`` if they do not.

    Args:
      contrast: of one activation, as `contrasts` gives it, its axes without the batch.
    """
    rows, columns = contrast
    axes = range(len(rows))
    if len(rows) == 2:  # tokens follow the rows or the columns, whichever run slower
        scores: dict[Order, float] = {
            (axis,): float(max(rows[axis], columns[axis])) for axis in axes
        }
        weakest = scores
    else:
        pairs = [(i, j) for i in axes for j in axes if i != j]
        scores = {(i, j): float(rows[i] + columns[j]) for i, j in pairs}
        weakest = {(i, j): float(min(rows[i], columns[j])) for i, j in pairs}
    best, second = sorted(scores, key=lambda pair: -scores[pair])[:2]
    if weakest[best] < _LEAST or scores[best] - scores[second] < _MARGIN:
        return None
    (channels,) = set(axes) - set(best)
    return (0, *(axis + 1 for axis in best), channels + 1)


def _given(shapes: Mapping[str, tuple[int, ...]], formats: Mapping[str, str]) -> dict[str, Order]:
    unknown = sorted(formats.keys() - shapes.keys())
    if unknown:
        raise ValueError(f"data_formats names no layer: {unknown}; there are: {', '.join(shapes)}")
    for name, text in formats.items():
        rank = 1 + len(shapes[name])
        if text not in _BY_RANK.get(rank, ()):
            choice = " or ".join(_BY_RANK.get(rank, ("none, as it has no positions",)))
            raise ValueError(
                f"data_formats[{name!r}] is {text!r}, but the layer has {rank} axes with the "
                f"batch: {choice}"
            )
    return {name: FORMATS[text] for name, text in formats.items()}


def _is_plain(shape: tuple[int, ...]) -> bool:
    return len(shape) == 1 or sum(side > 1 for side in shape) == 1


def _by_sizes(shape: tuple[int, ...]) -> Order:
    """Channels are the one axis that is longer than 1."""
    channels = shape.index(max(shape))
    return (0, *(axis + 1 for axis in range(len(shape)) if axis != channels), channels + 1)


def _like_others(
    name: str,
    shapes: Mapping[str, tuple[int, ...]],
    orders: Mapping[str, Order],
    input_format: str,
) -> Order:
    """The layout of a layer that cannot be measured, from those of its rank that could."""
    names, shape = list(shapes), shapes[name]
    known = {n: orders[n] for n in names if n in orders and len(shapes[n]) == len(shape)}
    sizes = {_turned(shapes[n], order) for n, order in known.items() if not _is_plain(shapes[n])}
    layouts = [FORMATS[text] for text in _BY_RANK[1 + len(shape)]]
    fitting = [order for order in layouts if _turned(shape, order) in sizes]
    if len(fitting) == 1:
        return fitting[0]
    place = names.index(name)
    for neighbor in (*reversed(names[:place]), *names[place + 1 :]):
        if neighbor in known:
            return known[neighbor]
    return FORMATS[input_format] if len(shape) == 3 else layouts[0]


def _turned(shape: tuple[int, ...], order: Order) -> tuple[int, ...]:
    return tuple(shape[axis - 1] for axis in order[1:])


def _probes(preprocessing: Preprocessing) -> Float[np.ndarray, "6 height width channels"]:
    """Two random images, and the first with each half of it replaced by the other's.

    Each image is one tile four times: so the halves of an image change alike, at another place
    only, and what a channel prefers says nothing of places.
    """
    domain, (height, width) = preprocessing.domain, preprocessing.input_size
    upper, left = (height + 1) // 2, (width + 1) // 2
    cells = np.random.default_rng(0).uniform(
        domain.low, domain.high, (2, _CELLS, _CELLS, domain.channels)
    )
    rows, columns = (
        np.arange(side) % half * _CELLS // half for side, half in ((height, upper), (width, left))
    )
    one, other = cells[:, rows][:, :, columns].astype(np.float32)
    probes = np.stack([one, other, one, one, one, one])
    probes[2, :upper], probes[3, upper:] = other[:upper], other[upper:]
    probes[4, :, :left], probes[5, :, left:] = other[:, :left], other[:, left:]
    return probes


def _contrast(out: Float[np.ndarray, "6 side *sides"]) -> Contrast:
    """As `contrasts` describes it, of one activation of the six `_probes`."""
    one, other, *halves = out
    lines = []
    for first, last in (halves[:2], halves[2:]):
        # Each half is replaced twice: in the one image, and in the other.
        low = np.abs(first - one) + np.abs(last - other)
        high = np.abs(last - one) + np.abs(first - other)
        lines.append([_along(low, high, axis) for axis in range(one.ndim)])
    return np.array(lines)


def _along(low: np.ndarray, high: np.ndarray, axis: int) -> float:
    others = tuple(other for other in range(low.ndim) if other != axis)
    low, high = low.sum(others), high.sum(others)
    total, half = low + high, low.size // 2
    share = np.divide(high - low, total, out=np.zeros_like(total), where=total > 0)
    contrast = (share[-half:].mean() - share[:half].mean()) / 2 if half else 0.0
    return float(contrast) if np.isfinite(contrast) else 0.0
