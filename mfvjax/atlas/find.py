"""Facets of many units: passes over the pool, then discovery, each unit's facets in a file."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import jax

from mfvjax.atlas.choice import Choice
from mfvjax.atlas.folder import AtlasFolder
from mfvjax.atlas.scan import Scan
from mfvjax.facets.codes import Codes, request_code
from mfvjax.facets.discover import assemble_facets
from mfvjax.facets.grouping import Grouping, GroupOptions, canonical_order, group_codes
from mfvjax.facets.result import DamagedFacetsError, Facets
from mfvjax.images import ImageSource
from mfvjax.network import Network
from mfvjax.store.errors import explain

ProgressFn: TypeAlias = Callable[[str, int, int], None]

IMAGE_HASHES = "image_sha256"
_SPOOL_BYTES = 2**32
_UNITS_AT_ONCE = 16


class ChangedImageError(ValueError):
    """An image is not what it was when the facets were found."""


def find_facets(
    network: Network,
    source: ImageSource,
    choices: Sequence[Choice],
    folder: AtlasFolder,
    *,
    options: GroupOptions,
    failed: dict[str, str],
    code_layer: str | None = None,
    progress: ProgressFn | None = None,
    spool_bytes: int = _SPOOL_BYTES,
) -> dict[str, int]:
    """Leaves the facets of each unit in its file; units whose file is there are passed over.

    All units share one pass over the pool, in which each image is read once. Where the codes of the
    units by class would take more than `spool_bytes`, these units are taken in parts: an image is
    of one class, and is still read once, but for those that a unit by rank needs too.

    Args:
      network: of the units.
      source: the pool.
      choices: of the units.
      folder: of the atlas.
      options: of discovery.
      failed: gets the units that have no facets, and why.
      code_layer: instead of the network's choice.
      progress: called with (step, done, in all).
      spool_bytes: of codes on disk, if they can be divided at all.

    Returns: the number of facets of each unit that has some.

    Raises:
      RunWriteError: no space left.
      ValueError: an activation is not finite, or no image can be read.
    """
    numbers = {choice.unit: _num_found(folder.found_path(choice.unit)) for choice in choices}
    left = [choice for choice in choices if not numbers[choice.unit]]
    fingerprint = functools.lru_cache(2**18)(source.fingerprint)
    for part in _parts(network, left, code_layer, spool_bytes):
        reading = None if progress is None else functools.partial(progress, "reading images")
        with (
            folder.codes_folder() as claim,
            _removed(claim.path),
            Scan(
                network, source, part, claim.path, code_layer=code_layer, progress=reading
            ) as scan,
        ):
            for facets in _discover(network, source, scan, options, failed):
                hashes = [fingerprint(index) for index in facets.indices.tolist()]
                kept = {**facets.options, IMAGE_HASHES: hashes}
                unit = str(facets.unit)
                _save(dataclasses.replace(facets, options=kept), folder, unit)
                numbers[unit] = facets.num_facets
                if progress is not None:
                    done = sum(number > 0 for number in numbers.values())
                    progress("finding facets", done, len(choices))
    return {unit: number for unit, number in numbers.items() if number}


def load_facets(source: ImageSource, folder: AtlasFolder, unit: str) -> Facets:
    """The facets found before, if their images still are what they were.

    Raises:
      ChangedImageError: one is not; the message names it.
    """
    facets = Facets.load(folder.found_path(unit))
    hashes = facets.options[IMAGE_HASHES]
    for name, index, before in zip(facets.names, facets.indices.tolist(), hashes, strict=True):
        if source.names[index] != name or source.fingerprint(index) != before:
            raise ChangedImageError(
                f"image {name!r} has changed since the facets of {unit} were found; put it back as "
                f"it was, or start another atlas. Finished units in {folder.path} are kept"
            )
    return facets


def _num_found(path: pathlib.Path) -> int:
    """How many facets there are, 0 if none yet; a damaged file is removed, to be made again."""
    try:
        return Facets.load(path).num_facets
    except FileNotFoundError:
        return 0
    except DamagedFacetsError:
        path.unlink()
        return 0


def _parts(
    network: Network, choices: Sequence[Choice], code_layer: str | None, spool_bytes: int
) -> Iterator[list[Choice]]:
    """What one pass is for: all units by rank, and of those by class as many as there is room."""
    part = [choice for choice in choices if choice.indices is None]
    used = sum(_spooled(network, choice, code_layer) for choice in part)
    for choice in choices:
        if choice.indices is None:
            continue
        needed = _spooled(network, choice, code_layer)
        if part and used + needed > spool_bytes:
            yield part
            part, used = [], 0
        part.append(choice)
        used += needed
    if part:
        yield part


def _spooled(network: Network, choice: Choice, code_layer: str | None) -> int:
    """Bytes of a unit's codes on disk."""
    layer = request_code(network, choice.unit, code_layer).code_layer
    rows = choice.count if choice.indices is None else len(choice.indices)
    return 4 * rows * network.layers[layer].num_units


def _discover(
    network: Network,
    source: ImageSource,
    scan: Scan,
    options: GroupOptions,
    failed: dict[str, str],
) -> Iterator[Facets]:
    # Always the same number side by side: a unit's map must not depend on how many are left.
    width = None if jax.default_backend() == "cpu" else _UNITS_AT_ONCE
    for first in range(0, len(scan.choices), width or 1):
        chosen = scan.choices[first : first + (width or 1)]
        codes = [scan.codes(row) for row in range(first, first + len(chosen))]
        groupings = _group(codes, options, width, failed)
        for choice, one, grouping in zip(chosen, codes, groupings, strict=True):
            if grouping is not None:
                kept = {**dataclasses.asdict(options), **_how(choice)}
                yield assemble_facets(network, source, one, grouping, options=kept)


def _group(
    codes: Sequence[Codes], options: GroupOptions, width: int | None, failed: dict[str, str]
) -> list[Grouping | None]:
    """The groupings of units, side by side; one by one where that fails, to learn whose fault."""
    orders = [canonical_order(one.codes, one.activations, one.names) for one in codes]
    try:
        values = [one.codes for one in codes]
        return list(group_codes(values, orders, options=options, units_at_once=width))
    except ValueError as error:
        if len(codes) == 1:
            failed[str(codes[0].unit)] = str(error)
            return [None]
    return [grouping for one in codes for grouping in _group([one], options, width, failed)]


def _how(choice: Choice) -> dict[str, Any]:
    return {"label": choice.label, "top_count": choice.count or None}


def _save(facets: Facets, folder: AtlasFolder, unit: str) -> None:
    try:
        facets.save(folder.found_path(unit))
    except OSError as error:
        raise explain(error, folder.path) from error


@contextlib.contextmanager
def _removed(path: pathlib.Path) -> Iterator[None]:
    """The folder is gone afterwards."""
    try:
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True)
