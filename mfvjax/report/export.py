"""Runs as tables, for spreadsheets and programs, in CSV or JSON. Needs no JAX.

In the table every picture is a row, and what bounds its scores stands in rows of its own, told by
the column ``shows``:

* ``visualization``: a facet's picture;
* ``start``: the untouched mean image that it started from;
* ``real``: the facet's real images; activations and ranks are medians, the rest are means;
* ``control:unit`` and so on: see `mfvjax.run.Controls`;
* ``chance``: what guessing scores; of the whole run.

A score that does not exist for a row is empty.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np

from mfvjax.judgement import Judged, Judgement
from mfvjax.report.facts import control_ratios
from mfvjax.report.files import write_whole
from mfvjax.run import Controls, Run

Row: TypeAlias = dict[str, str | int | float | None]
SUFFIXES = (".csv", ".json")


def facet_table(run: Run) -> list[Row]:
    """The rows of a run.

    Every row has ``unit``, ``title``, ``network``, ``facet`` (from 1; ``None`` for chance) and
    ``shows``; visualizations have ``images`` (the size of the facet's cluster), ``homogeneity``,
    ``seen_as`` (the network's best class) and all of `Run.scores`; starts, real images and controls
    have what is known of them. What a judge called J says is in ``J.rank``, ``J.probability``,
    ``J.recalled``, ``J.margin``, ``J.percentile`` and ``J.seen_as``, see
    `mfvjax.judgement.Judged`. Numbers are finite, or ``None``.
    """
    about = {"unit": run.unit, "title": run.title, "network": run.network.get("name")}
    controls = run.controls
    num_controls = 0 if controls is None else len(controls.names)
    rows = [
        *(_visualization(run, k) for k in range(run.num_facets)),
        *(_start(run, k) for k in range(run.num_facets)),
        *(_real(run, k) for k in range(run.num_facets)),
        *(_control(run, controls, i) for i in range(num_controls) if controls is not None),
        _chance(run),
    ]
    return [{**about, **{name: _plain(value) for name, value in row.items()}} for row in rows]


def write_table(runs: Run | Iterable[Run], path: str | os.PathLike[str]) -> pathlib.Path:
    """Writes the tables of one or several runs into one file, whole or not at all.

    Args:
      runs: a run, or several, such as those of an atlas, read one after another.
      path: ends in ``.csv`` (a table with a header, UTF-8) or ``.json`` (a list of objects, without
        the fields that a row does not have). A file that is there is replaced.

    Returns: the path.

    Raises:
      ValueError: the path ends in something else, or there is no run.
      OSError: the file cannot be written.
    """
    path = pathlib.Path(path)
    check_suffix(path)
    rows = [row for run in ([runs] if isinstance(runs, Run) else runs) for row in facet_table(run)]
    if not rows:
        raise ValueError(f"{path}: there are no runs to write")
    text = _csv(rows) if path.suffix == ".csv" else _json(rows)
    return write_whole(path, text.encode("utf-8"))


def check_suffix(path: pathlib.Path) -> None:
    """Refuses a file that is none of `SUFFIXES` with a ``ValueError``."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: a table is written as {' or '.join(SUFFIXES)}")


def _csv(rows: list[Row]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _json(rows: list[Row]) -> str:
    known = [{name: value for name, value in row.items() if value is not None} for row in rows]
    return json.dumps(known, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _cell(value: str | int | float | None) -> str | int | float | None:
    """Text that a spreadsheet would run as a formula is quoted, as these programs understand it."""
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if is_formula else value


def _visualization(run: Run, facet: int) -> dict[str, Any]:
    names = run.shown.top_class_names[facet]
    return {
        "facet": facet + 1,
        "shows": "visualization",
        "images": run.facets.sizes[facet],
        "homogeneity": run.facets.homogeneity[facet],
        **{name: values[facet] for name, values in run.scores.items()},
        "seen_as": names[0] if names else None,
        **_judged(run, lambda judgement: judgement.shown.take([facet])),
    }


def _start(run: Run, facet: int) -> dict[str, Any]:
    judged = _judged(run, lambda judgement: judgement.start.take([facet]))
    return {"facet": facet + 1, "shows": "start", **judged}


def _real(run: Run, facet: int) -> dict[str, Any]:
    activations = run.real.activations[run.real.assignment == facet].astype(float)
    return {
        "facet": facet + 1,
        "shows": "real",
        "activation": np.median(activations) if activations.size else None,
        **_judged(run, lambda judgement: judgement.real.take(judgement.real_facets == facet)),
    }


def _control(run: Run, controls: Controls, number: int) -> dict[str, Any]:
    return {
        "facet": controls.facet + 1,
        "shows": f"control:{controls.names[number]}",
        "activation": controls.activations[number],
        "activation_ratio": control_ratios(run, controls)[number],
        **_judged(run, lambda j: None if j.controls is None else j.controls.take([number])),
    }


def _chance(run: Run) -> dict[str, Any]:
    row: dict[str, Any] = {"facet": None, "shows": "chance", "facet_recall": 1 / run.num_facets}
    for name, judgement in _judges(run):
        chance = judgement.chance
        row[f"{name}.rank"] = chance["median_rank"]
        row[f"{name}.probability"] = chance["probability"]
        row[f"{name}.recalled"] = chance["recall"]
    return row


def _judges(run: Run) -> Iterator[tuple[str, Judgement]]:
    """By names that differ."""
    seen: dict[str, int] = {}
    for judgement in run.judgements:
        name = str(judgement.judge["name"])
        seen[name] = seen.get(name, 0) + 1
        yield (name if seen[name] == 1 else f"{name}#{seen[name]}"), judgement


def _judged(run: Run, part: Callable[[Judgement], Judged | None]) -> dict[str, Any]:
    """What every judge says of some pictures, of which it is one row."""
    row: dict[str, Any] = {}
    for name, judgement in _judges(run):
        judged = part(judgement)
        if judged is None or not len(judged.rank):
            continue
        row[f"{name}.rank"] = _over(np.median, judged.rank)
        row[f"{name}.probability"] = _over(np.mean, judged.probability)
        row[f"{name}.recalled"] = _over(np.mean, judged.recalled)
        row[f"{name}.margin"] = _over(np.mean, judged.margin)
        row[f"{name}.percentile"] = _over(np.mean, judged.percentile)
        row[f"{name}.seen_as"] = judged.seen_as[0] if len(judged.rank) == 1 else None
    return row


def _over(reduce: Any, values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(reduce(known)) if known.size else None


def _plain(value: Any) -> str | int | float | None:
    """Python's own types; ``None`` for what is not finite."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    return float(value) if math.isfinite(value) else None
