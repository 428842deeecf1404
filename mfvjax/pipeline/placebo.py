"""Images of something else: what a facet's own statistics are compared with in a run's controls."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np
from jaxtyping import Num

from mfvjax.facets.result import Facets
from mfvjax.images import ImageSource, UnreadableImageError, load_images
from mfvjax.images.files import SUFFIXES
from mfvjax.network import Network
from mfvjax.pipeline.sources import Imageish, PaintedSource, open_source, painted_name

_NUM_IMAGES = 15
_PER_PAINTED_FACET = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Placebo:
    """Images that are not the facet's.

    Attributes:
      images: ``(n, h, w, channels)``, of the size of the facets' nearest images.
      what: which they are, to stand in a sentence: ``"15 images of n02979186"``.
    """

    images: Num[np.ndarray, "n h w c"]
    what: str


def find_placebo(
    network: Network,
    facets: Facets,
    images: Imageish,
    source: ImageSource,
    *,
    given: Imageish | None,
) -> Placebo | None:
    """Images for the placebo: those that are given, or what is at hand, or ``None``.

    At hand are, in this order: images of the pool that the facets were not sought among; another
    class of the painted pictures; the next folder, by name, beside the folder of `images`.

    Args:
      network: of the unit.
      facets: of the unit.
      images: as the user gave them.
      source: the same, opened.
      given: a folder or other source of images, if the user chose one.

    Raises:
      ValueError: `given` holds no image that can be read.
    """
    if given is not None:
        chosen = open_source(given, network=network)
        name = f" of {_name(given)}" if isinstance(given, str | os.PathLike) else " that were given"
        return _taken(network, facets, chosen, np.arange(len(chosen)), name)
    others = np.setdiff1d(np.arange(len(source)), facets.indices)
    skipped = {image.name for image in facets.skipped}
    others = np.array([i for i in others if source.names[i] not in skipped], int)
    if len(others) >= _NUM_IMAGES:
        return _taken(network, facets, source, others, " of the rest of the pool")
    painted = painted_name(images)
    if painted is not None:
        from mfvjax import facetworld

        others_painted = [name for name in facetworld.CLASSES if name != painted]
        # Another one for each class, the same in every run.
        other = others_painted[sum(map(ord, painted)) % len(others_painted)]
        found = PaintedSource(other, size=min(network.input_size), per_facet=_PER_PAINTED_FACET)
        return _taken(network, facets, found, np.arange(len(found)), f" of {other}")
    folder = _folder_beside(images)
    if folder is None:
        return None
    try:
        chosen = open_source(str(folder), network=network)
        return _taken(network, facets, chosen, np.arange(len(chosen)), f" of {folder.name}")
    except (OSError, UnreadableImageError, ValueError):  # nobody asked for just this folder
        return None


def _taken(
    network: Network, facets: Facets, source: ImageSource, rows: np.ndarray, name: str
) -> Placebo:
    """Images evenly spread over `rows`; of a map's unit, their middles."""
    spread = np.unique(np.linspace(0, len(rows) - 1, min(_NUM_IMAGES, len(rows))).round())
    options = facets.options
    images, _ = load_images(
        source,
        rows[spread.astype(int)],
        size=network.input_size,
        resize_shorter=options.get("resize_shorter", "fit"),
        warp=options.get("warp", False),
    )
    height, width = facets.mean_images.shape[1:3]
    top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
    images = images[:, top : top + height, left : left + width]
    return Placebo(images, f"{len(images)} images{name}")


def _folder_beside(images: Imageish) -> pathlib.Path | None:
    """The next folder with files in it, by name, beside a folder; the first one after the last."""
    if not isinstance(images, str | os.PathLike):
        return None
    folder = pathlib.Path(images)
    if not folder.is_dir():
        return None
    folder = folder.resolve()
    beside = sorted(
        other
        for other in folder.parent.iterdir()
        if other.is_dir() and other != folder and not other.name.startswith(".")
    )
    later = [other for other in beside if other > folder]
    for other in [*later, *beside]:
        if _holds_images(other):
            return other
    return None


def _holds_images(folder: pathlib.Path) -> bool:
    """Whether some file directly in the folder is an image by its name."""
    try:
        return any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())
    except OSError:  # not for us to read
        return False


def _name(address: str | os.PathLike[str]) -> str:
    return os.path.basename(os.fspath(address).rstrip("/")) or os.fspath(address)
