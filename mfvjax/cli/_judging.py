"""``--judge``: opened and checked before any work, asked once the run is there."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mfvjax.network import Network
    from mfvjax.run import Run


def judging(judge: str | None, judge_class: str | None, network: Network) -> Callable[[Run], Run]:
    """A function that has a run judged; without a judge it gives the run as it is.

    Args:
      judge: as ``--judge``; "none" for none.
      judge_class: as ``--judge-class``.
      network: that the run's pictures are made for.

    Raises:
      typer.BadParameter: a class is told, but no judge.
      ValueError, FileNotFoundError: as `mfvjax.judging.check_judge` and `Network.load`.
    """
    if judge is None or judge == "none":
        if judge_class is not None:
            raise typer.BadParameter("there is no --judge", param_hint="--judge-class")
        return lambda run: run
    from mfvjax.judging import check_judge, judged, open_judge

    opened = open_judge(judge)
    check_judge(
        opened,
        network.preprocessing.domain,
        own_fingerprint=network.model_fingerprint,
        judge_class=judge_class,
    )
    return functools.partial(judged, judge=opened, judge_class=judge_class)
