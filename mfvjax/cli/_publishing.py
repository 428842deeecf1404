"""One run of ``mfvjax run``: made, judged, and stored whatever its judge and its page do."""

from __future__ import annotations

import pathlib
import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfvjax.run import Run


def make_run(
    folder: pathlib.Path,
    network: str,
    images: str,
    options: Mapping[str, Any],
    *,
    judged: Callable[[Run], Run],
    overwrite: bool,
    figures: bool,
    quiet: bool,
) -> Run:
    """Makes one run and leaves it in its folder, with page and judgement.

    Args:
      folder: of the run; whether it can be written is known before any work.
      network: as `mfvjax.run_unit`; so are `images` and `options`.
      images: see above.
      options: see above.
      judged: a run with its judgement, as `mfvjax.cli._judging.judging` gives it.
      overwrite: as `mfvjax.store.open_run_folder`.
      figures: whether they are wanted.
      quiet: no progress.

    Raises:
      RuntimeError: the judge or the page failed; the run is stored, and the message says how to
        go on from it.
      ValueError, OSError: as `mfvjax.run_unit` and `mfvjax.store.open_run_folder`.
    """
    from mfvjax.cli._output import publish
    from mfvjax.cli._progress import progress_bars
    from mfvjax.pipeline import run_unit
    from mfvjax.store import open_run_folder

    with open_run_folder(folder, overwrite=overwrite) as temporary:
        with progress_bars(quiet=quiet) as progress:
            run = run_unit(network, images, progress=progress, **options)
        run, unjudged = _with_judgement(run, judged)
        tell = publish(run, temporary, folder, figures=figures)
    tell()
    if unjudged is not None:
        raise RuntimeError(
            f"the run is whole in {folder}, but its judge failed ({unjudged}); ask it again with: "
            f"mfvjax judge {shlex.quote(str(folder))} JUDGE"
        ) from unjudged
    return run


def _with_judgement(run: Run, judged: Callable[[Run], Run]) -> tuple[Run, Exception | None]:
    """The run, judged if that is possible, or why it is not."""
    try:
        return judged(run), None
    except Exception as error:  # out of memory, say: the run must not be lost with it
        return run, error
