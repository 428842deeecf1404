"""What a run of the ascent gives back."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, Int32

from mfvjax.ascent.step import NOT_FINITE, VANISHED
from mfvjax.recipe import Recipe

_REASONS = {
    NOT_FINITE: "its activation or gradient is not finite",
    VANISHED: "its gradient vanished",
}
_ADVICE = {
    NOT_FINITE: "try float32 precision, or another start image",
    VANISHED: (
        "try another start image, the unit before its pooling or softmax, "
        "or a recipe without target='probability'"
    ),
}
_CLOSED = (
    "it reads exactly 0, and the way in which layer {} ends is not recognized as a ReLU, from "
    "before which it could be climbed: name the activation before it, or try another start image"
)


class FacetStoppedWarning(UserWarning):
    """A facet could not move any more and kept the image it had; the others went on."""


@dataclasses.dataclass(frozen=True, eq=False)
class Visualization:
    """Images that maximize their objectives, one per facet, and how they came about.

    Shapes: b facets, S steps in all, P phases.

    Attributes:
      images: the final canvases, ``(b, height, width, channels)``, in the range of the network's
        domain (RGB in [0, 255]). Canvases
        that a recipe enlarged are larger than the network's input.
      labels: what each facet maximized, such as ``"fc8:945"``.
      recipe: as run, adapted to the input size.
      activations: ``(b, S)``, the objective on each step's crop before the step; NaN after a facet
        was not finite.
      phase_images: the canvas at the end of each phase, P arrays ``(b, h, w, channels)``.
      final_activations: ``(b,)``, the objective read on the center crop of the final image, its
        activation even where a phase climbed its probability.
      top_classes: ``(b, 5)``, indices of the highest class scores on that crop, best first; fewer
        columns if the network has fewer classes, none if it has no class layer.
      top_scores: their scores, before softmax.
      stopped_at: ``(b,)``, the step at which a facet stopped, -1 for those that did not.
      status: ``(b,)``, `mfvjax.ascent.step.RUNNING`, `NOT_FINITE` or `VANISHED`.
      snapshots: with ``snapshot_every``: step number -> canvases after so many steps.
    """

    images: Float32[np.ndarray, "b h w c"]
    labels: tuple[str, ...]
    recipe: Recipe
    activations: Float32[np.ndarray, "b steps"]
    phase_images: tuple[Float32[np.ndarray, "b _ _ c"], ...]
    final_activations: Float32[np.ndarray, " b"]
    top_classes: Int32[np.ndarray, "b classes"]
    top_scores: Float32[np.ndarray, "b classes"]
    stopped_at: Int32[np.ndarray, " b"]
    status: Int[np.ndarray, " b"]
    snapshots: dict[int, Float32[np.ndarray, "b _ _ c"]]

    @property
    def phase_ends(self) -> tuple[int, ...]:
        """Number of steps taken when each phase ended."""
        return tuple(int(n) for n in np.cumsum([p.num_steps for p in self.recipe.phases]))

    def take(self, rows: slice | np.ndarray) -> Visualization:
        """Some of the facets, in the order of `rows`: a slice, or indices."""
        arrays = ("images", "activations", "final_activations", "top_classes", "top_scores")
        return dataclasses.replace(
            self,
            labels=tuple(np.asarray(self.labels, object)[rows]),
            phase_images=tuple(images[rows] for images in self.phase_images),
            snapshots={step: images[rows] for step, images in self.snapshots.items()},
            **{name: getattr(self, name)[rows] for name in (*arrays, "stopped_at", "status")},
        )

    @classmethod
    def concatenate(cls, parts: list[Visualization]) -> Visualization:
        """Facets of several runs of the same recipe, in order."""
        first = parts[0]

        def joined(name: str) -> Any:
            return np.concatenate([getattr(part, name) for part in parts])

        return cls(
            images=joined("images"),
            labels=tuple(label for part in parts for label in part.labels),
            recipe=first.recipe,
            activations=joined("activations"),
            phase_images=tuple(
                np.concatenate(images)
                for images in zip(*(part.phase_images for part in parts), strict=True)
            ),
            final_activations=joined("final_activations"),
            top_classes=joined("top_classes"),
            top_scores=joined("top_scores"),
            stopped_at=joined("stopped_at"),
            status=joined("status"),
            snapshots={
                step: np.concatenate([part.snapshots[step] for part in parts])
                for step in first.snapshots
            },
        )


def warn_of_stopped(
    result: Visualization, names: Sequence[str], closed: Callable[[int], Sequence[str]]
) -> None:
    """Issues one `FacetStoppedWarning` for each facet that stopped before the end.

    Args:
      result: of a run.
      names: of its facets; one without a name is told by its number and label. Of a name that
        occurs again, as where a batch is filled up with repeats, the first is told of.
      closed: of a facet's number, layers that it climbs whose ends are not known to be ReLUs; asked
        of those that stopped where their objective is exactly 0.
    """
    told = set()
    for i in np.flatnonzero(result.status).tolist():
        name = names[i] or f"facet {i} ({result.labels[i]})"
        if name in told:
            continue
        told.add(name)
        code = int(result.status[i])
        is_zero = code == VANISHED and result.activations[i, result.stopped_at[i]] == 0
        layers = closed(i) if is_zero else ()
        advice = _CLOSED.format(" and ".join(map(repr, layers))) if layers else _ADVICE[code]
        warnings.warn(
            f"{name} stopped at step {result.stopped_at[i]} of {result.recipe.num_steps}: "
            f"{_REASONS[code]}; {advice}",
            FacetStoppedWarning,
            stacklevel=3,
        )
