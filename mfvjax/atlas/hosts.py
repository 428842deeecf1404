"""Processes on one or many hosts that share an atlas, found by JAX's distributed runtime."""

from __future__ import annotations

import jax

from mfvjax.atlas.share import Share


def join_processes(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_index: int | None = None,
    *,
    timeout_s: int = 300,
) -> Share:
    """Meets the other processes of the job, learns this one's share, and leaves the runtime again.

    The runtime tells each process which one it is and of how many, from the arguments or from the
    cluster (Slurm, Open MPI, a TPU pod), once all are there. As long as processes belong to it, the
    death of one ends all others, and that of the first one ends them whatever is set: it is made
    for programs that compute together. The units of an atlas do not need each other, so the
    processes part as soon as they know their shares, and one that is lost later loses only the
    units that it had not finished. They read the pool between them, through the atlas's folder.

    To be called before anything else uses JAX's devices.

    Args:
      coordinator: ``"HOST:PORT"`` where process 0 can be reached; found by JAX on a cluster.
      num_processes: how many there are; likewise.
      process_index: of this one, from 0; likewise.
      timeout_s: how long to wait for the others.

    Raises:
      RuntimeError: the others did not come, or JAX was used before.
      ValueError: nothing tells who the others are.
    """
    jax.distributed.initialize(
        coordinator,
        num_processes,
        process_index,
        initialization_timeout=timeout_s,
        shutdown_timeout_seconds=timeout_s,
    )
    try:
        share = Share(jax.process_index(), jax.process_count(), team=Share())
    finally:
        jax.distributed.shutdown()
        # The devices found so far belong to the runtime that was left.
        from jax.extend import backend

        backend.clear_backends()
    return share
