"""What ``run.json`` holds of judgements and controls."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mfvjax.judgement import Judged, Judgement
from mfvjax.run import Controls
from mfvjax.store.values import numbers, plain

_PICTURES = ("shown", "start", "real", "controls")
_TEXTS = ("judge", "class_index", "class_name", "class_by")


def judgement_fields(judgement: Judgement) -> dict[str, Any]:
    """A judgement as JSON types.

    Raises:
      ValueError: `Judgement.judge` holds other types.
    """
    fields = {name: plain(getattr(judgement, name), f"judgements: {name}") for name in _TEXTS}
    fields["real_facets"] = judgement.real_facets.tolist()
    for name in _PICTURES:
        judged = getattr(judgement, name)
        fields[name] = None if judged is None else _judged_fields(judged)
    return fields


def judgement_of(fields: dict[str, Any]) -> Judgement:
    """Reads what `judgement_fields` made.

    Raises:
      ValueError, KeyError, TypeError: something else is there, or numbers are not as many as there
        are pictures.
    """
    judge = fields["judge"]
    if not {"name", "fingerprint", "num_classes", "code_layer", "input_size"} <= judge.keys():
        raise ValueError(f"a judgement by nobody: {judge!r}")
    facets = np.array(fields["real_facets"], np.int64).reshape(-1)
    judged: dict[str, Any] = {name: _judged(fields[name]) for name in _PICTURES}
    return Judgement(**{name: fields[name] for name in _TEXTS}, real_facets=facets, **judged)


def check_count(judgement: Judgement, num_facets: int) -> None:
    """Raises ``ValueError`` for a judgement that cannot be of a run with so many facets."""
    facets = judgement.real_facets
    counts = [len(part.rank) for part in (judgement.shown, judgement.start, judgement.real)]
    if counts != [num_facets, num_facets, len(facets)] or set(facets) - set(range(num_facets)):
        raise ValueError(f"a judgement of {counts} pictures in a run of {num_facets} facets")


def controls_fields(controls: Controls) -> dict[str, Any]:
    """What of controls is text; their images and activations are arrays."""
    return {
        "names": list(controls.names),
        "about": list(controls.about),
        "facet": int(controls.facet),
    }


def _judged_fields(judged: Judged) -> dict[str, Any]:
    fields = {field.name: getattr(judged, field.name) for field in dataclasses.fields(judged)}
    names = list(fields.pop("seen_as"))
    return {**{name: numbers(values) for name, values in fields.items()}, "seen_as": names}


def _judged(fields: dict[str, Any] | None) -> Judged | None:
    if fields is None:
        return None
    arrays = {
        field.name: np.array([float(value) for value in fields[field.name]], np.float64)
        for field in dataclasses.fields(Judged)
        if field.name != "seen_as"
    }
    names = tuple(fields["seen_as"])
    lengths = {len(names), *map(len, arrays.values())}
    if len(lengths) > 1 or not all(isinstance(name, str) for name in names):
        raise ValueError("a judgement whose numbers are not as many as its pictures")
    return Judged(**arrays, seen_as=names)
