"""With which network and among which images facets were found."""

from __future__ import annotations

import dataclasses

from mfvjax.facets.reading import FacetNetwork
from mfvjax.images import ImageSource
from mfvjax.images.sources import joint_fingerprint


@dataclasses.dataclass(frozen=True)
class Origin:
    """What must be the same when facets are visualized later.

    Attributes:
      network: its name.
      network_fingerprint: see `mfvjax.network.Network.fingerprint`.
      images: what the source was opened by; ``None`` if from objects in memory.
      num_images: of the source.
      images_sha256: of the names and contents of the facets' own images, in their order.
      max_pixels: as the images were decoded; ``None`` where nothing was.
    """

    network: str
    network_fingerprint: str
    images: str | None
    num_images: int
    images_sha256: str
    max_pixels: int | None = None

    @property
    def images_text(self) -> str:
        """The images, to stand in a sentence."""
        return "images in memory" if self.images is None else repr(self.images)


def origin_of(network: FacetNetwork, source: ImageSource, indices: list[int]) -> Origin:
    """The origin of facets of the images at `indices`.

    Raises:
      UnreadableImageError: one of them, that could be read before, is missing now.
    """
    decoding = source.decoding
    return Origin(
        network=network.name,
        network_fingerprint=network.fingerprint,
        images=source.address,
        num_images=len(source),
        images_sha256=joint_fingerprint(source, indices),
        max_pixels=None if decoding is None else decoding.max_pixels,
    )
