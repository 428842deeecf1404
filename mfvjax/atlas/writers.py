"""Processes that write finished units, pages and pictures, while the accelerator goes on.

A unit takes one core seconds to score and write, most of it for pictures, and an accelerator less
than that to make. Units are scored in threads of this process and handed to processes that run
`main`, through their standard input. Such a process touches no accelerator, is not ended by Ctrl-C
in the middle of a unit, and ends with the one that started it, however that ends, but for the unit
that it is writing.
"""

from __future__ import annotations

import os
import pathlib
import pickle
import queue
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import BinaryIO

from mfvjax.atlas.folder import AtlasFolder, publish_unit
from mfvjax.run import Run


class Writers:
    """Writes units of an atlas; a context at whose end everything handed in is written.

    Args:
      folder: of the atlas.
      count: of processes; 0 writes in this one.

    Raises:
      ValueError: `count` is negative.
    """

    def __init__(self, folder: AtlasFolder, count: int) -> None:
        if count < 0:
            raise ValueError(f"writers={count} must be a number of processes, or 0")
        self._folder, self._count = folder, count
        self._idle: queue.SimpleQueue[_Writer] = queue.SimpleQueue()
        self._started: list[_Writer] = []
        self._threads = ThreadPoolExecutor(max(count, 1))
        self._waiting: set[Future[str]] = set()

    def __enter__(self) -> Writers:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()
        for writer in self._started:
            writer.close()

    def publish(self, unit: str, make: Callable[[], Run]) -> Iterator[str]:
        """Hands in a unit, and gives those that have been written since.

        Waits only where more units are handed in than there are processes for.

        Args:
          unit: of the atlas.
          make: its run; called in a thread of this process.

        Raises:
          RunWriteError: no space left, say; finished units stay as they are.
          RuntimeError: a process ended that was not to end.
        """
        if self._count == 0:
            self._folder.publish(unit, make())
            yield unit
            return
        if len(self._started) < min(self._count, len(self._waiting) + 1):
            self._started.append(_Writer())
            self._idle.put(self._started[-1])
        self._waiting.add(self._threads.submit(self._write, unit, make))
        yield from self._written(at_most=self._count)

    def rest(self) -> Iterator[str]:
        """The units that were not given yet, once they are written; raises as `publish`."""
        while self._waiting:
            yield from self._written(at_most=len(self._waiting) - 1)

    def _written(self, *, at_most: int) -> Iterator[str]:
        """Units that are written, at least so many that `at_most` are left."""
        while True:
            done = {future for future in self._waiting if future.done()}
            self._waiting -= done
            for future in done:
                yield future.result()
            if len(self._waiting) <= at_most:
                return
            wait(self._waiting, return_when=FIRST_COMPLETED)

    def _write(self, unit: str, make: Callable[[], Run]) -> str:
        run = make()
        writer = self._idle.get()
        try:
            writer.write(run, self._folder.unit_path(unit), self._folder.found_path(unit))
        finally:
            self._idle.put(writer)
        return unit


class _Writer:
    """One process, which writes one unit at a time."""

    def __init__(self) -> None:
        path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from mfvjax.atlas.writers import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
            start_new_session=True,  # out of Ctrl-C's reach
        )

    def write(self, run: Run, path: pathlib.Path, found: pathlib.Path) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump((run, path, found), self._process.stdin, protocol=5)
            self._process.stdin.flush()
            error = pickle.load(self._process.stdout)  # from our own process, through our own pipe
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            raise RuntimeError(
                f"a process that writes units ended (exit code {self._process.wait()}) while it "
                f"wrote {path}; finished units stay. Out of memory? See `writers`"
            ) from None
        if error is not None:
            raise error

    def close(self) -> None:
        self._process.communicate()


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Writes units until the other end is closed; answers each with ``None`` or an exception."""
    while True:
        try:
            run, path, found = pickle.load(requests)  # from the process that started this one
        except (EOFError, pickle.UnpicklingError):  # in the middle of a unit
            return
        error: Exception | None = None
        try:
            publish_unit(run, path, found)
        except Exception as raised:
            error = raised
        try:
            pickle.dump(error, answers)
            answers.flush()
        except BrokenPipeError:
            return


def main() -> None:
    """What such a process does."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    serve(sys.stdin.buffer, answers)
