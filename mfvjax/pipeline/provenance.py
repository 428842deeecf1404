"""Where a run came from: versions, the device, seconds."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager

import jax

import mfvjax

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scikit-learn", "pillow")


def versions() -> dict[str, str]:
    """Python, the packages a run computes with, and the device."""
    found = {"python": platform.python_version(), "mfvjax": mfvjax.__version__}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    devices = jax.local_devices()
    found["device"] = f"{len(devices)} x {devices[0].device_kind}"
    return found


class Stopwatch:
    """Seconds by step; ``with watch("ascent"): ...``."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Adds the time spent inside to `step`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self.seconds[step] = self.seconds.get(step, 0.0) + spent
