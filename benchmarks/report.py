"""Tables of results: on the terminal, as JSON, and in the README between markers."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

_BLOCK = "<!-- results: {name} -->\n{text}<!-- end: {name} -->"


@dataclasses.dataclass(frozen=True)
class Table:
    """A titled table with remarks under it.

    Attributes:
      title: what is measured.
      columns: the first names the rows.
      rows: texts and numbers; a text in place of a number says why there is none.
      notes: one sentence each.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    notes: Sequence[str] = ()


def shown(value: Any) -> str:
    """A cell: numbers with three digits that count, nothing for ``None``."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def print_table(table: Table) -> None:
    """Prints to the terminal."""
    import sys

    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console(width=None if sys.stdout.isatty() else 140)
    rich = RichTable(title=table.title, title_justify="left", box=None)
    for number, column in enumerate(table.columns):
        rich.add_column(column, justify="right" if number else "left")
    for row in table.rows:
        rich.add_row(*(shown(value) for value in row))
    console.print(rich)
    for note in table.notes:
        console.print(f"  {note}", markup=False, highlight=False)
    console.print()


def markdown(table: Table) -> str:
    """The table as Markdown."""
    lines = [f"**{table.title}**", "", "| " + " | ".join(table.columns) + " |"]
    lines += ["|---|" + "---:|" * (len(table.columns) - 1)]
    lines += ["| " + " | ".join(shown(value) for value in row) + " |" for row in table.rows]
    lines += ["", " ".join(table.notes), ""] if table.notes else [""]
    return "\n".join(lines)


def fill_readme(readme: pathlib.Path, results: pathlib.Path) -> list[str]:
    """Puts every result file into its place in `readme`; returns the names that have none.

    A place is what stands between ``<!-- results: NAME -->`` and ``<!-- end: NAME -->``.
    """
    text, homeless = readme.read_text(), []
    for path in sorted(results.glob("*.json")):
        data = json.loads(path.read_text())
        if "tables" not in data:
            continue
        block = _BLOCK.format(name=path.stem, text=_section(data))
        place = _BLOCK.format(name=re.escape(path.stem), text=".*?")
        text, count = re.subn(place, lambda _, block=block: block, text, flags=re.DOTALL)  # type: ignore[misc]
        if not count:
            homeless.append(path.stem)
    readme.write_text(text)
    return homeless


def _section(data: Mapping[str, Any]) -> str:
    header = data["header"]
    versions = ", ".join(f"{name} {version}" for name, version in header["versions"].items())
    tables = "\n".join(markdown(Table(**table)) for table in data["tables"])
    others = header.get("others")
    load = "" if others is None else f"; other work on the machine took {others:g} cores meanwhile"
    return (
        f"{tables}\n*`{data['command']}`, {header['date']}, {header['device']} "
        f"({header['processor']}, {header['cores']} cores), Python {header['python']}, "
        f"{versions}{load}.*\n"
    )


def tables_as_data(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Tables as plain values, for JSON."""
    return [dataclasses.asdict(table) for table in tables]
