"""Which arrays a run has, of which shapes and kinds: compared with each other and ``run.json``."""

from __future__ import annotations

from typing import Any

import numpy as np

from mfvjax.domain import Domain
from mfvjax.store.names import CONTROL_ACTIVATIONS, CONTROL_IMAGES, NEAREST_IMAGES, phase_key

_FLOAT, _WHOLE, _IMAGE, _LEVELS = "f", "iu", "fu", "u"
# Name -> axes and kinds of NumPy. Of one letter all are as long; "." may be of any length.
_ARRAYS: dict[str, tuple[str, str]] = {
    "real.activations": ("n", _FLOAT),
    "real.map": ("n2", _FLOAT),
    "real.assignment": ("n", _WHOLE),
    "real.thumbnails": ("n..c", _LEVELS),
    "facets.sizes": ("k", _WHOLE),
    "facets.homogeneity": ("k", _FLOAT),
    "facets.centroids": ("k2", _FLOAT),
    "facets.nearest": ("km", _WHOLE),
    "facets.mean_images": ("khwc", _FLOAT),
    "shown.images": ("kHWc", _FLOAT),
    "shown.activations": ("ks", _FLOAT),
    "shown.final_activations": ("k", _FLOAT),
    "shown.top_classes": ("kt", _WHOLE),
    "shown.top_scores": ("kt", _FLOAT),
    "shown.stopped_at": ("k", _WHOLE),
}
_OPTIONAL: dict[str, tuple[str, str]] = {
    NEAREST_IMAGES: ("kmhwc", _FLOAT),
    CONTROL_IMAGES: ("oHWc", _IMAGE),
    CONTROL_ACTIVATIONS: ("o", _FLOAT),
}
_MAY_BE_NONE = "mst"  # images shown of a facet, steps, top classes of a network without classes
_IN_PICTURES = ("shown.images",)  # left out where a phase's are the same


def check_arrays(arrays: dict[str, np.ndarray], header: dict[str, Any], domain: Domain) -> None:
    """Checks the arrays of a run before anything is made of them.

    Args:
      arrays: as `mfvjax.store.arrays.unpack` gives them.
      header: of the run, checked by itself.
      domain: of its images.

    Raises:
      ValueError: an array is missing, or has another shape or kind of numbers than the others and
        ``run.json`` say, or a number in it points nowhere; the message names it.
    """
    lengths = {"n": len(header["real"]["names"]), "2": 2, "c": domain.channels}
    if "controls" in header:
        lengths["o"] = len(header["controls"]["names"])
    for name, (axes, kinds) in {**_ARRAYS, **_OPTIONAL}.items():
        if name in arrays:
            _check_one(name, arrays[name], axes, kinds, lengths)
        elif name in _ARRAYS and name not in _IN_PICTURES:
            raise ValueError(f"arrays.npz lacks {name}")
    for phase in range(1, len(header["shown"]["phase_ends"]) + 1):
        if phase_key(phase) in arrays:
            _check_one(phase_key(phase), arrays[phase_key(phase)], "k..c", _IMAGE, lengths)
    _check_indices(arrays, lengths)
    _check_header(header, lengths)


def _check_one(
    name: str, array: np.ndarray, axes: str, kinds: str, lengths: dict[str, int]
) -> None:
    expected = [None if axis == "." else lengths.get(axis) for axis in axes]
    fits = array.ndim == len(axes) and all(
        (size > 0 or axis in _MAY_BE_NONE) if wanted is None else size == wanted
        for axis, size, wanted in zip(axes, array.shape, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in expected)
        raise ValueError(f"{name} has the shape {array.shape}, not ({wanted})")
    if array.dtype.kind not in kinds:
        raise ValueError(f"{name} is of {array.dtype}, which it cannot be")
    lengths.update(zip(axes, array.shape, strict=True))


def _check_indices(arrays: dict[str, np.ndarray], lengths: dict[str, int]) -> None:
    n, k = lengths["n"], lengths["k"]
    for name, low, high in (
        ("real.assignment", 0, k),
        ("facets.sizes", 0, n + 1),
        ("facets.nearest", -1, n),
    ):
        values = arrays[name]
        if values.size and not (values.min() >= low and values.max() < high):
            raise ValueError(f"{name} holds numbers that are not from {low} to {high - 1}")


def _check_header(header: dict[str, Any], lengths: dict[str, int]) -> None:
    """Rows of ``run.json`` are as many as facets, and as long as their arrays."""
    rows = {f"scores.{name}": len(values) for name, values in header["scores"].items()}
    rows["shown.top_class_names"] = len(header["shown"]["top_class_names"])
    for name, length in rows.items():
        if length != lengths["k"]:
            raise ValueError(f"{name} has {length} entries for {lengths['k']} facets")
    for row in header["shown"]["top_class_names"]:
        if len(row) != lengths["t"]:
            raise ValueError(
                f"shown.top_class_names has {len(row)} names for {lengths['t']} top classes"
            )
    ends = header["shown"]["phase_ends"]
    if ends and ends[-1] != lengths["s"]:
        raise ValueError(f"shown.phase_ends end at {ends[-1]} of {lengths['s']} steps")
