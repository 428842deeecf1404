"""One pass of the network over a pool: the images of every unit, and their codes."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Int

from mfvjax.atlas.choice import Choice
from mfvjax.atlas.collect import Collected, Collector
from mfvjax.facets.code_pass import CodeRequest, Fetched, fetch_batch, group_requests, read_batch
from mfvjax.facets.codes import Codes, request_code
from mfvjax.facets.reading import UnitRequest, as_arrays, as_positions
from mfvjax.images import ImageSource, SkippedImage, iterate_batches
from mfvjax.network import Network

READ_AT_ONCE = 32
"""Images in one batch; fixed, since the shape of a batch decides the last bits of its results."""

_UNITS_BLOCK = 64


class Scan:
    """What one pass found; a context, at whose end the files of codes are closed.

    The codes stay on disk until they are asked for: in memory are a few numbers for each image of
    each unit, and one batch.

    Args:
      network: of the units.
      source: the pool.
      choices: of the units. An image is read once, however many units it is for.
      folder: for the codes; what is put there can be removed afterwards.
      code_layer: instead of the network's choice.
      progress: called with the number of images done and of all.

    Raises:
      RunWriteError: no space left for the codes.
      ValueError: an activation is not finite, or no image can be read.
    """

    def __init__(
        self,
        network: Network,
        source: ImageSource,
        choices: Sequence[Choice],
        folder: pathlib.Path,
        *,
        code_layer: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._source = source
        self.choices = choices
        self._skipped: list[SkippedImage] = []
        self._requests = [request_code(network, choice.unit, code_layer) for choice in choices]
        self._groups = group_requests(self._requests)
        self._collectors: list[Collector] = []
        chosen = _chosen(choices, len(source))
        with contextlib.ExitStack() as files:
            for number, (layers, rows) in enumerate(self._groups.items()):
                collector = Collector(
                    [choices[row] for row in rows],
                    folder / f"{number}.codes",
                    network.layers[layers[1]].num_units,
                )
                self._collectors.append(files.enter_context(collector))
            num_read = 0
            for indices, fetched in self._read(network, chosen):
                self._check_finite(indices, fetched)
                for layers, collector in zip(self._groups, self._collectors, strict=True):
                    collector.add(indices, *fetched[layers])
                num_read += len(indices)
                if progress is not None:
                    progress(num_read + len(self._skipped), len(chosen))
            if not num_read:
                raise ValueError(f"none of the images can be read; the first: {self._skipped[0]}")
            self._files = files.pop_all()

    def __enter__(self) -> Scan:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def codes(self, row: int) -> Codes:
        """The images of one choice and their codes, read from disk."""
        request = self._requests[row]
        group = list(self._groups).index(request.layers)
        column = self._groups[request.layers].index(row)
        return self._as_codes(request, self._collectors[group].result(column))

    def _as_codes(self, request: CodeRequest, found: Collected) -> Codes:
        names = self._source.names
        return Codes(
            unit=request.unit.unit,
            layer=request.code_layer,
            codes=found.codes,
            activations=found.activations,
            positions=as_positions(request.unit, found.places),
            indices=found.indices,
            names=tuple(names[index] for index in found.indices.tolist()),
            skipped=tuple(self._skipped),
        )

    def _read(
        self, network: Network, chosen: Int[np.ndarray, " images"]
    ) -> Iterator[tuple[Int[np.ndarray, " batch"], Fetched]]:
        """Batches in order; each is fetched while the device is at the next."""
        asked = {
            layers: as_arrays(_filled([self._requests[row].unit for row in rows]))
            for layers, rows in self._groups.items()
        }
        waiting = None
        for batch in iterate_batches(
            self._source, size=network.input_size, batch_size=READ_AT_ONCE, indices=chosen
        ):
            read = read_batch(
                network.params,
                batch.images,
                asked,
                forward=network.forward,
                preprocessing=network.preprocessing,
            )
            if waiting is not None:
                yield waiting[0], fetch_batch(waiting[1], len(waiting[0]))
            self._skipped.extend(batch.skipped)
            waiting = batch.indices, read
        if waiting is not None:
            yield waiting[0], fetch_batch(waiting[1], len(waiting[0]))

    def _check_finite(self, indices: Int[np.ndarray, " batch"], fetched: Fetched) -> None:
        for (layer, code_layer), (codes, values, _) in fetched.items():
            finite = np.isfinite(values).all(axis=1)
            finite &= np.isfinite(codes).reshape(len(codes), -1).all(axis=1)
            if not finite.all():
                name = self._source.names[int(indices[np.argmin(finite)])]
                raise ValueError(f"{layer!r} or {code_layer!r} is not finite on image {name!r}")


def _filled(units: Sequence[UnitRequest]) -> list[UnitRequest]:
    """Repeats the last unit: what is missing of an atlas then is read by the program of all."""
    return [*units, *[units[-1]] * (-len(units) % _UNITS_BLOCK)]


def _chosen(choices: Sequence[Choice], total: int) -> Int[np.ndarray, " images"]:
    """The images that any unit may need, ascending."""
    if any(choice.indices is None for choice in choices):
        return np.arange(total)
    return np.unique(np.concatenate([choice.indices for choice in choices]))  # type: ignore[list-item]
