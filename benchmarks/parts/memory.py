"""The most memory that a process needs for steps of ten facets."""

from __future__ import annotations

from typing import Any

from benchmarks.alone import measure
from benchmarks.context import Context
from benchmarks.report import Table


def run(context: Context) -> list[Table]:
    """Peak of the host's resident memory; for an accelerator see the growth part."""
    rows: list[list[Any]] = []
    slow = "left out when quick" if context.quick else None
    for name, missing in (
        ("imports", None),
        ("mfvjax", None),
        ("batched torch", slow or context.no_torch),
        ("sequential", context.no_sequential),
    ):
        if missing is not None:
            rows.append([name, missing])
            continue
        label = "import mfvjax alone" if name == "imports" else name
        rows.append([label, measure(name, context.network_name, context.device)["peak_mib"]])
    note = (
        f"{context.network_name}, ten facets, two steps; peers also load the library's weights, "
        "from which they build their network."
    )
    return [Table("Peak memory of the process", ["", "MiB"], rows, [note])]
