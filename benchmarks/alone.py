"""A candidate in a process of its own: how long until its first result, and at what memory.

    python -m benchmarks.alone CANDIDATE NETWORK DEVICE STARTED

Prints JSON. STARTED is the clock (`time.time`) when the process was asked for.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfvjax.recipe import Phase

CANDIDATES = ("imports", "mfvjax", "batched torch", "sequential")
_UNIT = 2**10 if sys.platform != "darwin" else 2**20  # of ru_maxrss, per MiB


def measure(
    candidate: str, network: str, device: str, *, environment: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Runs `candidate` in a fresh process.

    Returns:
      ``import_s`` of the packages, ``first_s`` from asking for the process to the first step of
      ten facets, ``again_s`` of the next step, ``network_s`` of making the weights (part of
      ``first_s``), ``peak_mib`` of memory on the host.

    Raises:
      ValueError: there is no such candidate.
      RuntimeError: it failed; the message ends with what it printed.
    """
    if candidate not in CANDIDATES:
        raise ValueError(f"no candidate {candidate!r}; there are {', '.join(CANDIDATES)}")
    words = ["-m", "benchmarks.alone", candidate, network, device, str(time.time())]
    done = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{candidate!r} failed in its own process: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(arguments: list[str]) -> None:
    """Measures the candidate in this process."""
    candidate, network, device, asked = arguments
    times: dict[str, float] = {}
    started = time.perf_counter()
    import mfvjax

    _ = [getattr(mfvjax, name) for name in mfvjax.__all__]  # they are imported when asked for
    times["import_s"] = time.perf_counter() - started
    if candidate != "imports":
        _step_twice(candidate, network, device, float(asked), times)
    times["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _UNIT
    print(json.dumps(times))


def one_step(phase: Phase) -> Phase:
    """A step of the phase, with the paper's rule."""
    from mfvjax.priors.tv_projection import TV

    # Before it is cut: the release's ramp of a single step is 0.
    changed = phase.change(TV, fidelity=0.4, rule="isotropic", num_sweeps=12)
    return dataclasses.replace(changed, num_steps=1)


def _step_twice(
    candidate: str, network: str, device: str, asked: float, times: dict[str, Any]
) -> None:
    from benchmarks.candidates import batched_torch, sequential, workload
    from benchmarks.context import Context
    from benchmarks.ours import Ours

    context = Context(network, device)
    started = time.perf_counter()
    _ = context.network
    times["network_s"] = time.perf_counter() - started
    work = workload(context)
    phase = one_step(work.recipe.phases[0])
    make = {
        "mfvjax": lambda: Ours(context.network),
        "batched torch": lambda: batched_torch(context, "chambolle-pock"),
        "sequential": lambda: sequential(context),
    }
    way = make[candidate]()
    way.run_phase(work.starts, work.units, phase, 0)
    times["first_s"] = time.time() - asked
    started = time.perf_counter()
    way.run_phase(work.starts, work.units, phase, 1)
    times["again_s"] = time.perf_counter() - started


if __name__ == "__main__":
    main(sys.argv[1:])
