"""Judging runs that are finished and on disk."""

from __future__ import annotations

import os
import pathlib

from mfvjax.judging.judge import judge_run, open_judge, with_judgement
from mfvjax.network import Network
from mfvjax.report import write_page
from mfvjax.run import Run
from mfvjax.store import add_judgement, load_run, read_header
from mfvjax.store.header import RUN_JSON

PAGE = "report.html"


def judge_folder(
    folder: str | os.PathLike[str],
    judge: Network | str | os.PathLike[str],
    *,
    judge_class: int | str | None = None,
) -> Run:
    """Judges a finished run, keeps the judgement in its folder, and writes its page again.

    The folder has the judgement whole or not at all, whenever the process is killed; a page that
    was not written again is then older than ``run.json``. A former judgement by the same judge is
    replaced.

    Args:
      folder: of the run.
      judge: see `judge_run`.
      judge_class: see `judge_run`.

    Returns: the run with the judgement.

    Raises: as `judge_run`, `mfvjax.store.load_run` and `mfvjax.store.add_judgement`.
    """
    run = load_run(folder)
    judgement = judge_run(run, open_judge(judge), judge_class=judge_class)
    add_judgement(folder, judgement)
    write_page(with_judgement(run, judgement), pathlib.Path(folder) / PAGE)
    return with_judgement(run, judgement)


def is_judged(folder: str | os.PathLike[str], judge: Network) -> bool:
    """Whether a run has the judge's judgement, and a page that is not older than it.

    Raises:
      NotARunError, DamagedRunError, UnknownVersionError: as `mfvjax.store.read_header`.
    """
    path = pathlib.Path(folder)
    head = read_header(path)
    try:
        known = [entry["judge"]["fingerprint"] for entry in head.get("judgements", [])]
    except (KeyError, TypeError):  # damaged, as `load_run` will tell
        return False
    if judge.fingerprint not in known or not (path / PAGE).is_file():
        return False
    return (path / PAGE).stat().st_mtime_ns >= (path / RUN_JSON).stat().st_mtime_ns
