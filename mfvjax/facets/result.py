"""Facets of a unit as a value: saved to one file and loaded whole."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from mfvjax.domain import RGB, Domain
from mfvjax.facets.origin import Origin
from mfvjax.images import SkippedImage
from mfvjax.types import Unit

FORMAT = "mfvjax-facets"
VERSION = 1
_ABOUT = "about"
_AXES = {  # of every array: n images, k facets, others as named
    "indices": "n",
    "activations": "n",
    "positions": "n2",
    "map": "n2",
    "assignment": "n",
    "sizes": "k",
    "centroids": "k2",
    "code_centroids": "kd",
    "nearest": "km",
    "mean_images": "khwc",
    "homogeneity": "k",
    "stability": "k",
}


class DamagedFacetsError(ValueError):
    """A file is not a whole set of facets; the message names it and says what is wrong."""


@dataclasses.dataclass(frozen=True, eq=False)
class Facets:
    """The facets of a unit, largest first; n images of c channels, k facets, m nearest of each.

    Attributes:
      unit: as it was asked for.
      code_layer: whose activations, or their relevance to the unit, were the images' codes.
      names: of the images.
      indices: ``(n,)``, of the images in their source.
      activations: ``(n,)``, of the unit.
      positions: ``(n, 2)``, ``(row, column)`` where a unit of a map was read; ``None`` if dense.
      map: ``(n, 2)``, the t-SNE map.
      assignment: ``(n,)``, the facet of each image, from 0.
      sizes: ``(k,)``, images of each facet; of equally large ones the order is fixed too.
      centroids: ``(k, 2)``, mean map position of each facet.
      code_centroids: ``(k, d)``, mean code of each facet.
      nearest: ``(k, m)``, the members nearest to each centroid, nearest first, as rows of the
        arrays here; -1 where a facet has fewer.
      mean_images: ``(k, h, w, c)``, their mean, in the domain's range; of the receptive field's
        patches where the unit is one of a map.
      homogeneity: ``(k,)``, mean cosine similarity of two members' codes, at most 1; NaN for a
        facet of one image.
      stability: ``(k,)``, bootstrapped Jaccard similarity; see ``bootstrap_stability``.
      summary: numbers about the whole: ``homogeneity`` of all images as if they were one facet,
        ``agreement`` (bootstrapped adjusted Rand index),
        ``divergence``, ``perplexity`` and ``explained`` (see ``Embedding``); where the number of
        facets was found, ``num_facets`` holds the evidence.
      options: all that was chosen, the seed included; with the same images they give the same
        facets.
      skipped: images that could not be read.
      domain: of the images.
      origin: which network and images they are of; ``None`` where that is written down elsewhere,
        or, in files of version 0.1, nowhere.
    """

    unit: Unit
    code_layer: str
    names: tuple[str, ...]
    indices: Int[np.ndarray, " n"]
    activations: Float[np.ndarray, " n"]
    positions: Int[np.ndarray, "n 2"] | None
    map: Float[np.ndarray, "n 2"]
    assignment: Int[np.ndarray, " n"]
    sizes: Int[np.ndarray, " k"]
    centroids: Float[np.ndarray, "k 2"]
    code_centroids: Float[np.ndarray, "k d"]
    nearest: Int[np.ndarray, "k m"]
    mean_images: Float[np.ndarray, "k h w c"]
    homogeneity: Float[np.ndarray, " k"]
    stability: Float[np.ndarray, " k"]
    summary: Mapping[str, Any]
    options: Mapping[str, Any]
    skipped: tuple[SkippedImage, ...] = ()
    domain: Domain = RGB
    origin: Origin | None = None

    @property
    def code(self) -> str:
        """What the codes are: "activation" or "relevance", see ``compute_codes``."""
        return str(self.options.get("code", "activation"))

    @property
    def num_facets(self) -> int:
        """How many facets there are."""
        return len(self.sizes)

    def members(self, facet: int) -> Int[np.ndarray, " members"]:
        """Rows of a facet's images."""
        return np.flatnonzero(self.assignment == facet)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes one ``.npz`` file, whole or not at all; nothing is pickled.

        Raises:
          OSError: the file cannot be written.
        """
        path = pathlib.Path(path)
        arrays = {name: getattr(self, name) for name in _AXES if getattr(self, name) is not None}
        arrays[_ABOUT] = np.array(json.dumps(self._about()))
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
        try:
            with open(temporary, "xb") as file:
                np.savez_compressed(file, allow_pickle=False, **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _about(self) -> dict[str, Any]:
        added = {} if self.domain == RGB else {"domain": dataclasses.asdict(self.domain)}
        if self.origin is not None:
            added["origin"] = dataclasses.asdict(self.origin)
        return added | {
            "format": FORMAT,
            "version": VERSION,
            "unit": str(self.unit),
            "code_layer": self.code_layer,
            "names": self.names,
            "summary": self.summary,
            "options": self.options,
            "skipped": [dataclasses.asdict(image) for image in self.skipped],
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Facets:
        """Reads what `save` wrote.

        Raises:
          FileNotFoundError: there is no such file.
          DamagedFacetsError: it is not a whole file of facets, or of a newer version.
        """
        with open(path, "rb") as file:
            try:
                with np.load(file, allow_pickle=False) as archive:
                    arrays = {name: archive[name] for name in archive.files}
                about = json.loads(str(arrays.pop(_ABOUT)))
                domain = Domain.from_json(about["domain"]) if "domain" in about else RGB
                _check(about, arrays, domain)
                return cls(
                    unit=Unit.parse(about["unit"]),
                    code_layer=about["code_layer"],
                    names=tuple(about["names"]),
                    positions=arrays.pop("positions", None),
                    summary=about["summary"],
                    options=about["options"],
                    skipped=tuple(SkippedImage(**image) for image in about["skipped"]),
                    domain=domain,
                    origin=Origin(**about["origin"]) if "origin" in about else None,
                    **arrays,
                )
            # NumPy and zipfile raise nearly anything on a damaged archive.
            except Exception as error:
                raise DamagedFacetsError(
                    f"{os.fspath(path)!r} does not hold facets, or is damaged: {error}"
                ) from error


def _check(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray], domain: Domain) -> None:
    if about["format"] != FORMAT or about["version"] != VERSION:
        raise ValueError(
            f"its format is {about['format']!r} version {about['version']!r}, "
            f"not {FORMAT!r} version {VERSION}"
        )
    if set(arrays) | {"positions"} != set(_AXES):
        raise ValueError(f"it holds the arrays {sorted(arrays)}, not {sorted(_AXES)}")
    lengths: dict[str, int] = {"2": 2, "c": domain.channels, "n": len(about["names"])}
    for name, array in arrays.items():
        if array.ndim != len(_AXES[name]) or any(
            lengths.setdefault(axis, size) != size
            for axis, size in zip(_AXES[name], array.shape, strict=True)
        ):
            raise ValueError(f"array {name!r} has the shape {array.shape}")
    if not np.array_equal(np.bincount(arrays["assignment"]), arrays["sizes"]):
        raise ValueError("the sizes are not those of the assignment")
