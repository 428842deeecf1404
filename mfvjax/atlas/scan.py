"""The network run over images of a pool: what every unit of a pass is and sees on each of them."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from jaxtyping import Int

from mfvjax.facets.code_pass import (
    CodeRequest,
    Fetched,
    Read,
    fetch_batch,
    group_requests,
    read_batch,
)
from mfvjax.facets.reading import UnitRequest, as_arrays
from mfvjax.images import ImageSource, SkippedImage, iterate_batches
from mfvjax.network import Network

READ_AT_ONCE = 32
"""Images in one batch; fixed, since the shape of a batch decides the last bits of its results."""

_UNITS_BLOCK = 64


class Scanner:
    """Reads codes, activations and places of many units from images, on several devices.

    Devices take batches in turn, each running the same program on as many images, so that their
    number does not matter to the last bit.

    Args:
      network: of the units.
      source: the pool.
      requests: of the units.
      devices: that read.

    Attributes:
      groups: rows of the requests that are read together, by their layers.
    """

    def __init__(
        self,
        network: Network,
        source: ImageSource,
        requests: Sequence[CodeRequest],
        devices: Sequence[jax.Device],
    ) -> None:
        self._network, self._source, self._devices = network, source, devices
        self.groups = group_requests(requests)
        asked = {
            layers: as_arrays(_filled([requests[row].unit for row in rows]))
            for layers, rows in self.groups.items()
        }
        self._given = [jax.device_put((network.params, asked), device) for device in devices]

    def batches(
        self, images: Int[np.ndarray, " n"], skipped: list[SkippedImage]
    ) -> Iterator[tuple[Int[np.ndarray, " batch"], Fetched]]:
        """Batches in order; each is fetched while the devices are at the next ones.

        Args:
          images: indices into the pool, ascending.
          skipped: gets those that cannot be read.

        Returns: indices, and what was read of these images by the layers of `groups`. There are
          more columns than units in a group; those behind are to be left alone.

        Raises:
          ValueError: an activation is not finite.
        """
        waiting: collections.deque[tuple[Int[np.ndarray, " batch"], Read]] = collections.deque()
        for turn, batch in enumerate(
            iterate_batches(
                self._source,
                size=self._network.input_size,
                batch_size=READ_AT_ONCE,
                indices=images,
            )
        ):
            place = turn % len(self._devices)
            params, asked = self._given[place]
            read = read_batch(
                params,
                jax.device_put(batch.images, self._devices[place]),
                asked,
                forward=self._network.forward,
                preprocessing=self._network.preprocessing,
            )
            if len(waiting) == len(self._devices):
                yield self._fetch(*waiting.popleft())
            skipped.extend(batch.skipped)
            waiting.append((batch.indices, read))
        for indices, read in waiting:
            yield self._fetch(indices, read)

    def _fetch(
        self, indices: Int[np.ndarray, " batch"], read: Read
    ) -> tuple[Int[np.ndarray, " batch"], Fetched]:
        fetched = fetch_batch(read, len(indices))
        self._check_finite(indices, fetched)
        return indices, fetched

    def _check_finite(self, indices: Int[np.ndarray, " batch"], fetched: Fetched) -> None:
        for layers, (codes, values, _) in fetched.items():
            finite = np.isfinite(values).all(axis=1)
            finite &= np.isfinite(codes).reshape(len(codes), -1).all(axis=1)
            if not finite.all():
                name = self._source.names[int(indices[np.argmin(finite)])]
                raise ValueError(
                    f"{layers.unit!r} or {layers.code!r} is not finite on image {name!r}"
                )


def _filled(units: Sequence[UnitRequest]) -> list[UnitRequest]:
    """Repeats the last unit: what is missing of an atlas then is read by the program of all."""
    return [*units, *[units[-1]] * (-len(units) % _UNITS_BLOCK)]
