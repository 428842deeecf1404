"""Timing that can be believed: warm-up, interleaved repeats, medians, and what ran where.

Shared machines are noisy, so candidates run in turn (A B A B ...) and are compared by the ratio of
their medians within one run; absolute times are reported beside the ratios, not instead of them.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

RESULTS = pathlib.Path(__file__).parent / "results"
PACKAGES = (
    "mfvjax",
    "jax",
    "jaxlib",
    "flax",
    "numpy",
    "scikit-learn",
    "scikit-image",
    "torch",
    "openTSNE",
    "opencv-python-headless",
)


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
            settle()
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def settle() -> None:
    """Waits until the threads of the last candidate sleep: torch's spin a while for more work."""
    time.sleep(0.05)


def medians(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """The median of each candidate's seconds."""
    return {name: statistics.median(values) for name, values in seconds.items()}


def missing(package: str) -> str | None:
    """``None`` if `package` can be imported, otherwise what a table says in its place."""
    try:
        importlib.import_module(package)
    except ImportError:
        return f"no {_DISTRIBUTIONS.get(package, package)}"
    return None


_DISTRIBUTIONS = {"skimage": "scikit-image", "sklearn": "scikit-learn", "cv2": "OpenCV"}


def header() -> dict[str, Any]:
    """Date, machine, versions: what a figure means nothing without."""
    import jax

    device = jax.devices()[0]
    return {
        "date": datetime.date.today().isoformat(),
        "device": f"{len(jax.devices())} x {device.device_kind}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def write(
    name: str,
    results: Mapping[str, Any],
    *,
    head: Mapping[str, Any] | None = None,
    folder: pathlib.Path = RESULTS,
) -> pathlib.Path:
    """Writes `results` under a `header` to ``benchmarks/results/NAME.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"header": head or header(), **results}, indent=1) + "\n")
    return path


@contextlib.contextmanager
def watch_others() -> Iterator[dict[str, float]]:
    """Measures what other processes took of the processor meanwhile.

    Yields a dict that holds ``"others"``, in cores, afterwards; nothing where the system does not
    tell.
    """
    found: dict[str, float] = {}
    before, started = _busy(), time.perf_counter()
    yield found
    after, seconds = _busy(), time.perf_counter() - started
    if before is not None and after is not None:
        others = (after[0] - before[0]) - (after[1] - before[1])
        found["others"] = round(max(others, 0) / seconds, 2)


def _busy() -> tuple[float, float] | None:
    """Seconds that all cores worked so far, and those of them for us."""
    stat = pathlib.Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system = (int(field) for field in stat.read_text().split()[1:4])
    own = sum(os.times()[:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK"), own
