"""A finished run: everything that is stored, shown and replayed, as plain NumPy and text.

Nothing here needs JAX, so that a run can be read and its page written on any machine.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from mfvjax.domain import RGB, Domain
from mfvjax.judgement import Judgement


@dataclasses.dataclass(frozen=True, eq=False)
class RealImages:
    """The real images whose facets were sought, in their 2-D map; n images of c channels.

    Attributes:
      names: one per image, unique: a path inside the folder, say.
      activations: ``(n,)``, the unit's activation.
      map: ``(n, 2)``, the embedding.
      assignment: ``(n,)``, the facet of each image, from 0.
      thumbnails: ``(n, t, t, c)``, small copies in 256 levels, see `Domain.levels`; what is no
        picture is squeezed into the square.
    """

    names: tuple[str, ...]
    activations: Float32[np.ndarray, " n"]
    map: Float[np.ndarray, "n 2"]
    assignment: Int[np.ndarray, " n"]
    thumbnails: UInt8[np.ndarray, "n t t c"]


@dataclasses.dataclass(frozen=True, eq=False)
class FacetRecords:
    """The facets found among the real images, largest first; k facets, m images shown of each.

    Images have c channels and the values of the run's domain.

    Attributes:
      sizes: ``(k,)``, images in each cluster.
      homogeneity: ``(k,)``; see `mfvjax.facets`.
      centroids: ``(k, 2)`` in the map.
      nearest: ``(k, m)``, indices of the images nearest to each centroid, nearest first; -1 where a
        facet has fewer.
      nearest_images: ``(k, m, h, w, c)``, those images as the network saw them, uint8 where the
        domain `Domain.is_8bit`; its lowest value, as black is, where `nearest` is -1.
      mean_images: ``(k, h, w, c)``.
    """

    sizes: Int[np.ndarray, " k"]
    homogeneity: Float[np.ndarray, " k"]
    centroids: Float[np.ndarray, "k 2"]
    nearest: Int[np.ndarray, "k m"]
    nearest_images: UInt8[np.ndarray, "k m h w c"] | Float32[np.ndarray, "k m h w c"]
    mean_images: Float32[np.ndarray, "k h w c"]


@dataclasses.dataclass(frozen=True, eq=False)
class FacetImages:
    """The visualization of each facet; S steps, P phases.

    Attributes:
      images: ``(k, height, width, channels)``, final canvases, with the values of the run's domain.
      phase_images: the canvases at the end of each phase, P arrays; 8-bit where only their pictures
        are kept, as an atlas does where the domain `Domain.is_8bit`.
      phase_ends: steps taken at the end of each phase.
      activations: ``(k, S)``, the objective at every step, before the step.
      final_activations: ``(k,)``, of the unit on the center crop of the final image.
      top_classes: ``(k, c)``, the network's best classes for that crop, best first.
      top_class_names: the same, named.
      top_scores: ``(k, c)``, before softmax.
      stopped_at: ``(k,)``, the step at which a facet stopped early, -1 where it did not.
    """

    images: Float32[np.ndarray, "k height width channels"]
    phase_images: tuple[
        Float32[np.ndarray, "k _ _ channels"] | UInt8[np.ndarray, "k _ _ channels"], ...
    ]
    phase_ends: tuple[int, ...]
    activations: Float32[np.ndarray, "k steps"]
    final_activations: Float32[np.ndarray, " k"]
    top_classes: Int[np.ndarray, "k c"]
    top_class_names: tuple[tuple[str, ...], ...]
    top_scores: Float32[np.ndarray, "k c"]
    stopped_at: Int[np.ndarray, " k"]


@dataclasses.dataclass(frozen=True, eq=False)
class Controls:
    """Pictures beside the facets' that tell which part of them is whose; c of them, for one facet.

    Attributes:
      names: what each is: ``"start"``, the untouched mean image; ``"unit"``, the unit without what
        keeps a picture at its facet; ``"statistics"``, the facet's statistics without the unit;
        ``"placebo"``, statistics of other images with the unit; ``"noise"``, all of it started from
        noise. A recipe without statistics has only the first and the last.
      about: a sentence on each, such as where the placebo's images are from.
      facet: the facet, from 0, in whose place they are made.
      images: ``(c, height, width, channels)``, final canvases, with the values of the run's domain;
        of the same size as the facets', the start included. 8-bit where only their pictures are
        kept, as `FacetImages.phase_images`.
      activations: ``(c,)``, of the unit on the center crop.
    """

    names: tuple[str, ...]
    about: tuple[str, ...]
    facet: int
    images: (
        Float32[np.ndarray, "c height width channels"]
        | UInt8[np.ndarray, "c height width channels"]
    )
    activations: Float32[np.ndarray, " c"]


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One unit's facets: the real images, the clusters, the visualizations and their scores.

    Attributes:
      unit: as text, ``"fc8:945"``.
      title: what people call the unit: its class name, or the unit itself.
      network: ``name``, ``fingerprint``, ``input_size``, ``code_layer``.
      options: everything needed to replay the run; only JSON types. Beside that ``unreadable``,
        where images were left out: their ``count``, ``of`` how many, and the ``first`` with the
        reasons.
      versions: of Python, this package and what it computes with; the device.
      timings: seconds of each step of the run.
      real: the images.
      facets: the clusters.
      shown: the visualizations.
      scores: name of a metric -> one value per facet, ``(k,)``; see `mfvjax.metrics` for what each
        means.
      summary: name -> one number of the whole run (stability of the clustering, facet recall, ...).
      domain: what the images are.
      controls: ``None`` in runs of versions that had none.
      judgements: what other networks say of the pictures, one of each judge.
    """

    unit: str
    title: str
    network: dict[str, Any]
    options: dict[str, Any]
    versions: dict[str, str]
    timings: dict[str, float]
    real: RealImages
    facets: FacetRecords
    shown: FacetImages
    scores: dict[str, Float[np.ndarray, " k"]]
    summary: dict[str, float]
    domain: Domain = RGB
    controls: Controls | None = None
    judgements: tuple[Judgement, ...] = ()

    @property
    def num_facets(self) -> int:
        """k."""
        return len(self.facets.sizes)

    def __repr__(self) -> str:
        images = len(self.real.names)
        return f"Run({self.unit!r}, {self.title!r}, {self.num_facets} facets of {images} images)"

    def _repr_html_(self) -> str:
        """What notebooks show of a run: its facets in a table, see `mfvjax.report.notebook`."""
        from mfvjax.report.notebook import notebook_html

        return notebook_html(self)
