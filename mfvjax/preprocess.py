"""From images to what a network eats, and back: the only place that knows BGR and means.

An image is RGB in [0, 255], height by width by channel. Networks differ in channel order, in the
mean they subtract and in their scale; a ``Preprocessing`` says which, and travels with the weights.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

_ORDERS = ("RGB", "BGR")


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What is done to an RGB image in [0, 255] before a network sees it.

    ``net_input = (image[..., channel_order] - mean) * scale``, per channel. Nothing is resized:
    images must already have `input_size`.

    Attributes:
      input_size: ``(height, width)`` in pixels.
      channel_order: "RGB" or "BGR": of the network's input.
      mean: grey levels subtracted from the three channels, in `channel_order`.
      scale: factor after the subtraction; one for all channels, or one per channel in
        `channel_order` (for a network trained on [0, 1]: 1 / 255).

    Raises:
      ValueError: a size is below 1, the order is unknown, or a mean or scale is not finite, has
        not one or three values, or a scale is 0.
    """

    input_size: tuple[int, int]
    channel_order: str = "RGB"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float | tuple[float, float, float] = 1.0

    def __post_init__(self) -> None:
        if len(self.input_size) != 2 or min(self.input_size) < 1:
            raise ValueError(f"input_size must be (height, width), each >= 1: {self.input_size}")
        if self.channel_order not in _ORDERS:
            raise ValueError(f"channel_order must be RGB or BGR, not {self.channel_order!r}")
        if len(self.mean) != 3 or not all(map(math.isfinite, self.mean)):
            raise ValueError(f"mean must be three finite numbers, not {self.mean}")
        if not all(math.isfinite(factor) and factor for factor in self._scales):
            raise ValueError(f"scale must be finite and not 0, one or three, not {self.scale}")

    @property
    def _scales(self) -> tuple[float, ...]:
        scales = self.scale if isinstance(self.scale, tuple) else (self.scale,) * 3
        return scales if len(scales) == 3 else (0.0,)

    def _channels(
        self, values: tuple[float, ...], like: Float[Array, "*batch height width 3"]
    ) -> Array:
        """`values` of the three channels with the dtype and rank of `like`."""
        return jnp.asarray(values, like.dtype).reshape((1,) * (like.ndim - 1) + (3,))

    def _reorder(self, images: Float[Array, "*batch height width 3"]) -> Array:
        return images[..., ::-1] if self.channel_order == "BGR" else images

    def to_net_input(
        self, images: Num[Array, "*batch height width 3"]
    ) -> Float[Array, "*batch height width 3"]:
        """Turns RGB images in [0, 255] into net inputs; exact inverse of `to_images`.

        Args:
          images: one image or any number of batch axes; integers become float32.
        """
        if not jnp.issubdtype(images.dtype, jnp.floating):
            images = images.astype(jnp.float32)
        centered = self._reorder(images) - self._channels(self.mean, images)
        return centered * self._channels(self._scales, images)

    def to_images(
        self, net_input: Float[Array, "*batch height width 3"]
    ) -> Float[Array, "*batch height width 3"]:
        """Turns net inputs back into RGB images; the values are not clipped to [0, 255]."""
        unscaled = net_input / self._channels(self._scales, net_input)
        return self._reorder(unscaled + self._channels(self.mean, net_input))

    def to_json(self) -> str:
        """The four attributes as a JSON object."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Preprocessing:
        """Reads what `to_json` wrote.

        Raises:
          ValueError: `text` is not JSON, or not an object with just these attributes.
        """
        try:
            fields = _object_of(text, {field.name for field in dataclasses.fields(cls)})
            return cls(
                input_size=_numbers(fields["input_size"], int, 2),
                channel_order=fields["channel_order"],
                mean=_numbers(fields["mean"], float, 3),
                scale=_scale(fields["scale"]),
            )
        except (ValueError, TypeError) as error:
            raise ValueError(f"preprocessing cannot be read: {error}") from error


def _object_of(text: str, names: set[str]) -> dict[str, Any]:
    fields = json.loads(text)
    if not isinstance(fields, dict) or set(fields) != names:
        raise ValueError(f"expected a JSON object with {sorted(names)}, not {text[:200]!r}")
    return fields


def _numbers(values: Any, kind: type, count: int) -> Any:
    is_list = isinstance(values, list) and len(values) == count
    if not is_list or any(isinstance(v, bool) or not isinstance(v, int | kind) for v in values):
        raise ValueError(f"expected {count} numbers ({kind.__name__}), not {values!r}")
    return tuple(kind(value) for value in values)


def _scale(value: Any) -> Any:
    return _numbers(value, float, 3) if isinstance(value, list) else _numbers([value], float, 1)[0]


CAFFE_IMAGENET = Preprocessing((227, 227), "BGR", (104.0, 117.0, 123.0))
"""CaffeNet, AlexNet and SqueezeNet: BGR minus the channel means (B, G, R) = (104, 117, 123)."""
