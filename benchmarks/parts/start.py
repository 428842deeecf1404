"""A cold start: import, first result, and the second process, which finds compiled programs."""

from __future__ import annotations

import tempfile
from typing import Any

from benchmarks.alone import measure
from benchmarks.context import Context
from benchmarks.report import Table


def run(context: Context) -> list[Table]:
    """Processes of their own, from asking for them to one step of ten facets."""
    rows: list[list[Any]] = []
    slow = "left out when quick" if context.quick else None
    with tempfile.TemporaryDirectory() as folder:
        ours = {
            "JAX_COMPILATION_CACHE_DIR": f"{folder}/jax",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        torch = {"TORCHINDUCTOR_CACHE_DIR": f"{folder}/torch"}
        for name, candidate, environment, missing in (
            ("mfvjax", "mfvjax", ours, None),
            ("mfvjax, compiled programs on disk", "mfvjax", ours, None),
            ("batched torch", "batched torch", torch, slow or context.no_torch),
            ("batched torch, its cache on disk", "batched torch", torch, slow or context.no_torch),
            ("sequential", "sequential", {}, context.no_sequential),
        ):
            if missing is not None:
                rows.append([name, missing, None, None, None])
                continue
            found = measure(
                candidate, context.network_name, context.device, environment=environment
            )
            first = found["first_s"] - found["network_s"]
            rows.append([name, first, found["again_s"], found["import_s"], found["network_s"]])
    columns = [
        "a fresh process",
        "to the first step, s",
        "next step, s",
        "of it the import of mfvjax, s",
        "besides: weights, s",
    ]
    note = (
        f"{context.network_name}, ten facets, one process each. Making or reading the network's "
        "weights is not counted in the first two columns; the import of the library is, also for "
        "the peers, who take their weights from it."
    )
    return [Table("Cold start", columns, rows, [note])]
