"""Timing that can be believed: warm-up, interleaved repeats, medians, and what ran where.

Shared machines are noisy, so candidates run in turn (A B A B ...) and are compared by the ratio of
their medians within one run; absolute times are reported beside the ratios, not instead of them.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

RESULTS = pathlib.Path(__file__).parent / "results"
_PACKAGES = ("mfvjax", "jax", "jaxlib", "flax", "numpy", "scikit-learn", "scikit-image", "torch")


def interleaved(
    candidates: Mapping[str, Callable[[], Any]], *, repeats: int = 5, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of each call of each candidate, which run in turn.

    Args:
      candidates: name -> function that returns only when its work is done (JAX results must have
        been blocked on).
      repeats: timed calls of each.
      warm_up: calls before, not timed; compilation falls here.
    """
    for _ in range(warm_up):
        for run in candidates.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, run in candidates.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def medians(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """The median of each candidate's seconds."""
    return {name: statistics.median(values) for name, values in seconds.items()}


def header() -> dict[str, Any]:
    """Date, machine, versions: what a figure means nothing without."""
    import jax

    device = jax.devices()[0]
    return {
        "date": datetime.date.today().isoformat(),
        "device": f"{len(jax.devices())} x {device.device_kind}",
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def write(name: str, results: dict[str, Any]) -> pathlib.Path:
    """Writes `results` under a `header` to ``benchmarks/results/NAME.json``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"header": header(), **results}, indent=1) + "\n")
    return path
