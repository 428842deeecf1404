"""Receptive-field patches: the pixels of each image that a unit of a map looks at."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, Num

from mfvjax.facets.reading import FacetNetwork
from mfvjax.images import ImageSource, load_images
from mfvjax.images.resize import ResizeShorter
from mfvjax.types import PixelBox, Unit


def mean_color(network: FacetNetwork) -> tuple[float, ...]:
    """The pixel that the network's preprocessing turns into zero: one value per channel.

    It is what the first layer's zero padding stands for beyond the image's border. Where zero is
    outside the domain's range, the nearest value in it.
    """
    domain = network.preprocessing.domain
    zero = network.preprocessing.to_images(jnp.zeros((1, 1, domain.channels), jnp.float32))
    return tuple(np.clip(np.asarray(zero)[0, 0], domain.low, domain.high).tolist())


def unit_boxes(
    network: FacetNetwork, unit: Unit | str, positions: Int[np.ndarray, "count 2"]
) -> list[PixelBox]:
    """The receptive field of a unit's channel at each position, not clipped to the image.

    Args:
      network: whose input the pixels belong to.
      unit: its own position plays no role.
      positions: ``(row, column)`` in the map; as ``TopImages.positions``.

    Raises:
      ValueError: there is no such unit or position.
    """
    unit = Unit.parse(unit, network.layers) if isinstance(unit, str) else unit
    return [
        network.receptive_field(Unit(unit.layer, unit.index, (int(row), int(column))))
        for row, column in positions
    ]


def extract_patches(
    images: Num[np.ndarray, "count height width channels"],
    boxes: Sequence[PixelBox],
    *,
    fill: tuple[float, ...],
) -> tuple[
    Num[np.ndarray, "count patch_height patch_width channels"],
    Bool[np.ndarray, "count patch_height patch_width"],
]:
    """Cuts one box from each image; every patch has the size of its box.

    A box may reach beyond the border: pixels there get the color `fill` and are marked, so that
    means can leave them out. Along an axis where the boxes are as long as the image or longer, the
    patch is the whole image instead of a shifted part of it.

    Args:
      images: all of the network's input size, uint8 or float32.
      boxes: one per image, all of one size, in pixels of these images.
      fill: one value per channel, see `mean_color`; rounded if images are uint8.

    Returns:
      The patches, of the images' dtype, and a mask that is true at pixels of the image.

    Raises:
      ValueError: there are no boxes or not one per image, their sizes differ, one is outside its
        image altogether, or `fill` does not fit the images' channels and dtype.
    """
    if len(boxes) != len(images) or not boxes:
        raise ValueError(f"{len(boxes)} boxes for {len(images)} images; one for each is needed")
    if len({box.size for box in boxes}) > 1:
        raise ValueError(f"the boxes have different sizes: {sorted({box.size for box in boxes})}")
    is_8bit = images.dtype == np.uint8
    if is_8bit and not all(0 <= level <= 255 for level in fill):
        raise ValueError(f"fill must be levels in [0, 255], not {fill}")
    if len(fill) != images.shape[3]:
        raise ValueError(f"fill must have {images.shape[3]} values, one per channel, not {fill}")
    size = images.shape[1:3]
    height, width = (min(side, whole) for side, whole in zip(boxes[0].size, size, strict=True))
    patches = np.empty((len(images), height, width, len(fill)), images.dtype)
    patches[:] = np.rint(fill) if is_8bit else fill
    valid = np.zeros((len(images), height, width), bool)
    for row, (image, box) in enumerate(zip(images, boxes, strict=True)):
        top, rows = _overlap(box.top, box.bottom, size[0])
        left, columns = _overlap(box.left, box.right, size[1])
        if rows.start >= rows.stop or columns.start >= columns.stop:
            raise ValueError(f"box {box} is outside its image of size {size}")
        there = (
            row,
            slice(rows.start - top, rows.stop - top),
            slice(columns.start - left, columns.stop - left),
        )
        patches[there] = image[rows, columns]
        valid[there] = True
    return patches, valid


def load_patches(
    network: FacetNetwork,
    source: ImageSource,
    unit: Unit | str,
    indices: Int[np.ndarray, " count"],
    positions: Int[np.ndarray, "count 2"] | None,
    *,
    resize_shorter: ResizeShorter = "fit",
    warp: bool = False,
    num_workers: int | None = None,
) -> tuple[
    Num[np.ndarray, "count patch_height patch_width channels"],
    Bool[np.ndarray, "count patch_height patch_width"],
]:
    """Reads images and cuts out what the unit sees of each; whole images for a dense layer.

    Args:
      network: whose unit it is.
      source: the images.
      unit: as it was asked for.
      indices: of the images in `source`.
      positions: of the unit in each image's map, or ``None`` for a dense layer; both as
        ``TopImages`` and ``Codes`` have them.
      resize_shorter: see ``ResizeRule``; the same as for the activations.
      warp: likewise.
      num_workers: decoding threads; see ``iterate_batches``.

    Returns:
      The patches, and a mask that is true at pixels of the image.

    Raises:
      UnreadableImageError: an image cannot be read.
      ValueError: there is no such unit or position, or there are no images.
    """
    images, _ = load_images(
        source,
        indices,
        size=network.input_size,
        resize_shorter=resize_shorter,
        warp=warp,
        num_workers=num_workers,
    )
    if positions is None:
        boxes = [PixelBox(0, 0, *network.input_size)] * len(images)
    else:
        boxes = unit_boxes(network, unit, positions)
    return extract_patches(images, boxes, fill=mean_color(network))


def _overlap(start: int, stop: int, whole: int) -> tuple[int, slice]:
    """Where the patch begins along an axis, and which pixels of the image it covers."""
    if stop - start >= whole:
        return 0, slice(0, whole)
    return start, slice(max(start, 0), min(stop, whole))
