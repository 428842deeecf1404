"""From images to what a network eats, and back: the only place that knows BGR and means.

An image is height by width by channel, in its domain's range: RGB in [0, 255] unless the network
says otherwise. Networks differ in channel order, in the mean they subtract and in their scale; a
``Preprocessing`` says which, and travels with the weights.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from mfvjax.domain import RGB, Domain

_ORDERS = ("RGB", "BGR")


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What is done to an image before a network sees it.

    ``net_input = (image[..., channel_order] - mean) * scale``, per channel. Nothing is resized:
    images must already have `input_size`.

    Attributes:
      input_size: ``(height, width)`` in pixels.
      channel_order: "RGB" or "BGR": of the network's input; images of other kinds stay as they are.
      mean: subtracted from the channels, in `channel_order`: one number for all, or one each; in
        the units of the images (grey levels).
      scale: factor after the subtraction; one for all channels, or one per channel in
        `channel_order` (for a network trained on [0, 1]: 1 / 255).
      domain: what images are; RGB in [0, 255] unless told otherwise.

    Lists and arrays are taken for tuples.

    Raises:
      ValueError: a size is below 1, the order is unknown or does not fit the domain, or a mean or
        scale is not finite, has neither one value nor one per channel, or a scale is 0.
    """

    input_size: tuple[int, int]
    channel_order: str = "RGB"
    mean: tuple[float, ...] | float = 0.0
    scale: float | tuple[float, ...] = 1.0
    domain: Domain = RGB

    def __post_init__(self) -> None:
        size = tuple(_plain_numbers("input_size", self.input_size))
        if len(size) != 2 or min(size) < 1 or any(side != int(side) for side in size):
            raise ValueError(f"input_size must be (height, width), each >= 1: {self.input_size}")
        mean = _plain_numbers("mean", self.mean)
        scale = _plain_numbers("scale", self.scale)
        channels = self.domain.channels
        if self.channel_order not in _ORDERS:
            raise ValueError(f"channel_order must be RGB or BGR, not {self.channel_order!r}")
        if self.channel_order == "BGR" and not self.domain.is_color:
            raise ValueError(f"channel_order BGR needs RGB images, not {self.domain.kind!r}")
        counts = "one finite number, or three" if channels == 3 else f"one, or {channels}"
        if len(mean) not in (1, channels) or not all(map(math.isfinite, mean)):
            raise ValueError(f"mean must be {counts} finite numbers, not {self.mean}")
        if len(scale) not in (1, channels) or not all(math.isfinite(s) and s for s in scale):
            raise ValueError(f"scale must be finite and not 0, {counts}, not {self.scale}")
        # Plain values, whatever came: a preprocessing is part of the key of compiled programs.
        object.__setattr__(self, "input_size", (int(size[0]), int(size[1])))
        object.__setattr__(self, "mean", mean * channels if len(mean) == 1 else mean)
        object.__setattr__(self, "scale", scale[0] if len(scale) == 1 else scale)

    def _channels(
        self, values: tuple[float, ...] | float, like: Float[Array, "*batch height width channels"]
    ) -> Array:
        """`values` of the channels with the dtype and rank of `like`."""
        count = self.domain.channels
        row = values if isinstance(values, tuple) else (values,) * count
        return jnp.asarray(row, like.dtype).reshape((1,) * (like.ndim - 1) + (count,))

    def _reorder(self, images: Float[Array, "*batch height width channels"]) -> Array:
        return images[..., ::-1] if self.channel_order == "BGR" else images

    def to_net_input(
        self, images: Num[Array, "*batch height width channels"]
    ) -> Float[Array, "*batch height width channels"]:
        """Turns images of the domain into net inputs; exact inverse of `to_images`.

        Args:
          images: one image or any number of batch axes; integers become float32.
        """
        if not jnp.issubdtype(images.dtype, jnp.floating):
            images = images.astype(jnp.float32)
        centered = self._reorder(images) - self._channels(self.mean, images)
        return centered * self._channels(self.scale, images)

    def to_images(
        self, net_input: Float[Array, "*batch height width channels"]
    ) -> Float[Array, "*batch height width channels"]:
        """Turns net inputs back into images; the values are not clipped to the domain's range."""
        unscaled = net_input / self._channels(self.scale, net_input)
        return self._reorder(unscaled + self._channels(self.mean, net_input))

    def to_json(self) -> str:
        """The attributes as a JSON object; the domain only where it is not RGB in [0, 255]."""
        fields = dataclasses.asdict(self)
        if self.domain == RGB:
            del fields["domain"]
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str) -> Preprocessing:
        """Reads what `to_json` wrote.

        Raises:
          ValueError: `text` is not JSON, or not an object with just these attributes.
        """
        try:
            names = {field.name for field in dataclasses.fields(cls)}
            fields = _object_of(text, names, optional={"domain"})
            domain = fields.get("domain")
            return cls(
                input_size=_numbers(fields["input_size"], int, 2),
                channel_order=fields["channel_order"],
                mean=_one_or_more(fields["mean"]),
                scale=_one_or_more(fields["scale"]),
                domain=RGB if domain is None else Domain.from_json(domain),
            )
        except (ValueError, TypeError) as error:
            raise ValueError(f"preprocessing cannot be read: {error}") from error


def _plain_numbers(name: str, value: Any) -> tuple[float, ...]:
    """One number or a row of them as plain floats."""
    try:
        row = np.atleast_1d(np.asarray(value, np.float64))
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number or a row of numbers, not {value!r}") from None
    if row.ndim != 1:
        raise ValueError(f"{name} must be a number or a row of numbers, not {value!r}")
    return tuple(row.tolist())


def _object_of(text: str, names: set[str], *, optional: set[str]) -> dict[str, Any]:
    fields = json.loads(text)
    if not isinstance(fields, dict) or not names - optional <= set(fields) <= names:
        raise ValueError(f"expected a JSON object with {sorted(names)}, not {text[:200]!r}")
    return fields


def _numbers(values: Any, kind: type, count: int | None) -> Any:
    is_list = isinstance(values, list) and len(values) == (count or len(values))
    if not is_list or any(isinstance(v, bool) or not isinstance(v, int | kind) for v in values):
        raise ValueError(f"expected {count or 'some'} numbers ({kind.__name__}), not {values!r}")
    return tuple(kind(value) for value in values)


def _one_or_more(value: Any) -> Any:
    return _numbers(value if isinstance(value, list) else [value], float, None)


CAFFE_IMAGENET = Preprocessing((227, 227), "BGR", (104.0, 117.0, 123.0))
"""CaffeNet, AlexNet and SqueezeNet: BGR minus the channel means (B, G, R) = (104, 117, 123)."""
