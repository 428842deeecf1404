"""What stays the same during a run: the network's input, and where in it the window goes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

from mfvjax.contracts import Scene, Size
from mfvjax.preprocess import Preprocessing
from mfvjax.types import ForwardFn, Params, PixelBox


@dataclasses.dataclass(frozen=True)
class Reader:
    """A network as the ascent sees it: ``(params, images) -> {layer: activation}``.

    A value: two networks of one architecture and preprocessing share their compiled programs.
    """

    forward: ForwardFn
    preprocessing: Preprocessing

    def __call__(self, params: Params, images: Array) -> Mapping[str, Array]:
        """Activations of images in the domain's range."""
        return self.forward(params, self.preprocessing.to_net_input(images))


@dataclasses.dataclass(frozen=True)
class Frame:
    """From a window in levels to the network, and what lies around the window.

    Attributes:
      read: the network.
      region: the box of the network's input that the window fills; ``None`` where it is the whole
        input.
      zero: the levels that the network's preprocessing turns into zero, one per channel; they fill
        the rest of the input.
    """

    read: Reader
    region: PixelBox | None
    zero: tuple[float, ...]

    @classmethod
    def of(cls, read: Reader, region: PixelBox | None) -> Frame:
        """The frame of a network."""
        domain = read.preprocessing.domain
        nothing = jnp.zeros((1, 1, domain.channels), jnp.float32)
        zero = to_levels(read.preprocessing.to_images(nothing), read.preprocessing).reshape(-1)
        return cls(read, region, tuple(zero.tolist()))

    @property
    def input_size(self) -> Size:
        """``(height, width)`` of the network's input."""
        return self.read.preprocessing.input_size

    @property
    def window_size(self) -> Size:
        """``(height, width)`` of the window."""
        return self.input_size if self.region is None else self.region.size

    def scene(self, size: Size) -> Scene:
        """For something that moves in `size`."""
        domain = self.read.preprocessing.domain
        return Scene(size, domain.channels, domain.is_color, domain.is_picture)

    def activations(
        self, params: Params, windows: Float[Array, "batch h w channels"]
    ) -> Mapping[str, Array]:
        """What the network answers to windows in levels."""
        return self.read(params, from_levels(self.place(windows), self.read.preprocessing))

    def place(
        self, windows: Float[Array, "batch _ _ channels"]
    ) -> Float[Array, "batch _ _ channels"]:
        """The network's input: the windows themselves, or set into `region` of a flat image."""
        if self.region is None:
            return windows
        height, width = self.input_size
        box = self.region
        fill = jnp.asarray(self.zero, windows.dtype).reshape(1, 1, 1, -1)
        frame = jnp.broadcast_to(fill, (windows.shape[0], height, width, len(self.zero)))
        return frame.at[:, box.top : box.bottom, box.left : box.right].set(windows)


def to_levels(
    images: Float[Array, "*batch h w channels"], preprocessing: Preprocessing
) -> Float[Array, "*batch h w channels"]:
    """Images of a domain in levels, where 0 to 255 spans its range; RGB is left as it is."""
    domain = preprocessing.domain
    if (domain.low, domain.high) == (0, 255):
        return images
    return (images - domain.low) * (255 / domain.span)


def from_levels(
    levels: Float[Array, "*batch h w channels"], preprocessing: Preprocessing
) -> Float[Array, "*batch h w channels"]:
    """The images that `to_levels` was given."""
    domain = preprocessing.domain
    if (domain.low, domain.high) == (0, 255):
        return levels
    return levels * (domain.span / 255) + domain.low
