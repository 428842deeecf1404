"""How many facets fit on a device: read off the compiled program, not guessed."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Sequence

import jax

# The allocator's own overhead and what else lives on the device.
_USABLE = 0.9


def fitting_batch_size(
    bytes_needed: Callable[[int], int], *, wanted: int, multiple: int, limit: int
) -> int:
    """The largest batch, at most `wanted`, whose program stays within `limit`.

    Args:
      bytes_needed: bytes per device of the program for a batch of that size; asking compiles it, so
        that it is asked as little as possible.
      wanted: facets to place.
      multiple: the batch is a multiple of this, `wanted` rounded up at the most.
      limit: bytes per device.

    Raises:
      MemoryError: even the smallest batch needs more.
    """
    size = -(-wanted // multiple) * multiple
    while (need := bytes_needed(size)) > limit:
        if size == multiple:
            raise MemoryError(
                f"one facet per device needs {need / 2**20:.0f} MiB and {limit / 2**20:.0f} MiB "
                "are free; use a smaller network input, bfloat16, or a larger device"
            )
        # Memory grows with the batch, on top of a fixed part, so the proportional guess is safe.
        guess = int(size * limit / need) // multiple * multiple
        size = max(multiple, min(guess, size - multiple))
    # Batches of nearly equal size waste the least on padding the last one.
    rounds = -(-wanted // size)
    return -(-wanted // (rounds * multiple)) * multiple


def device_memory_bytes(devices: Sequence[jax.Device]) -> int:
    """Bytes that a program may use on each of `devices`: the least that any has free.

    Accelerators report their own limit; CPU devices share the host's free memory.
    """
    return int(_USABLE * min(_free_bytes(device) for device in devices))


def _free_bytes(device: jax.Device) -> int:
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))
    sharing = max(1, len([d for d in jax.local_devices() if d.platform == device.platform]))
    return _host_free_bytes() // sharing


def _host_free_bytes() -> int:
    info = pathlib.Path("/proc/meminfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
