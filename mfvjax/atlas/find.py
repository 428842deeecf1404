"""Facets of many units: passes over the pool, then discovery, each unit's facets in a file."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import jax

from mfvjax.atlas.choice import Choice
from mfvjax.atlas.folder import AtlasFolder
from mfvjax.atlas.passes import join_passes, mark_failed, remove_done_passes
from mfvjax.atlas.pool_pass import PoolPass
from mfvjax.facets.codes import CodeKind, Codes, request_code
from mfvjax.facets.discover import assemble_facets
from mfvjax.facets.embed import check_map
from mfvjax.facets.grouping import Grouping, GroupOptions, canonical_order, group_codes
from mfvjax.facets.reading import request_unit
from mfvjax.facets.result import DamagedFacetsError, Facets
from mfvjax.facets.top import too_few_activate
from mfvjax.images import ImageSource, fingerprints
from mfvjax.network import Network
from mfvjax.store.errors import explain

ProgressFn: TypeAlias = Callable[[str, int, int], None]

IMAGE_HASHES = "image_sha256"
_PASS_BYTES = 2**32
_UNITS_AT_ONCE = 16
_RELEVANT_UNITS = 64
"""Of one pass, where every unit has codes of its own for every image: megabytes in a batch."""


class ChangedImageError(ValueError):
    """An image is not what it was when it was read, or when the facets were found."""


def find_facets(
    network: Network,
    source: ImageSource,
    units: Sequence[str],
    folder: AtlasFolder,
    *,
    choose: Callable[[Sequence[str]], Sequence[Choice]],
    options: GroupOptions,
    failed: dict[str, str],
    team: Sequence[str] | None = None,
    max_unreadable: float = 1.0,
    code: CodeKind = "activation",
    code_layer: str | None = None,
    devices: Sequence[jax.Device] | None = None,
    progress: ProgressFn | None = None,
    pass_bytes: int = _PASS_BYTES,
) -> dict[str, int]:
    """Leaves the facets of each unit in its file; units whose file is there are passed over.

    The units of a team share a pass over the pool, in which each image is read once, by one of its
    processes. Where the codes of the units by class would take more than `pass_bytes`, these are
    divided between passes: an image is of one class, and is still read once, but for those that a
    unit by rank needs too. So they are where codes are of relevance, which every unit has its own
    of for every image of a pass, if only to leave them.

    Args:
      network: of the units.
      source: the pool.
      units: locked by this process.
      folder: of the atlas.
      choose: the images of units.
      options: of discovery.
      failed: gets the units that have no facets, and why.
      team: units of all processes that read the pool between them; by default `units`.
      max_unreadable: the largest share of the images of a pass that may be left out.
      code: by what images are told apart; see `discover_facets`.
      code_layer: instead of the one that follows.
      devices: that read images.
      progress: called with (step, done, in all).
      pass_bytes: of codes on disk, if they can be divided at all.

    Returns: the number of facets of each unit that has some.

    Raises:
      ChangedImageError: an image changed after it was read.
      MemoryError: the map of a unit's images does not fit into memory.
      RunWriteError: no space left.
      TooManyUnreadableError: more than `max_unreadable` of the images are unreadable.
      ValueError: an activation is not finite, or no image can be read.
    """
    numbers = {unit: _num_found(folder.found_path(unit)) for unit in units}
    left = [unit for unit in units if not numbers[unit]]
    if not left:
        return numbers

    def divide(wanted: Sequence[str]) -> Iterator[list[str]]:
        size = functools.partial(_code_bytes, network, code=code, code_layer=code_layer)
        most = _RELEVANT_UNITS if code == "relevance" else None
        chosen = choose(wanted)
        check_map(max(map(_num_images, chosen)), options.embed)  # before anything is read
        for part in _parts(chosen, size, pass_bytes, most):
            yield [choice.unit for choice in part]

    for plan in join_passes(folder, left, units if team is None else team, divide):
        reading = None if progress is None else functools.partial(progress, "reading images")
        choices = choose(plan.units)
        pool = PoolPass(
            plan,
            network,
            source,
            choices,
            locks=folder.locks,
            max_unreadable=max_unreadable,
            code=code,
            code_layer=code_layer,
            devices=devices,
        )
        pool.read(reading)
        mine = [choice for choice in choices if choice.unit in numbers and not numbers[choice.unit]]
        for choice, facets, hashes in _discover(
            network, source, pool, mine, options, failed, code=code
        ):
            if facets is None:
                mark_failed(folder, plan.path, choice.unit)
                continue
            _check_unchanged(source, facets, hashes, "it was read", folder)
            _save(facets, hashes, folder, choice.unit)
            numbers[choice.unit] = facets.num_facets
            if progress is not None:
                done = sum(number > 0 for number in numbers.values())
                progress("finding facets", done, len(units))
        with folder.locks.index():
            remove_done_passes(folder)
    return {unit: number for unit, number in numbers.items() if number}


def load_facets(source: ImageSource, folder: AtlasFolder, unit: str) -> Facets:
    """The facets found before, if their images still are what they were.

    Raises:
      ChangedImageError: one is not; the message names it.
    """
    facets = Facets.load(folder.found_path(unit))
    hashes = facets.options[IMAGE_HASHES]
    _check_unchanged(source, facets, hashes, f"the facets of {unit} were found", folder)
    return facets


def _check_unchanged(
    source: ImageSource,
    facets: Facets,
    hashes: Sequence[str],
    since: str,
    folder: AtlasFolder,
) -> None:
    current = fingerprints(source, facets.indices.tolist())
    for name, now, before in zip(facets.names, current, hashes, strict=True):
        if now != before:
            raise ChangedImageError(
                f"image {name!r} has changed since {since}; put it back as it was, or start "
                f"another atlas. Finished units in {folder.path} are kept"
            )


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
    choices: Sequence[Choice],
    size: Callable[[Choice], int],
    pass_bytes: int,
    most: int | None,
) -> Iterator[list[Choice]]:
    """What one pass is for: all units by rank, and of those by class as many as there is room."""
    part = [choice for choice in choices if choice.indices is None]
    used = sum(map(size, part))
    for choice in choices:
        if choice.indices is None:
            continue
        needed = size(choice)
        if part and (used + needed > pass_bytes or len(part) == most):
            yield part
            part, used = [], 0
        part.append(choice)
        used += needed
    if part:
        yield part


def _num_images(choice: Choice) -> int:
    """Of a unit, at most."""
    return choice.count if choice.indices is None else len(choice.indices)


def _code_bytes(network: Network, choice: Choice, *, code: CodeKind, code_layer: str | None) -> int:
    """Bytes of a unit's codes on disk."""
    layer = request_code(network, choice.unit, code_layer, code=code).code_layer
    return 4 * _num_images(choice) * network.layers[layer].num_units


def _discover(
    network: Network,
    source: ImageSource,
    pool: PoolPass,
    choices: Sequence[Choice],
    options: GroupOptions,
    failed: dict[str, str],
    *,
    code: CodeKind,
) -> Iterator[tuple[Choice, Facets | None, list[str]]]:
    """The facets of each unit, or ``None``, and the hashes of its images when they were read."""
    # Always the same number side by side: a unit's map must not depend on how many are left.
    width = None if jax.default_backend() == "cpu" else _UNITS_AT_ONCE
    for first in range(0, len(choices), width or 1):
        found = []
        for choice in choices[first : first + (width or 1)]:
            one, of = pool.codes(choice.unit)
            count, needed = len(one.names), min(choice.needed, len(source) - len(one.skipped))
            if count < needed:
                request = request_unit(network, choice.unit, positions=choice.positions)
                failed[choice.unit] = str(too_few_activate(request, count, needed))
                yield choice, None, []
            else:
                found.append((choice, one, of))
        groupings = _group([one for _, one, _ in found], options, width, failed) if found else []
        for (choice, one, of), grouping in zip(found, groupings, strict=True):
            if grouping is None:
                yield choice, None, []
            else:
                kept = {**dataclasses.asdict(options), **_how(choice), "code": code}
                yield choice, assemble_facets(network, source, one, grouping, options=kept), of


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
    top = choice.count or None
    return {"label": choice.label, "top_count": top, "positions": choice.positions}


def _save(facets: Facets, hashes: list[str], folder: AtlasFolder, unit: str) -> None:
    kept = dataclasses.replace(facets, options={**facets.options, IMAGE_HASHES: hashes})
    try:
        kept.save(folder.found_path(unit))
    except OSError as error:
        raise explain(error, folder.path) from error
