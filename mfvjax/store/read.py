"""From a run folder back to the run."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import numpy as np

from mfvjax.domain import Domain
from mfvjax.run import Controls, FacetImages, FacetRecords, RealImages, Run
from mfvjax.store import claims, header
from mfvjax.store.arrays import unpack
from mfvjax.store.errors import DamagedRunError, NotARunError, UnknownVersionError
from mfvjax.store.files import has_size, read_recorded
from mfvjax.store.judgements import check_count
from mfvjax.store.names import (
    ARRAYS,
    CONTROL_ACTIVATIONS,
    CONTROL_IMAGES,
    NEAREST_IMAGES,
    array_fields,
    control_file,
    facet_file,
    nearest_file,
    phase_key,
)
from mfvjax.store.picture_files import Pictures
from mfvjax.store.shapes import check_arrays


def load_run(folder: str | os.PathLike[str]) -> Run:
    """Reads a finished run, every file of it checked against its recorded hash.

    Raises:
      NotARunError: `folder` is missing, is a file, or holds no run.
      DamagedRunError: a file of the run is missing or was changed; or files that fit their hashes
        do not fit each other: a shape, a type, a number that points nowhere. The message names the
        file or the field.
      UnknownVersionError: written in a version of the format that this package does not read.
    """
    path = pathlib.Path(folder)
    head = read_header(path)
    data = {name: read_recorded(path, name, entry) for name, entry in head["files"].items()}
    try:
        return _build(head, data)
    except ValueError as error:
        raise DamagedRunError(f"{path} is damaged: {error}") from error


def read_header(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """``run.json`` of a run as a dictionary: title, scores, names, but no array is read.

    Raises: as `load_run`, except that the other files are not looked at.
    """
    path = pathlib.Path(folder)
    if not path.exists():
        raise NotARunError(f"{path} does not exist{_set_aside(path)}")
    if not path.is_dir():
        raise NotARunError(f"{path} is a file, not a run folder")
    return header.read_header(path)


def verify_run(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Checks every file of a run against its recorded hash; gives ``run.json``.

    Raises: as `load_run`, but what is inside the files is not looked at.
    """
    path = pathlib.Path(folder)
    head = read_header(path)
    for name, entry in head["files"].items():
        read_recorded(path, name, entry)
    return head


def is_finished(folder: str | os.PathLike[str]) -> bool:
    """Whether a whole run is at `folder`: one that this package reads, with every file as long as
    it was written. Cheap: no file but ``run.json`` is read, so hashes are left to `load_run`."""
    path = pathlib.Path(folder)
    try:
        for name, entry in read_header(path)["files"].items():
            has_size(path / name, entry)
    except (NotARunError, DamagedRunError, UnknownVersionError):
        return False
    return True


def _set_aside(path: pathlib.Path) -> str:
    """What a process killed in the middle of replacing this run has left, in words."""
    target = pathlib.Path(os.path.realpath(path))
    for former in filter(is_finished, claims.siblings(target, claims.REPLACED)):
        return (
            f": a process was about to replace the run there. The former run is whole in {former}; "
            "rename it back, or save again, which does the same first"
        )
    return ""


def _build(head: dict[str, Any], data: dict[str, bytes]) -> Run:
    pictures = Pictures(data)
    arrays = unpack(pictures[ARRAYS])
    shown = head["shown"]
    domain = header.domain_of(head)
    check_arrays(arrays, head, domain)
    if "shown.images" not in arrays and not shown["phase_ends"]:
        raise ValueError("arrays.npz lacks shown.images")
    num_phases = len(shown["phase_ends"])
    phases = tuple(_phase(arrays, pictures, phase, domain) for phase in range(1, num_phases + 1))
    if "shown.images" not in arrays:
        arrays["shown.images"] = phases[-1]
    parts: dict[str, dict[str, Any]] = {"real": {}, "facets": {}, "shown": {}}
    for part, name in array_fields():
        parts[part][name] = arrays[f"{part}.{name}"]
    parts["facets"]["nearest_images"] = _nearest(arrays, pictures, domain)
    fields = _fields(head)
    for judgement in fields["judgements"]:
        check_count(judgement, len(arrays["facets.sizes"]))
    return Run(
        **fields,
        real=RealImages(names=tuple(head["real"]["names"]), **parts["real"]),
        facets=FacetRecords(**parts["facets"]),
        shown=FacetImages(
            phase_images=phases,
            phase_ends=tuple(shown["phase_ends"]),
            top_class_names=tuple(tuple(names) for names in shown["top_class_names"]),
            **parts["shown"],
        ),
        controls=_controls(head, arrays, pictures, domain),
    )


def _fields(head: dict[str, Any]) -> dict[str, Any]:
    try:
        return header.fields_of(head)
    except (KeyError, TypeError, AttributeError) as error:  # all else was checked before
        raise ValueError(f"judgements: not what a judge says ({error!r})") from error


def _phase(
    arrays: dict[str, np.ndarray], pictures: Pictures, phase: int, domain: Domain
) -> np.ndarray:
    """``(k, height, width, c)``, from the arrays or, where these have none, the pictures."""
    if phase_key(phase) in arrays:
        return arrays[phase_key(phase)]
    facets = range(len(arrays["facets.sizes"]))
    names = [facet_file(facet, f"phase{phase}") for facet in facets]
    return pictures.stack(names, domain)


def _controls(
    head: dict[str, Any], arrays: dict[str, np.ndarray], pictures: Pictures, domain: Domain
) -> Controls | None:
    """From the arrays or, where these have no images, the pictures."""
    if "controls" not in head:
        return None
    about = head["controls"]
    names = tuple(about["names"])
    images = arrays.get(CONTROL_IMAGES)
    if images is None:
        images = pictures.stack([control_file(number) for number in range(len(names))], domain)
    if CONTROL_ACTIVATIONS not in arrays:
        raise ValueError(f"arrays.npz lacks {CONTROL_ACTIVATIONS}")
    activations = arrays[CONTROL_ACTIVATIONS]
    if not len(names) == len(about["about"]) == len(images):
        raise ValueError(
            f"controls: {len(names)} names, {len(about['about'])} sentences about them and "
            f"{len(images)} images"
        )
    if about["facet"] >= len(arrays["facets.sizes"]):
        raise ValueError(f"controls.facet is {about['facet']}, which the run does not have")
    return Controls(names, tuple(about["about"]), about["facet"], images, activations)


def _nearest(arrays: dict[str, np.ndarray], pictures: Pictures, domain: Domain) -> np.ndarray:
    """``(k, m, h, w, c)``; of an 8-bit domain from their pictures, black where there is none."""
    if not domain.is_8bit:
        if NEAREST_IMAGES not in arrays:
            raise ValueError(f"arrays.npz lacks {NEAREST_IMAGES}")
        return arrays[NEAREST_IMAGES]
    nearest, means = arrays["facets.nearest"], arrays["facets.mean_images"]
    images = np.zeros((*nearest.shape, *means.shape[1:]), np.uint8)
    for facet, rank in np.argwhere(nearest >= 0).tolist():
        images[facet, rank] = pictures.read(nearest_file(facet, rank), domain, means.shape[1:3])
    return images
