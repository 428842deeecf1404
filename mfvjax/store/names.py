"""What is called what in a run folder."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re

from mfvjax.run import FacetImages, FacetRecords, RealImages

ARRAYS = "arrays.npz"
NEAREST_IMAGES = "facets.nearest_images"  # an array where no picture can be the record
CONTROL_IMAGES, CONTROL_ACTIVATIONS = "controls.images", "controls.activations"
RUN_JSON, PAGE = "run.json", "report.html"
COVER, STRIP = "cover.jpg", "facets.jpg"  # of units of an atlas
_OWN = re.compile(
    rf"{RUN_JSON}|{ARRAYS}|{PAGE}|{COVER}|{STRIP}"
    r"|facets/\d+(_mean|_phase\d+)?\.png|nearest/\d+_\d+\.png|controls/\d+\.png"
    r"|figures/(facets|map|progress)\.(png|pdf)"
    rf"|(figures/)?\.({RUN_JSON}|{PAGE}|{COVER}|{STRIP})\.\w+"  # half written when killed
    r"|(.*/)?(\.DS_Store|Thumbs\.db|desktop\.ini)"  # of systems, nobody's work
)
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


def others_files(folder: pathlib.Path) -> list[str]:
    """Files and links in a run folder that no run, page or figure writes, by name; sorted."""
    found = []
    for path, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(path, name))]
        for name in files + links:
            inside = pathlib.Path(path, name).relative_to(folder).as_posix()
            if not _OWN.fullmatch(inside):
                found.append(inside)
    return sorted(found)
