"""Progress on standard error: one rich bar per step of a run; lines where that is no terminal."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

from mfvjax.cli._log import LOG

ReportFn: TypeAlias = Callable[[str, int, int], None]

_SECONDS = 10.0  # between two lines of one step


@contextlib.contextmanager
def progress_bars(*, quiet: bool) -> Iterator[ReportFn]:
    """Yields a function to call with (step, done, in all); bars appear as steps begin.

    Where standard error is no terminal, in the log of a queue, say, there are lines instead: when
    a step begins, every ten seconds, and when it ends. What the library logs is shown in between.
    """
    if quiet:
        yield lambda step, done, total: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    before = LOG.level
    LOG.setLevel(logging.INFO)
    try:
        if not console.is_terminal:
            yield ProgressLines()
        else:
            with _bars(console) as report:
                yield report
    finally:
        LOG.setLevel(before)


@contextlib.contextmanager
def _bars(console) -> Iterator[ReportFn]:  # type: ignore[no-untyped-def]  # rich is imported late
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeLeft())
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, int] = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)  # type: ignore[arg-type]

        yield report


@dataclasses.dataclass
class _Step:
    """A step under way: when and with how much done it began, and what was last told of it."""

    began: float
    begun_with: int
    told: float
    done: int


class ProgressLines:
    """Logs the progress of steps, each at most every ten seconds, but its first and last always.

    Args:
      clock: seconds; another one for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._steps: dict[str, _Step] = {}

    def __call__(self, step: str, done: int, total: int) -> None:
        """Tells that of a step so much is done of all that there is."""
        now = self._clock()
        known = self._steps.get(step)
        if known is None or done < known.done:  # begun, or begun again
            self._steps[step] = _Step(now, done, now, done)
            LOG.info("%s: %d of %d", step, done, total)
            return
        is_last = done >= total > known.done
        known.done = done
        if is_last:
            LOG.info("%s: %d of %d, in %s", step, done, total, spoken(now - known.began))
        elif now - known.told >= _SECONDS and known.begun_with < done < total:
            share = (total - done) / (done - known.begun_with)
            left = spoken((now - known.began) * share)
            LOG.info("%s: %d of %d, %s left", step, done, total, left)
        else:
            return
        known.told = now


def spoken(seconds: float) -> str:
    """A duration for people, in no more than two units."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
