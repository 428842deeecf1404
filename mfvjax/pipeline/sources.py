"""Networks and images by name, so that a run can be written down and replayed."""

from __future__ import annotations

import hashlib
import os
import re
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8

from mfvjax.images import Decoding, Imagelike, ImageSource, open_images
from mfvjax.images.classes import select_label
from mfvjax.images.sources import ArraySource
from mfvjax.network import Network
from mfvjax.network.directions import load_directions
from mfvjax.types import Unit

Imageish: TypeAlias = Imagelike
PAINTED = "facetworld:"
"""Begins the address of painted pictures, the same on every machine."""
_ALL = "all"
_CLASS = re.compile(r"class:(?P<label>[^@]+)@(?P<pool>.+)")
_PAINTED_PER_FACET = 40
_PAINTED_SEED = 20160609  # not one that the bundled network was trained or tested with


class PaintedSource(ArraySource):
    """Facetworld's pictures of one class, all its facets: named by facet, as folders would be.

    Args:
      class_name: one of `mfvjax.facetworld.CLASSES`, or ``"all"`` for every class.
      size: side in pixels.
      per_facet: pictures of each facet.

    Raises:
      ValueError: there is no such class.
    """

    def __init__(
        self, class_name: str, *, size: int = 96, per_facet: int = _PAINTED_PER_FACET
    ) -> None:
        from mfvjax import facetworld

        if class_name not in (*facetworld.CLASSES, _ALL):
            raise ValueError(
                f"facetworld has no class {class_name!r}; it has {', '.join(facetworld.CLASSES)}"
            )
        classes = facetworld.CLASSES if class_name == _ALL else [class_name]
        world = facetworld.dataset(per_facet, classes=classes, seed=_PAINTED_SEED, size=size)
        super().__init__(world.images)
        of_images = zip(world.class_index.tolist(), world.facet_index.tolist(), strict=True)
        self.names = [
            f"{classes[c]}/{world.facet_names[c][facet]}/{row % per_facet:02d}"
            for row, (c, facet) in enumerate(of_images)
        ]
        self.truth: UInt8[np.ndarray, " n"] = world.facet_index.astype(np.uint8)


def open_source(
    images: Imageish, *, network: Network, max_pixels: int | None = None
) -> ImageSource:
    """Images as `mfvjax.images.open_images` takes them, or by two further kinds of address.

    ``"facetworld:CLASS"`` is painted, in the network's input size, ``"facetworld:all"`` all its
    classes; ``"class:LABEL@POOL"`` are the images of one class of a pool, see
    `mfvjax.images.classes`. Images are opened for the network's domain.

    Args:
      images: as above.
      network: that is to see them.
      max_pixels: of a file; see `mfvjax.images.Decoding`, whose own if ``None``.

    Raises:
      ValueError: there is no such class or label, and as `open_images`.
    """
    opened = _opened(images, network, max_pixels)
    if isinstance(images, str | os.PathLike):
        opened.address = os.fspath(images)
    return opened


def _opened(images: Imageish, network: Network, max_pixels: int | None) -> ImageSource:
    domain = network.preprocessing.domain
    decoding = None if max_pixels is None else Decoding(max_pixels=max_pixels)
    one_class = _CLASS.fullmatch(images) if isinstance(images, str) else None
    if one_class:
        pool = open_source(one_class["pool"], network=network, max_pixels=max_pixels)
        return select_label(pool, one_class["label"])
    if isinstance(images, str) and images.startswith(PAINTED):
        painted = PaintedSource(images.removeprefix(PAINTED), size=min(network.input_size))
        return open_images(painted, domain=domain, decoding=decoding)
    return open_images(images, domain=domain, decoding=decoding)


def painted_name(images: Imageish) -> str | None:
    """The class of ``"facetworld:CLASS"``; ``None`` for any other images, and for all classes."""
    if not isinstance(images, str) or not images.startswith(PAINTED):
        return None
    name = images.removeprefix(PAINTED)
    return None if name == _ALL else name


def open_network(
    network: Network | str | os.PathLike[str],
    *,
    precision: str,
    directions: str | os.PathLike[str] | None = None,
) -> Network:
    """A network, or the file or name of one, computing in `precision`.

    Args:
      network: as above.
      precision: see `Network.with_precision`.
      directions: a file of directions that become units of it; see
        `mfvjax.network.directions.load_directions`.

    Raises:
      FileNotFoundError: there is no such network or file.
      ValueError: they are damaged, or the directions do not fit the network.
    """
    opened = network if isinstance(network, Network) else Network.load(network)
    opened = opened.with_precision(precision)
    return opened if directions is None else load_directions(directions).on(opened)


def directions_written_down(directions: str | os.PathLike[str] | None) -> dict[str, str]:
    """Where directions are from, and the SHA-256 of that file; nothing where there are none."""
    if directions is None:
        return {}
    with open(directions, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"directions": os.path.abspath(directions), "directions_sha256": digest}


def written_down(value: object) -> str | None:
    """A name or path as text; ``None`` for anything that only lives in memory.

    Files and folders are written with their whole path, also behind the ``@`` of an address with
    weights or a pool, so that a run can be replayed from any folder.
    """
    if not isinstance(value, str | os.PathLike):
        return None
    text = os.fspath(value)
    if os.path.exists(text):
        return os.path.abspath(text)
    address, at, file = text.partition("@")
    return f"{address}@{os.path.abspath(file)}" if at and os.path.exists(file) else text


def painted_class(network: Network, unit: Unit | str) -> str:
    """``"facetworld:CLASS"`` for a class unit of the bundled network.

    Raises:
      ValueError: there are no painted pictures of the unit.
    """
    from mfvjax import facetworld

    resolved = network.resolve(unit)
    if network.is_class_layer(resolved.layer):
        name = network.class_name(resolved.index)
        if name in facetworld.CLASSES:
            return f"{PAINTED}{name}"
    raise ValueError(
        f"no images given for {resolved} of {network.name!r}: only the class units of the bundled "
        "network have painted ones; give a folder of images that activate the unit"
    )
