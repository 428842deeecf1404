"""Codes: the vectors that describe images when facets of a unit are looked for."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, get_args, overload

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from mfvjax.facets.code_cache import CodeCache
from mfvjax.facets.code_pass import CodeRequest, Kind, Reading, read_batch, run_pass
from mfvjax.facets.places import Positions
from mfvjax.facets.reading import FacetNetwork, as_arrays, as_positions, request_unit
from mfvjax.facets.relevance import layer_below
from mfvjax.images import Imagelike, ImageSource, SkippedImage, open_images
from mfvjax.images.batches import OnError
from mfvjax.images.resize import ResizeRule, ResizeShorter
from mfvjax.types import Unit

CodeKind: TypeAlias = Literal["activation", "relevance"]
"""What describes an image: activations of a layer, or what the unit makes of them."""


@dataclasses.dataclass(frozen=True, eq=False)
class Codes:
    """Codes of images for one unit; row i of every array belongs to the same image.

    Attributes:
      unit: as it was asked for.
      layer: whose activations the codes are, or whose relevance to the unit.
      codes: one vector per image.
      activations: of the unit.
      positions: ``(row, column)`` where the unit was read, ``(token, 0)`` for tokens; ``None`` if
        its layer is dense.
      indices: of the images in their source.
      names: of the images.
      skipped: images that could not be read; they have no row.
    """

    unit: Unit
    layer: str
    codes: Float[np.ndarray, "images features"]
    activations: Float[np.ndarray, " images"]
    positions: Int[np.ndarray, "images 2"] | None
    indices: Int[np.ndarray, " images"]
    names: tuple[str, ...]
    skipped: tuple[SkippedImage, ...] = ()


@overload
def compute_codes(
    network: FacetNetwork, images: Imagelike, *, unit: Unit | str, **options: Any
) -> Codes: ...
@overload
def compute_codes(
    network: FacetNetwork, images: Imagelike, *, units: Sequence[Unit | str], **options: Any
) -> tuple[Codes, ...]: ...
def compute_codes(  # type: ignore[misc]  # the options are those below
    network: FacetNetwork,
    images: Imagelike,
    *,
    unit: Unit | str | None = None,
    units: Sequence[Unit | str] | None = None,
    code: CodeKind = "activation",
    code_layer: str | None = None,
    positions: Positions = "inside",
    batch_size: int = 32,
    resize_shorter: ResizeShorter = "fit",
    warp: bool = False,
    on_error: OnError = "skip",
    max_unreadable: float = 1.0,
    num_workers: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Codes | tuple[Codes, ...]:
    """Reads the codes and activations of all images in one pass.

    The code layer is ``network.code_layer``: the one before the classes for a class unit, that
    which it reads for a unit of an added layer, else the unit's own. The code of an image is

    * if that layer is neither the unit's own nor read by it: its activations, averaged over the
      positions of a map or the tokens of a sequence;
    * if it is one of these and dense: its activations;
    * if it is one of these and a map or sequence: the column across channels at one position. That
      is the unit's position if it was asked for with one (``"conv4:12@6,6"``), otherwise, image by
      image, the position of its maximum over those that `positions` names. Note that
      ``network.resolve`` gives a unit a position.

    With ``code="relevance"`` it is the gradient of the unit, at that position, times the
    activations of a layer below, see ``relevance_codes``: of ``network.code_layer`` for units of
    classes and of added layers, for others see ``layer_below``.

    There is one compilation per batch size, layers and number of units; other units of the same
    layers, and other images, use it again.

    Args:
      network: what is asked.
      images: as `open_images`, of the network's domain.
      unit: one unit; or
      units: several, all read from the same images.
      code: "activation", or "relevance" for what in a layer below made the unit answer.
      code_layer: instead of the one above.
      positions: see ``top_images``.
      batch_size: images in one pass of the network; the last batch is padded.
      resize_shorter: see ``ResizeRule``.
      warp: see ``ResizeRule``.
      on_error: what to do with an unreadable image.
      max_unreadable: the largest share of the images that may be skipped.
      num_workers: decoding threads; see ``iterate_batches``.
      cache_dir: folder that keeps results, by the hashes of network and images; made if missing.
        A damaged file in it is told of (``DamagedCodesWarning``) and replaced.
      progress: called with the number of images done and of all, after each batch.

    Returns:
      One result, or one per unit in their order.

    Raises:
      TooManyUnreadableError: more than `max_unreadable` of the images are unreadable.
      UnreadableImageError: an image is unreadable and `on_error` is ``"raise"``.
      ValueError: not just one of `unit` and `units` is given, a unit or the layer does not exist,
        or is not below the unit where relevance is asked for, no image can be read, or an
        activation is not finite.

    References:
      Nguyen et al. 2016 (arXiv 1602.03616), Algorithm 1, step 1, and the section on hidden units.
    """
    if (unit is None) == (units is None):
        raise ValueError("give either unit or units, such as unit='fc8:945'")
    wanted = [unit] if unit is not None else list(units or ())
    if not wanted:
        raise ValueError("units is empty; give at least one unit, such as 'fc8:945'")
    source = open_images(images, domain=network.preprocessing.domain)
    rule = ResizeRule(network.input_size, resize_shorter, warp)
    requests = [request_code(network, one, code_layer, positions, code) for one in wanted]
    cache = None
    if cache_dir is not None:
        cache = CodeCache.open(
            cache_dir, network_fingerprint=network.fingerprint, source=source, rule=rule
        )
    results = _load(cache, requests, source, on_error)
    missing = [row for row in range(len(requests)) if row not in results]
    if missing:
        read = run_pass(
            network,
            source,
            [requests[row] for row in missing],
            rule=rule,
            batch_size=batch_size,
            on_error=on_error,
            max_unreadable=max_unreadable,
            num_workers=num_workers,
            progress=progress,
        )
        for i, row in enumerate(missing):
            _check_finite(requests[row].unit.unit, read[i], source)
            results[row] = read[i]
            if cache is not None:
                cache.save(requests[row], read[i])
    found = [_codes(request, results[row], source) for row, request in enumerate(requests)]
    return found[0] if unit is not None else tuple(found)


def request_code(
    network: FacetNetwork,
    unit: Unit | str,
    code_layer: str | None,
    positions: Positions = "inside",
    code: CodeKind = "activation",
) -> CodeRequest:
    """A unit with its code layer; raises ``ValueError`` if there is no such unit, layer or code."""
    check_code(code)
    request = request_unit(network, unit, positions=positions)
    layer = request.unit.layer
    if code_layer is not None and code_layer not in network.layers:
        raise ValueError(
            f"code_layer={code_layer!r} is no layer; the layers are: {', '.join(network.layers)}"
        )
    if code == "relevance":
        return CodeRequest(request, code_layer or layer_below(network, layer), "relevance")
    chosen = code_layer or network.code_layer(layer)
    origins = {network.layers[name].origin for name in (layer, chosen)}
    kind: Kind = "place" if len(origins) == 1 else "mean"
    return CodeRequest(request, chosen, kind)


def read_codes(
    network: FacetNetwork,
    images: Float[np.ndarray, "n h w c"],
    unit: Unit,
    code_layer: str,
    code: CodeKind,
) -> Float[np.ndarray, "n features"]:
    """Codes of images in memory, of the network's size; a map's unit has a position.

    Raises:
      ValueError: as `request_code`.
    """
    request = request_code(network, unit, code_layer, code=code)
    read = read_batch(
        network.params,
        jnp.asarray(images),
        {request.layers: as_arrays([request.unit])},
        forward=network.forward,
        preprocessing=network.preprocessing,
    )
    codes = np.asarray(read[request.layers][0], np.float64)
    return codes if codes.ndim == 2 else codes[:, 0]


def check_code(code: str) -> None:
    """Raises ``ValueError`` unless `code` is "activation" or "relevance"."""
    if code not in get_args(CodeKind):
        raise ValueError(f'code must be "activation" or "relevance", got {code!r}')


def _load(
    cache: CodeCache | None, requests: Sequence[CodeRequest], source: ImageSource, on_error: OnError
) -> dict[int, Reading]:
    """Cached results by row; one that skipped images does not answer where none may be skipped."""
    if cache is None:
        return {}
    found = {row: cache.load(request, source) for row, request in enumerate(requests)}
    return {
        row: reading
        for row, reading in found.items()
        if reading is not None and not (on_error == "raise" and reading.skipped)
    }


def _codes(request: CodeRequest, reading: Reading, source: ImageSource) -> Codes:
    return Codes(
        unit=request.unit.unit,
        layer=request.code_layer,
        codes=reading.codes,
        activations=reading.activations,
        positions=as_positions(request.unit, reading.places),
        indices=reading.indices,
        names=tuple(source.names[index] for index in reading.indices.tolist()),
        skipped=reading.skipped,
    )


def _check_finite(unit: Unit, reading: Reading, source: ImageSource) -> None:
    finite = np.isfinite(reading.codes).all(axis=1) & np.isfinite(reading.activations)
    if not finite.all():
        name = source.names[int(reading.indices[np.argmin(finite)])]
        raise ValueError(f"unit {unit} or its code is not finite on image {name!r}")
