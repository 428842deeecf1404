"""Receptive fields of modules whose inside is unknown, measured when first asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from mfvjax.types import ForwardFn, LayerInfo, Params, ReceptiveField

_BATCH = 16  # probes in one pass
Dependence = Bool[np.ndarray, "outputs inputs"]


class MeasuredLayer(LayerInfo):
    """Facts of a layer whose receptive field is measured when it is first read.

    Measuring takes some passes per row and column of the input; most users never need it.
    """

    def __init__(
        self, name: str, shape: tuple[int, ...], measure: Callable[[], Mapping[str, Any]]
    ) -> None:
        for field, value in (("name", name), ("shape", shape), ("_measure", measure)):
            object.__setattr__(self, field, value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, shape={self.shape})"  # measures nothing

    @functools.cached_property
    def receptive_field(self) -> ReceptiveField | None:  # type: ignore[override]
        """Of a map's position; ``None`` where every position sees the whole image."""
        measure: Callable[[], Mapping[str, ReceptiveField]] = self.__dict__["_measure"]
        return measure().get(self.name)


def measured_layers(
    forward: ForwardFn,
    params: Params,
    shapes: Mapping[str, tuple[int, ...]],
    input_shape: tuple[int, int, int],
) -> dict[str, LayerInfo]:
    """Facts of the layers of `shapes`; one measurement serves all of them."""

    @functools.cache
    def measure() -> dict[str, ReceptiveField]:
        return measure_receptive_fields(forward, params, shapes, input_shape)

    return {name: MeasuredLayer(name, shape, measure) for name, shape in shapes.items()}


def measure_receptive_fields(
    forward: ForwardFn,
    params: Params,
    shapes: Mapping[str, tuple[int, ...]],
    input_shape: tuple[int, int, int],
) -> dict[str, ReceptiveField]:
    """Receptive fields of the maps among `shapes`, from which outputs change with which input.

    One row (then one column) of the input at a time is set to NaN in its first half and to infinity
    in its second, which weights of zero and closed rectifiers do not hide; the output rows that
    change anywhere depend on it. Maps whose dependence is no affine function of the position, or
    is the whole image, are left out.

    Args:
      forward: ``(params, net_input) -> {layer: activation}``.
      params: as `forward` takes them; copied to the CPU.
      shapes: of the activations, without the batch axis.
      input_shape: ``(height, width, channels)``.
    """
    with jax.default_device(_probe_device()):
        params = jax.device_put(params, _probe_device())
        maps = [name for name, shape in shapes.items() if len(shape) == 3]
        rows = _probe_axis(forward, params, maps, input_shape, axis=0)
        columns = _probe_axis(forward, params, list(rows), input_shape, axis=1)
    fields = {}
    for name in columns:
        vertical, horizontal = fit_affine(rows[name]), fit_affine(columns[name])
        if vertical is not None and horizontal is not None:
            size, stride, start = zip(vertical, horizontal, strict=True)
            fields[name] = ReceptiveField(size, stride, start)
    return fields


def _probe_device() -> jax.Device | None:
    """The CPU: fast convolutions of accelerators let a NaN spread beyond its window."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # a process restricted to its accelerator; fields can only come out larger
        return None


def _probe_axis(
    forward: ForwardFn,
    params: Params,
    names: list[str],
    input_shape: tuple[int, int, int],
    axis: int,
) -> dict[str, Dependence]:
    """Dependence along one axis of the maps `names`, without those that see everything."""
    side = input_shape[axis]
    probe = functools.partial(_probe, forward, params, input_shape, axis)
    ends = probe(names, np.unique([0, side // 2, side - 1]))
    local = [name for name in names if not ends[name].all()]
    blocks = [probe(local, np.arange(side)[i : i + _BATCH]) for i in range(0, side, _BATCH)]
    return {name: np.concatenate([block[name] for block in blocks], axis=1) for name in local}


def _probe(
    forward: ForwardFn,
    params: Params,
    input_shape: tuple[int, int, int],
    axis: int,
    names: list[str],
    places: np.ndarray,
) -> dict[str, Dependence]:
    """Which output rows (or columns) of each map change with the input's at `places`."""
    if not names:
        return {}
    plain = np.random.default_rng(0).uniform(-1, 1, (1, *input_shape)).astype(np.float32)
    probes = np.repeat(plain, 1 + _BATCH, axis=0)
    half = (input_shape[1 - axis] + 1) // 2
    for probe, place in zip(np.moveaxis(probes[1:], 1 + axis, 1), places, strict=False):
        probe[place, :half], probe[place, half:] = np.nan, np.inf
    out = _selected(forward, tuple(names))(params, jnp.asarray(probes))
    return {name: _changed(out[name], axis)[:, : len(places)] for name in names}


@functools.lru_cache(maxsize=4)
def _selected(forward: ForwardFn, names: tuple[str, ...]) -> Callable[[Params, Any], Any]:
    def selected(params: Params, net_input: Any) -> dict[str, Any]:
        out = forward(params, net_input)
        return {name: out[name] for name in names}

    return jax.jit(selected)


def _changed(out: Any, axis: int) -> Dependence:
    out = np.asarray(out)
    return (out[1:] != out[:1]).any(axis=(2 - axis, 3)).T  # along the other axis, and channels


def fit_affine(depends: Dependence) -> tuple[int, int, int] | None:
    """``(size, stride, start)`` of the input interval that each output depends on.

    Intervals that reach the border of the input are known only on their other side, so sides are
    taken from where they are seen; clipped to the image, the fit contains every dependence and
    is exact at the center. ``None`` if there is no such fit, or all outputs see the same.
    """
    num_outputs, num_inputs = depends.shape
    if not depends.any(axis=1).all() or depends.all():
        return None
    index = np.arange(num_outputs)
    first, last = depends.argmax(axis=1), num_inputs - depends[:, ::-1].argmax(axis=1)
    first_seen, last_seen = first > 0, last < num_inputs
    steps = np.concatenate([_steps(first, first_seen), _steps(last, last_seen)])
    stride = int(np.median(steps)) if steps.size else max(1, round(num_inputs / num_outputs))
    if stride == 0:  # all positions see the same, though not the last rows, that no window reaches
        return None
    start = -(num_outputs - 1) * stride
    if first_seen.any():
        start = (first - index * stride)[first_seen].min()
    end = num_inputs
    if last_seen.any():
        end = (last - index * stride)[last_seen].max()
    begins, ends = (
        np.maximum(start + index * stride, 0),
        np.minimum(end + index * stride, num_inputs),
    )
    middle = num_outputs // 2
    exact = begins[middle] == first[middle] and ends[middle] == last[middle]
    if not exact or (begins > first).any() or (ends < last).any():
        return None
    return int(end - start), stride, int(start)


def _steps(sides: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return np.diff(sides)[seen[1:] & seen[:-1]]
