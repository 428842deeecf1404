"""Random views: the network sees the whole image, or a part of it, in another size and place."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mfvjax.contracts import Levels, Scene, Size
from mfvjax.parts import Number, number, part
from mfvjax.schedule import Ramp
from mfvjax.types import Key

Sampled: TypeAlias = Float[Array, "rows columns channels"]
Transform: TypeAlias = tuple[Float[Array, "2 2"], Float[Array, " 2"]]


@part
class RandomView:
    """A rectangle of the image at a random place, size and angle, brought to the wanted size.

    The rectangle has the image's proportions and a side of ``U(smallest, largest)`` times the
    image's, lies anywhere inside the image (around it, where it is larger), and is turned about its
    center by ``U(-degrees, degrees)``. It is sampled bilinearly; beyond the border the nearest
    pixel is seen. Without a turn rows and columns are sampled apart, by one matrix product each.

    Attributes:
      smallest: above 0.
      largest: at least `smallest`.
      degrees: ``None`` for no turn.
      noise: standard deviation of what is added to each pixel, in levels; ``None`` for none.

    Raises:
      ValueError: `largest` is below `smallest` in the first or last step.

    Raises (when it is used):
      ValueError: it turns images whose rows and columns are not alike, such as spectrograms, or
        gives both axes one random size.
    """

    smallest: Number = number(default=0.6, above=0)
    largest: Number = number(default=1.1, above=0)
    degrees: Number | None = number(default=8.0, at_least=0)
    noise: Number | None = number(default=None, at_least=0)

    crops: ClassVar[bool] = False

    def __post_init__(self) -> None:
        smallest, largest = _ends(self.smallest), _ends(self.largest)
        if any(most < least for least, most in zip(smallest, largest, strict=True)):
            raise ValueError(
                f"RandomView option largest={self.largest} must be at least "
                f"smallest={self.smallest}"
            )

    def see(self, key: Key, image: Levels, size: Size, scene: Scene) -> Sampled:
        """The rectangle, in `size`."""
        if not scene.is_picture:
            raise ValueError(
                "RandomView mixes rows and columns, which are not alike in these images (a "
                "spectrogram's are frequency and time); use Crop, with a canvas that grows along "
                "one axis"
            )
        place_key, noise_key = jax.random.split(key)
        transform = self.transform(place_key, (image.shape[0], image.shape[1]), size)
        seen = sample(image, transform, size, self.turns)
        if self.noise is not None:
            seen = seen + self.noise * jax.random.normal(noise_key, seen.shape, seen.dtype)
        return seen

    @property
    def turns(self) -> bool:
        """Whether rectangles are turned; static."""
        return self.degrees is not None

    def transform(self, key: Key, image_size: Size, size: Size) -> Transform:
        """Matrix and offset that take a pixel ``(row, column)`` of the view into the image."""
        side_key, place_key, angle_key = jax.random.split(key, 3)
        span = jnp.asarray(image_size, jnp.float32)
        side = jax.random.uniform(side_key, minval=self.smallest, maxval=self.largest)
        free = (1 - side) * span  # negative around the image
        center = free * jax.random.uniform(place_key, (2,)) + side * span / 2
        angle = jnp.float32(0)
        if self.degrees is not None:
            angle = jnp.deg2rad(self.degrees) * jax.random.uniform(angle_key, minval=-1, maxval=1)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        turn = jnp.stack([jnp.stack([cos, -sin]), jnp.stack([sin, cos])])
        matrix = turn * (side * span / jnp.asarray(size, jnp.float32))[None]
        # Pixel i covers [i, i + 1): its middle is at i + 1/2, in both images.
        middle = jnp.asarray(size, jnp.float32) / 2 - 0.5
        return matrix, center - 0.5 - jnp.sum(matrix * middle[None], axis=1)


def _ends(value: Number) -> tuple[Number, Number]:
    return (value.start, value.end) if isinstance(value, Ramp) else (value, value)


def sample(image: Levels, transform: Transform, size: Size, turns: bool = True) -> Sampled:
    """Bilinear samples of an image at the places that a view's pixels are taken to.

    As ``scipy.ndimage.map_coordinates(order=1, mode="nearest")``.

    Args:
      image: to be sampled.
      transform: matrix and offset, from pixels of the view to places in the image.
      size: of the view.
      turns: whether the matrix has entries off its diagonal; without them rows and columns are
        sampled apart.
    """
    matrix, offset = transform
    rows, columns = (jnp.arange(n, dtype=jnp.float32) for n in size)
    if not turns:
        down = _weights(matrix[0, 0] * rows + offset[0], image.shape[0])
        right = _weights(matrix[1, 1] * columns + offset[1], image.shape[1])
        exact = jax.lax.Precision.HIGHEST
        seen = jnp.einsum("ah,hwc->awc", down, image, precision=exact)
        return jnp.einsum("bw,awc->abc", right, seen, precision=exact)
    grid = rows[:, None], columns[None, :]
    places = [matrix[i, 0] * grid[0] + matrix[i, 1] * grid[1] + offset[i] for i in range(2)]
    return _gathered(image, *places)


def _weights(places: Float[Array, " out"], length: int) -> Float[Array, "out in"]:
    """Row i holds the two weights of the sample at ``places[i]``."""
    inside = jnp.clip(places, 0, length - 1)
    distance = jnp.abs(inside[:, None] - jnp.arange(length, dtype=jnp.float32)[None, :])
    return jnp.maximum(1 - distance, 0)


def _gathered(
    image: Levels, rows: Float[Array, "a b"], columns: Float[Array, "a b"]
) -> Float[Array, "a b channels"]:
    """Two axes that are mixed cannot be sampled apart: each sample gathers its four pixels.

    The two of a row lie side by side in memory and are taken as one slice, all in one gather: its
    gradient, a scatter, is what costs on a processor, and takes a third of the time.
    """
    height, width, channels = image.shape
    row, down = _before(rows, height)
    column, right = _before(columns, width)
    if width == 1:  # so that a last pixel, too, has one beside it
        image = jnp.concatenate([image, image], axis=1)
    row_length = image.shape[1] * channels
    first = row * row_length + column * channels
    pairs = jax.lax.gather(
        image.reshape(-1),
        jnp.stack([first, first + row_length], axis=-1)[..., None],
        jax.lax.GatherDimensionNumbers(
            offset_dims=(3,), collapsed_slice_dims=(), start_index_map=(0,)
        ),
        slice_sizes=(2 * channels,),
        mode="clip",
    )
    pair = _between(pairs[:, :, 0], pairs[:, :, 1], down)
    return _between(pair[..., :channels], pair[..., channels:], right)


def _before(
    places: Float[Array, "a b"], length: int
) -> tuple[Int[Array, "a b"], Float[Array, "a b 1"]]:
    """The pixel before each place, and the share of the one after it."""
    inside = jnp.clip(places, 0, length - 1)
    first = jnp.clip(jnp.floor(inside), 0, max(length - 2, 0))
    return first.astype(jnp.int32), (inside - first)[..., None]


def _between(before: Array, after: Array, share: Array) -> Array:
    return (1 - share) * before + share * after
