"""The gallery of an atlas: one page that links to every finished unit's own.

It loads nothing but the small pictures beside it, as they come into view; it works from a folder on
disk as well as from a web server.
"""

from __future__ import annotations

import contextlib
import math
import pathlib
import statistics
from typing import Any
from urllib.parse import quote

from mfvjax.atlas.cover import CELL_PX, PER_ROW
from mfvjax.atlas.folder import INDEX, UNITS, AtlasFolder
from mfvjax.domain import Domain
from mfvjax.judgement import Judgement
from mfvjax.report import words
from mfvjax.report.files import write_whole
from mfvjax.report.page import environment, policy_hash
from mfvjax.store import DamagedRunError, NotARunError, UnknownVersionError, read_header
from mfvjax.store.header import domain_of
from mfvjax.store.judgements import judgement_of
from mfvjax.types import Unit

TEMPLATES = pathlib.Path(__file__).parent / "templates"
_OF_FACETS = (
    "activation",
    "activation_ratio",
    "activation_percentile",
    "color_distance",
    "homogeneity",
)
_JUDGED = "judged:"
_START = "start_"
_OF_JUDGES = {
    "top_1": (
        "Class first, by {}",
        "higher",
        "Share of the facets whose picture {} sees first as the unit's class.",
    ),
    "median_rank": (
        "Rank of the class, by {}",
        "lower",
        "Median over the facets of the place of the unit's class among those of {}.",
    ),
    "recall": (
        "Facets recalled by {}",
        "higher",
        "Share of the facets whose picture is, by the code of {}, nearest to its own real images.",
    ),
    "start_top_1": (
        "Untouched starts' class first, by {}",
        None,
        "The same share of the mean images that {} is shown as they were.",
    ),
    "start_recall": (
        "Untouched starts recalled by {}",
        None,
        "The same share of the mean images that {} is shown as they were.",
    ),
    "percentile": (
        "Similarity percentile by {}",
        "higher",
        "Median percentage of a facet's real images that are, by the code of {}, less similar to "
        "it than its picture.",
    ),
}
_NAMED = 20  # unreadable images
_OF_UNITS = ("recall", "recall_start", "diversity", "image_diversity", "stability")


def write_index(folder: AtlasFolder) -> pathlib.Path:
    """Writes ``index.html`` of an atlas whole, from what is in the folders of its units.

    Returns: its path.

    Raises:
      OSError: it cannot be written; a former one is as it was.
    """
    with folder.locks.index():
        entries = read_entries(folder)
        page = render_index(folder, entries)
        return write_whole(folder.path / INDEX, page.encode("utf-8", "backslashreplace"))


def read_entries(folder: AtlasFolder) -> dict[str, dict[str, Any]]:
    """By unit, what the gallery tells of it; units that are not finished are left out."""
    entries = {}
    for unit in folder.plan.units:
        path = folder.unit_path(unit)
        with contextlib.suppress(NotARunError, DamagedRunError, UnknownVersionError):
            entries[unit] = _entry(unit, path.name, read_header(path))
    return entries


def _entry(unit: str, name: str, head: dict[str, Any]) -> dict[str, Any]:
    scores = {key: _mean([float(v) for v in values]) for key, values in head["scores"].items()}
    summary = {key: float(value) for key, value in head["summary"].items()}
    num_facets = len(head["shown"]["top_class_names"])
    return {
        "unit": unit,
        "title": head["title"],
        "path": f"{UNITS}/{quote(name)}",
        "num_facets": num_facets,
        "num_images": len(head["real"]["names"]),
        "domain": domain_of(head),
        "unreadable": words.unreadable(head["options"].get("unreadable")),
        "scores": {**{key: scores.get(key) for key in _OF_FACETS}, **summary, **_judged(head)},
    }


def _number(judgement: Judgement, key: str) -> float:
    """Of the pictures, or of what they started from."""
    if key.startswith(_START):
        return judgement.start.summary[key.removeprefix(_START)]
    return judgement.shown.summary[key]


def _judged(head: dict[str, Any]) -> dict[str, float]:
    """What judges say of a unit, by name of the judge and of the number."""
    try:
        judgements = [judgement_of(fields) for fields in head.get("judgements", [])]
    except (KeyError, TypeError, ValueError, AttributeError):  # damaged; the rest can be shown
        return {}
    return {
        f"{_JUDGED}{key}:{judgement.judge['name']}": _number(judgement, key)
        for judgement in judgements
        for key in _OF_JUDGES
    }


def render_index(folder: AtlasFolder, entries: dict[str, dict[str, Any]]) -> str:
    """The page as HTML."""
    plan = folder.plan
    columns = _columns(list(entries.values()))
    style, script = (
        (TEMPLATES / name).read_text(encoding="utf-8") for name in ("atlas.css", "atlas.js")
    )
    layers = sorted({Unit.parse(unit).layer for unit in plan.units})
    unreadable = _unreadable(list(entries.values()), plan.images["count"])
    counts = words.count(sum(e["num_facets"] for e in entries.values()), "facet")
    return (
        environment(TEMPLATES)
        .get_template("atlas.html.j2")
        .render(
            title=f"{', '.join(layers)} of {plan.network['name']}",
            lead=f"{words.count(len(entries), 'unit')}, {counts}; "
            f"pool of {words.count(plan.images['count'], 'image')}",
            summary=_summary(columns, entries),
            columns=[{"title": column["title"], "first": column["first"]} for column in columns],
            units=[_card(entry) for entry in entries.values()],
            missing=[unit for unit in plan.units if unit not in entries],
            total=len(plan.units),
            unreadable=unreadable,
            footer="A score of a unit is the mean over its facets.",
            data={"units": [_searched(entry, columns) for entry in entries.values()]},
            style=style,
            script=script,
            script_hash=policy_hash(script),
        )
    )


def _unreadable(entries: list[dict[str, Any]], pool: int) -> dict[str, Any] | None:
    """What the units say of unreadable images of the pool, or else each of those of its class."""
    told = [entry["unreadable"] for entry in entries if entry["unreadable"]]
    whole = [one for one in told if one["of"] == pool]
    if whole or not told:
        return whole[0] if whole else None
    first = [line for one in told for line in one["first"]]
    more = sum(one["more"] for one in told)
    return {
        "text": f"{words.count(len(first) + more, 'image')} could not be read",
        "first": first[:_NAMED],
        "more": more + len(first[_NAMED:]),
    }


def _columns(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the gallery can be sorted by; scores that no unit has are left out."""
    columns: list[dict[str, Any]] = [
        {"title": "Number", "first": "ascending", "key": None},
        {"title": "Name", "first": "ascending", "key": "title"},
        {"title": "Facets", "first": "descending", "key": "num_facets"},
        {"title": "Real images", "first": "descending", "key": "num_images"},
    ]
    names = {name for entry in entries for name in entry["scores"] if name.startswith(_JUDGED)}
    order = list(_OF_JUDGES)
    judged = sorted(
        names, key=lambda name: (name.split(":", 2)[2], order.index(name.split(":")[1]))
    )
    for name in (*judged, *_OF_UNITS, *_OF_FACETS):
        if any(_known(entry["scores"].get(name)) for entry in entries):
            about = _about(name, entries[0]["domain"])
            first = "ascending" if about.better == "lower" else "descending"
            columns.append({"title": about.title, "first": first, "score": name, "about": about})
    return columns


def _about(name: str, domain: Domain) -> words.Column:
    if not name.startswith(_JUDGED):
        return words.column(name, domain)
    _, key, judge = name.split(":", 2)
    title, better, definition = _OF_JUDGES[key]
    return words.Column(name, title.format(judge), "", better or "", definition.format(judge))


def _card(entry: dict[str, Any]) -> dict[str, Any]:
    counts = words.count(entry["num_facets"], "facet"), words.count(entry["num_images"], "image")
    return {
        "href": f"{entry['path']}/report.html",
        "path": entry["path"],
        "title": entry["title"],
        "unit": "" if entry["unit"] == entry["title"] else entry["unit"],
        "hint": f"{entry['title']}: {counts[0]} of {counts[1]}",
    }


def _searched(entry: dict[str, Any], columns: list[dict[str, Any]]) -> dict[str, Any]:
    """What the script needs to find and to sort a unit."""
    unit = Unit.parse(entry["unit"])
    text = f"{entry['unit']} {entry['title']}".lower()
    rows = -(-entry["num_facets"] // PER_ROW)
    values = [_value(entry, unit, column) for column in columns]
    return {
        "text": text,
        "words": text.replace(",", " ").split(),
        "number": str(unit.index),
        "sheet": [min(entry["num_facets"], PER_ROW) * CELL_PX, rows * CELL_PX],
        "values": values,
        "shown": [
            "" if i < 2 or not _known(value) else words.number(value)
            for i, value in enumerate(values)
        ],
    }


def _value(entry: dict[str, Any], unit: Unit, column: dict[str, Any]) -> Any:
    if "score" in column:
        value = entry["scores"].get(column["score"])
        return round(value, 6) if _known(value) else None
    return unit.index if column["key"] is None else entry[column["key"]]


def _summary(
    columns: list[dict[str, Any]], entries: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Means over the units of the scores that tell most."""
    shown = []
    for column in columns:
        name = column.get("score", "")
        of_judge = name.startswith(_JUDGED) and name.split(":")[1].endswith(("top_1", "recall"))
        if of_judge or name in ("recall", "recall_start", "activation_percentile", "diversity"):
            mean = _mean([entry["scores"].get(column["score"]) for entry in entries.values()])
            about = column["about"]
            shown.append(
                {
                    "title": f"Mean {about.title[:1].lower()}{about.title[1:]}",
                    "arrow": about.arrow,
                    "hint": about.hint,
                    "text": words.number(math.nan if mean is None else mean),
                }
            )
    return shown


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return statistics.fmean(known) if known else None
