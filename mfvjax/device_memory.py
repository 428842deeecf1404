"""How much memory a program may use on a device."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

import jax

# The allocator's own overhead and what else lives on the device.
_USABLE = 0.9


def device_memory_bytes(devices: Sequence[jax.Device]) -> int:
    """Bytes that a program may use on each of `devices`: the least that any has free.

    Accelerators report their own limit; CPU devices share the host's free memory.
    """
    return min(free_bytes(device) // _sharing(device) for device in devices)


def free_bytes(device: jax.Device) -> int:
    """Bytes that a program may use on one device while all others rest."""
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        free = int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))
    else:
        free = _host_free_bytes()
    return int(_USABLE * free)


def default_device() -> jax.Device:
    """Where programs run that are not told of a device."""
    chosen = jax.config.jax_default_device  # type: ignore[attr-defined]
    return chosen if isinstance(chosen, jax.Device) else jax.local_devices(backend=chosen)[0]


def _sharing(device: jax.Device) -> int:
    """How many devices have the same memory."""
    if (device.memory_stats() or {}).get("bytes_limit"):
        return 1
    return max(1, len([d for d in jax.local_devices() if d.platform == device.platform]))


def _host_free_bytes() -> int:
    info = pathlib.Path("/proc/meminfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
