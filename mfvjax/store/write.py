"""From a run to the files of its folder."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import numpy as np

from mfvjax.run import Run
from mfvjax.store.arrays import pack
from mfvjax.store.errors import FULL, explain, space_for
from mfvjax.store.files import record, write_file
from mfvjax.store.header import RUN_JSON, header_of
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
from mfvjax.store.pictures import image_png
from mfvjax.store.publish import open_run_folder


def save_run(run: Run, folder: str | os.PathLike[str], *, overwrite: bool = False) -> pathlib.Path:
    """Writes a run folder, whole or not at all; see `open_run_folder` and the package's format.

    Args:
      run: `load_run` gives it back exactly; scores come back as float64, tuples in
        `Run.network` and `Run.options` as lists.
      folder: must not exist, or be empty, or hold a run if `overwrite`.
      overwrite: replace a run that is there.

    Returns: `folder` as a path.

    Raises: as `open_run_folder` and `write_run`.
    """
    with open_run_folder(folder, overwrite=overwrite) as temporary:
        write_run(run, temporary)
    return pathlib.Path(folder)


def write_run(run: Run, folder: pathlib.Path) -> None:
    """Writes the files of a run into a folder that `open_run_folder` gave, ``run.json`` last.

    Raises:
      ValueError: the run holds what cannot be stored: other than JSON types among its options,
        or nearest images that are not black where there are none.
      RunWriteError: no space left; the message says how much the run takes.
    """
    blobs = {ARRAYS: pack(_arrays(run)), **dict(_pictures(run))}
    blobs[RUN_JSON] = header_of(run, {name: record(data) for name, data in blobs.items()})
    space = space_for(sum(map(len, blobs.values())), folder)
    try:
        for name, data in blobs.items():
            write_file(folder / name, data)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise explain(error, folder.parent, space=space) from error


def _arrays(run: Run) -> dict[str, np.ndarray]:
    arrays = {f"{part}.{name}": getattr(getattr(run, part), name) for part, name in array_fields()}
    for phase, images in enumerate(run.shown.phase_images, 1):
        if images.dtype != np.uint8 or not run.domain.is_8bit:  # else the pictures are the record
            arrays[phase_key(phase)] = images
    if not run.domain.is_8bit:
        arrays[NEAREST_IMAGES] = run.facets.nearest_images
    if _ends_with_last_phase(run):
        del arrays["shown.images"]
    if run.controls is not None:
        arrays[CONTROL_ACTIVATIONS] = run.controls.activations
        if run.controls.images.dtype != np.uint8 or not run.domain.is_8bit:
            arrays[CONTROL_IMAGES] = run.controls.images
    return arrays


def _pictures(run: Run) -> Iterator[tuple[str, bytes]]:
    phases = run.shown.phase_images[:-1] if _ends_with_last_phase(run) else run.shown.phase_images
    for facet in range(run.num_facets):
        yield facet_file(facet), image_png(run.shown.images[facet], run.domain)
        yield facet_file(facet, "mean"), image_png(run.facets.mean_images[facet], run.domain)
        for phase, images in enumerate(phases, 1):
            yield facet_file(facet, f"phase{phase}"), image_png(images[facet], run.domain)
        for rank, index in enumerate(run.facets.nearest[facet]):
            image = run.facets.nearest_images[facet, rank]
            if index >= 0:
                yield nearest_file(facet, rank), image_png(image, run.domain)
            elif (image != np.float32(run.domain.low)).any():
                raise ValueError(
                    f"nearest_images[{facet}, {rank}] must be black, {run.domain.low:g} all over: "
                    f"nearest[{facet}, {rank}] is -1"
                )
    for number, image in enumerate(() if run.controls is None else run.controls.images):
        yield control_file(number), image_png(image, run.domain)


def _ends_with_last_phase(run: Run) -> bool:
    """Whether the final images are, bit for bit, those at the end of the last phase."""
    if not run.shown.phase_images:
        return False
    last, images = run.shown.phase_images[-1], run.shown.images
    return last.shape == images.shape and last.tobytes() == images.tobytes()
