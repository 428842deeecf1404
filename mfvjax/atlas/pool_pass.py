"""One pass over a pool for many units, in blocks that any number of processes read between them."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from jaxtyping import Int

from mfvjax.atlas.block import ENTRY, Block, BlockWriter, DamagedBlockError
from mfvjax.atlas.choice import Choice
from mfvjax.atlas.locks import UnitLocks
from mfvjax.atlas.passes import PassPlan
from mfvjax.atlas.scan import Scanner
from mfvjax.atlas.wanted import Wanted, best
from mfvjax.facets.codes import CodeKind, Codes, request_code
from mfvjax.facets.reading import as_positions
from mfvjax.images import ImageSource, SkippedImage, fingerprints
from mfvjax.images.unreadable import check_unreadable, describe, most_unreadable
from mfvjax.network import Network
from mfvjax.store import claims
from mfvjax.store.errors import explain

_LOG = logging.getLogger("mfvjax")
_POLL_SECONDS = 0.1


class PoolPass:
    """Reads a pool once for all units of `choices`, whoever asks and however often it is begun.

    Every block is read by one process, the first that is free, and kept in the pass's folder;
    a process that dies leaves its block to the others. What comes out does not depend on who read
    what.

    Args:
      plan: what the pass is for.
      network: of the units.
      source: the pool.
      choices: of its units. An image is read once, however many units it is for.
      locks: of the atlas.
      max_unreadable: the largest share of the images that may be left out.
      code: by what images are told apart; see `discover_facets`.
      code_layer: instead of the one that follows.
      devices: that read; by default one.
    """

    def __init__(
        self,
        plan: PassPlan,
        network: Network,
        source: ImageSource,
        choices: Sequence[Choice],
        *,
        locks: UnitLocks,
        max_unreadable: float = 1.0,
        code: CodeKind = "activation",
        code_layer: str | None = None,
        devices: Sequence[jax.Device] | None = None,
    ) -> None:
        self.path = plan.path
        self._source, self._locks, self._max_unreadable = source, locks, max_unreadable
        self._rows = {choice.unit: row for row, choice in enumerate(choices)}
        self._choices = choices
        self._requests = [
            request_code(network, choice.unit, code_layer, choice.positions, code)
            for choice in choices
        ]
        self._scanner = Scanner(network, source, self._requests, devices or jax.local_devices()[:1])
        self._groups = self._scanner.groups
        self._wanted = [
            Wanted(group, [choices[row] for row in rows])
            for group, rows in enumerate(self._groups.values())
        ]
        self._num_features = [network.layers[layers.code].num_units for layers in self._groups]
        chosen = _chosen(choices, len(source))
        self._images = [
            chosen[start : start + plan.block_images]
            for start in range(0, len(chosen), plan.block_images)
        ]
        self._blocks: dict[int, Block] = {}
        self._learned: set[int] = set()

    def read(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Reads the blocks that no process has read yet, and waits for those at work.

        Args:
          progress: called with the number of images done, by any process, and of all.

        Raises:
          RunWriteError: no space left; finished blocks stay.
          TooManyUnreadableError: too many of the images are unreadable; finished blocks stay.
          ValueError: an activation is not finite, or no image can be read.
        """
        total = sum(len(images) for images in self._images)

        def report(more: int = 0) -> None:
            if progress is not None:
                progress(sum(len(self._images[b]) for b in self._blocks) + more, total)

        while len(self._blocks) < len(self._images):
            told = len(self._blocks)
            for number in range(len(self._images)):
                if number in self._blocks or self._open(number):
                    continue
                with self._locks.block(self.path.name, number) as is_free:
                    if is_free and not self._open(number):
                        self._read_block(number, report)
                        self._open(number)
                        told = len(self._blocks)
                        report()
            if len(self._blocks) > told:  # others were read by other processes, or before
                report()
            elif len(self._blocks) < len(self._images):
                time.sleep(_POLL_SECONDS)
        skipped = self._skipped()
        if len(skipped) == total:
            raise ValueError(f"none of {total} images can be read; the first: {skipped[0]}")
        if skipped:
            _LOG.warning("%s", describe(skipped, total))

    def codes(self, unit: str) -> tuple[Codes, list[str]]:
        """The images of one unit and their codes, and the SHA-256 of each image when it was read.

        Images of a class are in their order in the pool, others best first. Blocks that turn out to
        be damaged are read again.

        Raises:
          RunWriteError: as `read`, likewise ``ValueError``.
        """
        while True:
            with contextlib.suppress(DamagedBlockError):
                return self._codes(unit)
            self.read()

    def _codes(self, unit: str) -> tuple[Codes, list[str]]:
        choice, request = self._choices[self._rows[unit]], self._requests[self._rows[unit]]
        group = list(self._groups).index(request.layers)
        column = self._groups[request.layers].index(self._rows[unit])
        blocks = [self._blocks[number] for number in range(len(self._images))]
        parts = [block.entries(group, column) for block in blocks]
        origin = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        entries = np.concatenate(parts)
        if choice.indices is None:
            kept = best(entries, choice.count)
            entries, origin = entries[kept], origin[kept]
        codes = np.empty((len(entries), self._num_features[group]), np.float32)
        for number in np.unique(origin).tolist():
            which = origin == number
            try:
                codes[which] = blocks[number].codes(group, entries["row"][which])
            except DamagedBlockError:
                self._remove(number)
                raise
        indices = entries["image"].astype(np.int64)
        names = self._source.names
        found = Codes(
            unit=request.unit.unit,
            layer=request.code_layer,
            codes=codes,
            activations=entries["value"].copy(),
            positions=as_positions(request.unit, entries["place"].copy()),
            indices=indices,
            names=tuple(names[index] for index in indices.tolist()),
            skipped=self._skipped(choice),
        )
        hashes = [
            blocks[number].hashes[index]
            for number, index in zip(origin.tolist(), indices.tolist(), strict=True)
        ]
        return found, hashes

    def _skipped(self, choice: Choice | None = None) -> tuple[SkippedImage, ...]:
        """What could not be read; for a unit by class, of the images of that class."""
        skipped = [image for _, block in sorted(self._blocks.items()) for image in block.skipped]
        if choice is not None and choice.indices is not None:
            own = set(choice.indices.tolist())
            skipped = [image for image in skipped if image.index in own]
        return tuple(skipped)

    def _check_unreadable(self, more: Sequence[SkippedImage] = ()) -> None:
        total = sum(len(images) for images in self._images)
        count = sum(len(block.skipped) for block in self._blocks.values()) + len(more)
        if count > most_unreadable(total, self._max_unreadable):
            check_unreadable([*self._skipped(), *more], total, self._max_unreadable)

    def _block_path(self, number: int) -> pathlib.Path:
        return self.path / f"{number:06d}"

    def _open(self, number: int) -> bool:
        """Whether the block is there, and whole."""
        path = self._block_path(number)
        if not path.exists():
            return False
        try:
            block = Block.open(path, self._num_features)
        except DamagedBlockError:
            return False
        self._blocks[number] = block
        self._check_unreadable()
        if number not in self._learned:  # a block that was read again would raise the bar too high
            self._learned.add(number)
            for wanted in self._wanted:
                wanted.learn(block)
        return True

    def _remove(self, number: int) -> None:
        """Gives up a damaged block, unless another process is at it already."""
        del self._blocks[number]
        with self._locks.block(self.path.name, number) as is_free:
            if is_free:
                shutil.rmtree(self._block_path(number), ignore_errors=True)

    def _read_block(self, number: int, report: Callable[[int], None]) -> None:
        path = self._block_path(number)
        claims.remove_dead(path)
        shutil.rmtree(path, ignore_errors=True)  # a damaged one
        try:
            with claims.claim_new(path, claims.WRITING) as claim, _removed(claim.path):
                with BlockWriter(claim.path, [len(rows) for rows in self._groups.values()]) as file:
                    skipped = self._fill(file, self._images[number], report)
                    kept = file.images()
                    hashes = dict(zip(kept, fingerprints(self._source, kept), strict=True))
                    file.finish(skipped, hashes)
                os.rename(claim.path, path)
        except OSError as error:
            if not path.exists():  # else, where files cannot be locked, another was as fast
                raise explain(error, self.path) from error

    def _fill(
        self, file: BlockWriter, images: Int[np.ndarray, " n"], report: Callable[[int], None]
    ) -> list[SkippedImage]:
        skipped: list[SkippedImage] = []
        num_read = 0
        for indices, fetched in self._scanner.batches(images, skipped):
            for group, layers in enumerate(self._groups):
                codes, values, places = fetched[layers]
                rows, columns = self._wanted[group].select(indices, values)
                entries = np.zeros(len(rows), ENTRY)
                entries["image"] = indices[rows]
                entries["value"] = values[rows, columns]
                entries["place"] = places[rows, columns]
                if codes.ndim == 2:  # shared by the units
                    kept, entries["row"] = np.unique(rows, return_inverse=True)
                    file.add(group, columns, entries, codes[kept])
                else:
                    entries["row"] = np.arange(len(rows))
                    file.add(group, columns, entries, codes[rows, columns])
            num_read += len(indices)
            self._check_unreadable(skipped)
            if num_read + len(skipped) < len(images):
                report(num_read + len(skipped))
        return skipped


def _chosen(choices: Sequence[Choice], total: int) -> Int[np.ndarray, " images"]:
    """The images that any unit may need, ascending."""
    if any(choice.indices is None for choice in choices):
        return np.arange(total)
    return np.unique(np.concatenate([choice.indices for choice in choices]))  # type: ignore[list-item]


@contextlib.contextmanager
def _removed(path: pathlib.Path) -> Iterator[None]:
    """The folder is gone afterwards, unless it was renamed."""
    try:
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True)
