"""The checkerboard: an image as two flat arrays in which every neighbor is one fixed shift away.

A Gauss-Seidel sweep runs in parallel when pixels alternate in color, red where row + column is
even, and one color moves at a time. Written row after row with an *odd* row length, a framed image
alternates in color along the whole flat array, so its even elements are the red pixels and its odd
elements the black ones. Both are contiguous, and the four neighbors of every pixel of one color sit
at the same four shifts in the other: plain slices, which compilers turn into vector code.

The frame is one cell wide: a cell before and after each row, a row above and below. Its cells are
part of the flat arrays, so updates run over them too and mask them out.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int

RED, BLACK = 0, 1


class Shifts(NamedTuple):
    """Where the four neighbors of a pixel sit in the other color's array, as shifts."""

    right: int
    left: int
    down: int
    up: int


@dataclasses.dataclass(frozen=True)
class Checkerboard:
    """Geometry of the two flat arrays of a ``height x width`` image.

    Element k of color c is element ``2 k + c`` of the framed image. The *window* is the range of
    elements that updates run over, the same for both colors: from the first to the last pixel of
    the image, or, of a `whole` board, everything. A processor changes a window in place; an
    accelerator rather computes whole arrays anew, several of them in one pass.

    Attributes:
      height: of the image, in pixels.
      width: of the image, in pixels.
      whole: whether the window is the whole array; what would be read beyond its ends is zero.
    """

    height: int
    width: int
    whole: bool = False

    @property
    def row_length(self) -> int:
        """Cells of a framed row: odd, the pixels and a frame of at least two."""
        return self.width + 2 + (self.width + 1) % 2

    @property
    def length(self) -> int:
        """Elements of one color's array; the last one is frame, or lies beyond it."""
        return (self.height + 2) * self.row_length // 2 + 1

    @property
    def first_pixel(self) -> int:
        """Element with the first pixel of its color."""
        return (self.row_length + 1) // 2

    @property
    def start(self) -> int:
        """First element of the window."""
        return 0 if self.whole else self.first_pixel

    @property
    def stop(self) -> int:
        """One past the last element of the window."""
        if self.whole:
            return self.length
        return (self.height * self.row_length + self.width) // 2 + 1

    def shifts(self, color: int) -> Shifts:
        """Shifts from pixels of `color` to their neighbors in the other color's array."""
        half = self.row_length // 2
        return Shifts(0, -1, half, -half - 1) if color == RED else Shifts(1, 0, half + 1, -half)

    def positions(self, color: int) -> tuple[Int[Array, " window"], Int[Array, " window"]]:
        """Row and column of each element of the window; those outside the image are frame."""
        flat = 2 * jnp.arange(self.start, self.stop, dtype=jnp.int32) + color
        return flat // self.row_length - 1, flat % self.row_length - 1

    def window(self, cells: Array, shift: int = 0) -> Array:
        """The window of flat `cells`, or its copy moved by `shift`."""
        if self.whole:
            edges = [(0, 0, 0)] * (cells.ndim - 1) + [(-shift, shift, 0)]
            return lax.pad(cells, jnp.zeros((), cells.dtype), edges) if shift else cells
        return lax.slice_in_dim(cells, self.start + shift, self.stop + shift, axis=cells.ndim - 1)

    def split(self, framed: Array) -> tuple[Array, Array]:
        """Red and black cells ``(..., length)`` of images that are in their frame."""
        flat = framed.reshape(*framed.shape[:-2], -1)
        spare = [(0, 0)] * (flat.ndim - 1) + [(0, 2 * self.length - flat.shape[-1])]
        pairs = jnp.pad(flat, spare).reshape(*flat.shape[:-1], self.length, 2)
        return pairs[..., 0], pairs[..., 1]

    def join(self, red: Array, black: Array) -> Array:
        """The images ``(..., height, width)`` of red and black cells; the frame is dropped."""
        size = (self.height + 2) * self.row_length
        flat = jnp.stack([red, black], axis=-1).reshape(*red.shape[:-1], 2 * self.length)
        framed = flat[..., :size].reshape(*red.shape[:-1], self.height + 2, self.row_length)
        return framed[..., 1 : self.height + 1, 1 : self.width + 1]

    def frame(self, images: Array) -> Array:
        """Images ``(..., height, width)`` in a frame of zeros."""
        free = self.row_length - self.width - 1
        return jnp.pad(images, [(0, 0)] * (images.ndim - 2) + [(1, 1), (1, free)])
