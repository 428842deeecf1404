"""How many facets fit on a device: read off the compiled program, not guessed."""

from __future__ import annotations

from collections.abc import Callable


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
