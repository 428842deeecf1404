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
from mfvjax.store.pictures import read_png


def load_run(folder: str | os.PathLike[str]) -> Run:
    """Reads a finished run, every file of it checked against its recorded hash.

    Raises:
      NotARunError: `folder` is missing, is a file, or holds no run.
      DamagedRunError: a file of the run is missing or was changed; the message names it.
      UnknownVersionError: written in a version of the format that this package does not read.
    """
    path = pathlib.Path(folder)
    head = read_header(path)
    data = {name: read_recorded(path, name, entry) for name, entry in head["files"].items()}
    try:
        return _build(head, data)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DamagedRunError(f"{path} is damaged: {error!r}") from error


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
    arrays = unpack(data[ARRAYS])
    shown = head["shown"]
    num_phases = len(shown["phase_ends"])
    domain = header.domain_of(head)
    phases = tuple(_phase(arrays, data, phase, domain) for phase in range(1, num_phases + 1))
    if "shown.images" not in arrays:
        arrays["shown.images"] = phases[-1]
    parts: dict[str, dict[str, Any]] = {"real": {}, "facets": {}, "shown": {}}
    for part, name in array_fields():
        parts[part][name] = arrays[f"{part}.{name}"]
    parts["facets"]["nearest_images"] = _nearest(arrays, data, domain)
    _check_channels(parts, domain)
    fields = header.fields_of(head)
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
        controls=_controls(head, arrays, data, domain),
    )


def _check_channels(parts: dict[str, dict[str, Any]], domain: Domain) -> None:
    for part, name in (("real", "thumbnails"), ("facets", "mean_images"), ("shown", "images")):
        shape = parts[part][name].shape
        if shape[-1] != domain.channels:
            raise ValueError(f"{part}.{name} has the shape {shape}, but the run is of {domain}")


def _phase(
    arrays: dict[str, np.ndarray], data: dict[str, bytes], phase: int, domain: Domain
) -> np.ndarray:
    """``(k, height, width, c)``, from the arrays or, where these have none, the pictures."""
    if phase_key(phase) in arrays:
        return arrays[phase_key(phase)]
    facets = range(len(arrays["facets.sizes"]))
    pictures = [data[facet_file(facet, f"phase{phase}")] for facet in facets]
    return np.stack([read_png(picture, mode=_mode(domain)) for picture in pictures])


def _controls(
    head: dict[str, Any], arrays: dict[str, np.ndarray], data: dict[str, bytes], domain: Domain
) -> Controls | None:
    """From the arrays or, where these have no images, the pictures."""
    if "controls" not in head:
        return None
    about = head["controls"]
    names = tuple(about["names"])
    images = arrays.get(CONTROL_IMAGES)
    if images is None:
        pictures = [data[control_file(number)] for number in range(len(names))]
        images = np.stack([read_png(picture, mode=_mode(domain)) for picture in pictures])
    activations = arrays[CONTROL_ACTIVATIONS]
    if not len(names) == len(about["about"]) == len(images) == len(activations):
        raise ValueError(f"{len(names)} controls, but {len(images)} images of controls")
    if images.shape[-1] != domain.channels or not 0 <= about["facet"] < len(arrays["facets.sizes"]):
        raise ValueError(f"controls of the shape {images.shape} for facet {about['facet']}")
    return Controls(names, tuple(about["about"]), about["facet"], images, activations)


def _nearest(arrays: dict[str, np.ndarray], data: dict[str, bytes], domain: Domain) -> np.ndarray:
    """``(k, m, h, w, c)``; of an 8-bit domain from their pictures, black where there is none."""
    if not domain.is_8bit:
        return arrays[NEAREST_IMAGES]
    nearest, means = arrays["facets.nearest"], arrays["facets.mean_images"]
    images = np.zeros((*nearest.shape, *means.shape[1:]), np.uint8)
    for facet, rank in np.argwhere(nearest >= 0).tolist():
        picture = data[nearest_file(facet, rank)]
        images[facet, rank] = read_png(picture, mode=_mode(domain))
    return images


def _mode(domain: Domain) -> str:
    return "RGB" if domain.is_color else "L"
