"""What is called what in a run folder."""

from __future__ import annotations

import dataclasses

from mfvjax.run import FacetImages, FacetRecords, RealImages

ARRAYS = "arrays.npz"
NEAREST_IMAGES = "facets.nearest_images"  # an array where no picture can be the record
CONTROL_IMAGES, CONTROL_ACTIVATIONS = "controls.images", "controls.activations"
_PARTS = {"real": RealImages, "facets": FacetRecords, "shown": FacetImages}
_ELSEWHERE = {"names", "nearest_images", "phase_images", "phase_ends", "top_class_names"}


def array_fields() -> list[tuple[str, str]]:
    """(part of the run, its field) for every array that ``arrays.npz`` holds as it is."""
    return [
        (part, field.name)
        for part, kind in _PARTS.items()
        for field in dataclasses.fields(kind)
        if field.name not in _ELSEWHERE
    ]


def phase_key(phase: int) -> str:
    """Array of the canvases at the end of a phase, from 1."""
    return f"shown.phase_images.{phase}"


def facet_file(facet: int, what: str = "") -> str:
    """Picture of a facet, counted from 0 here and from 1 in the name."""
    return f"facets/{facet + 1:02d}{'_' if what else ''}{what}.png"


def nearest_file(facet: int, rank: int) -> str:
    """Picture of one of a facet's nearest real images."""
    return f"nearest/{facet + 1:02d}_{rank + 1:02d}.png"


def control_file(number: int) -> str:
    """Picture of a control, counted from 0 here and from 1 in the name."""
    return f"controls/{number + 1:02d}.png"
