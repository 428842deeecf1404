"""Checks that a unit exists, and says what exists when it does not."""

from __future__ import annotations

from collections.abc import Mapping

from mfvjax.types import LayerInfo, Unit
from mfvjax.unit_names import Token


def find_layer(layers: Mapping[str, LayerInfo], name: str) -> LayerInfo:
    """The facts of the layer called `name`.

    Raises:
      ValueError: there is no such layer; the message lists those there are.
    """
    if name not in layers:
        raise ValueError(f"no layer {name!r}; the layers are: {', '.join(layers)}")
    return layers[name]


def resolve_unit(layers: Mapping[str, LayerInfo], unit: Unit | str) -> Unit:
    """Checks a unit against the layers and fills in the center of its map.

    In a layer of tokens, shape ``(tokens, channels)``, a position is ``(token, 0)``, written as the
    token alone, or as ``cls`` for token 0.

    Args:
      layers: facts of a network's layers, by name.
      unit: a unit, or one written as ``Unit.parse`` reads it, by its name too if it has one.

    Returns:
      The unit: with a position in a map or a sequence of tokens, without one in a dense layer.

    Raises:
      ValueError: the text is no unit, or the layer, index, name or position does not exist.
    """
    unit = Unit.parse(unit, layers) if isinstance(unit, str) else unit
    info = find_layer(layers, unit.layer)
    if not 0 <= unit.index < info.num_units:
        raise ValueError(
            f"{unit}: layer {info.name!r} has units {info.name}:0 to "
            f"{info.name}:{info.num_units - 1}"
        )
    return Unit(unit.layer, unit.index, _position(unit, info))


def map_size(info: LayerInfo) -> tuple[int, int] | None:
    """``(rows, columns)`` of a layer's positions; ``None`` if it is dense; tokens are rows."""
    if info.is_dense:
        return None
    rows, columns = (*info.shape[:-1], 1)[:2]
    return rows, columns


def _position(unit: Unit, info: LayerInfo) -> tuple[int, int] | None:
    size = map_size(info)
    if size is None:
        if unit.position is not None:
            raise ValueError(
                f"{unit}: layer {info.name!r} is dense and has no positions; "
                f"write {unit.layer}:{unit.index}"
            )
        return None
    if len(info.shape) == 2:
        return _token(unit, info)
    if unit.position is None:
        return size[0] // 2, size[1] // 2
    if isinstance(unit.position, Token):
        raise ValueError(
            f"{unit}: layer {info.name!r} is a map, not tokens; give @ROW,COLUMN, rows 0 to "
            f"{size[0] - 1} and columns 0 to {size[1] - 1}"
        )
    if not all(0 <= place < side for place, side in zip(unit.position, size, strict=True)):
        raise ValueError(
            f"{unit}: the map of layer {info.name!r} has rows 0 to {size[0] - 1} and "
            f"columns 0 to {size[1] - 1}"
        )
    return unit.position


def _token(unit: Unit, info: LayerInfo) -> Token:
    if unit.position is None:
        return Token(info.shape[0] // 2)
    token, column = unit.position
    if column != 0 or not 0 <= token < info.shape[0]:
        raise ValueError(
            f"{unit}: layer {info.name!r} has tokens @0 (or @cls) to @{info.shape[0] - 1}"
        )
    return Token(token)
