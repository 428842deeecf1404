"""Whether facets that were found before are of the network and the images that are at hand now."""

from __future__ import annotations

import warnings

from mfvjax.facets.origin import Origin
from mfvjax.facets.result import Facets
from mfvjax.images import ImageSource, UnreadableImageError
from mfvjax.images.sources import joint_fingerprint
from mfvjax.network import Network

_PRECISIONS = ("float32", "tensorfloat32", "bfloat16")


class UnknownOriginWarning(UserWarning):
    """Facets do not say which network and images they are of, so that not all can be checked."""


class OtherOriginError(ValueError):
    """Facets were found with another network, or among other images; the message says which."""


def check_origin(network: Network, source: ImageSource, facets: Facets) -> None:
    """Refuses a network and images that are not those of the facets, before any work.

    The network may compute in another precision.

    Raises:
      OtherOriginError: the network or an image is another one, or the source has other images.

    Warns:
      UnknownOriginWarning: the facets are of version 0.1, which did not write this down; names of
        images are compared all the same.
    """
    origin = facets.origin
    if origin is None:
        warnings.warn(
            "the facets do not say with which network and among which images they were found, as "
            "those of version 0.1: only the names of the images are compared",
            UnknownOriginWarning,
            stacklevel=3,
        )
        _check_names(source, facets, "their source")
        return
    _check_network(network, origin)
    where = origin.images_text
    if len(source) != origin.num_images:
        raise OtherOriginError(
            f"the facets were found among {origin.num_images} images, of {where}, but "
            f"{_named(source)} has {len(source)}{_give(origin)}"
        )
    _check_names(source, facets, where)
    try:
        now = joint_fingerprint(source, facets.indices.tolist())
    except UnreadableImageError as error:
        raise OtherOriginError(f"of the images of the facets, {error}") from error
    if now != origin.images_sha256:
        raise OtherOriginError(
            f"images in {_named(source)} have the names of those that the facets were found among, "
            f"in {where}, but other contents{_give(origin)}"
        )


def _check_network(network: Network, origin: Origin) -> None:
    expected = origin.network_fingerprint
    if any(network.with_precision(name).fingerprint == expected for name in _PRECISIONS):
        return
    raise OtherOriginError(
        f"the facets were found with network {origin.network!r} (fingerprint {expected[:16]}), but "
        f"{network.name!r} is another one ({network.fingerprint[:16]}): give the one, and the "
        "directions, that they were found with"
    )


def _check_names(source: ImageSource, facets: Facets, where: str) -> None:
    for index, name in zip(facets.indices.tolist(), facets.names, strict=True):
        now = source.names[index] if index < len(source) else None
        if now != name:
            there = "none" if now is None else repr(now)
            raise OtherOriginError(
                f"image {index} of {where} was {name!r} when the facets were found, and is {there} "
                f"in {_named(source)}: give the images as they were"
            )


def _named(source: ImageSource) -> str:
    return "what was given" if source.address is None else repr(source.address)


def _give(origin: Origin) -> str:
    return f": give {origin.images_text} (--images), as it was"
