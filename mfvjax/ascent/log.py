"""Bookkeeping of a run: traces, snapshots, the length of chunks, progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from mfvjax.ascent.loop import State
from mfvjax.ascent.plan import MAX_CHUNK
from mfvjax.recipe import Phase

ProgressFn: TypeAlias = Callable[[int, int], None]

_CHUNK_SECONDS = 1.0


class Log:
    """Collects a batch's traces and snapshots, and sizes the chunks."""

    def __init__(self, num_facets: int, num_steps: int, snapshot_every: int | None) -> None:
        self._trace = np.full((num_facets, num_steps), np.nan, np.float32)
        self._snapshot_every = snapshot_every
        self._chunk = 1
        self.steps_taken = 0
        self.phase_images: list[np.ndarray] = []
        self._snapshots: dict[int, np.ndarray] = {}

    def chunks(self, phase: Phase) -> Iterator[tuple[int, int]]:
        """(first step, number of steps) of each call of a phase."""
        first = 0
        while first < phase.num_steps:
            count = min(self._chunk, phase.num_steps - first)
            if self._snapshot_every is not None:
                count = min(count, self._snapshot_every - self.steps_taken % self._snapshot_every)
            yield first, count
            first += count

    def timed(self, count: int, seconds: float) -> None:
        """Aims the next chunk at about a second, so that reports and Ctrl-C come in time."""
        wanted = round(_CHUNK_SECONDS * count / max(seconds, 1e-6))
        self._chunk = int(np.clip(wanted, 1, min(MAX_CHUNK, 4 * self._chunk)))

    def record(
        self, trace: np.ndarray, state: State, canvases: Callable[[State], np.ndarray]
    ) -> None:
        """Takes the objectives ``(steps, facets)`` and the state after a chunk."""
        self._trace[:, self.steps_taken : self.steps_taken + len(trace)] = trace.T
        self._state = state
        self.steps_taken += len(trace)
        every = self._snapshot_every
        if every is not None and self.steps_taken % every == 0:
            self._snapshots[self.steps_taken] = canvases(state)

    def fields(self) -> dict[str, Any]:
        """Fields of a `Visualization`."""
        return {
            "images": self.phase_images[-1],
            "activations": self._trace,
            "phase_images": tuple(self.phase_images),
            "stopped_at": np.asarray(self._state.stopped_at),
            "status": np.asarray(self._state.status),
            "snapshots": self._snapshots,
        }


class Progress:
    """Counts facet steps over all batches of a run."""

    def __init__(self, report: ProgressFn | None, total: int) -> None:
        self._report, self._done, self._total = report, 0, total

    def advance(self, facet_steps: int) -> None:
        """Reports `facet_steps` more; padding facets of the last batch are not counted twice."""
        self._done = min(self._done + facet_steps, self._total)
        if self._report is not None:
            self._report(self._done, self._total)
