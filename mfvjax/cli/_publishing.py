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
    from mfvjax.cli._progress import progress_bars
    from mfvjax.pipeline import run_unit
    from mfvjax.store import open_run_folder

    with open_run_folder(folder, overwrite=overwrite) as temporary:
        with progress_bars(quiet=quiet) as progress:
            run = run_unit(network, images, progress=progress, **options)
        run, tell = keep(run, temporary, folder, judged=judged, figures=figures)
    tell()
    return run


def keep(
    run: Run,
    temporary: pathlib.Path,
    folder: pathlib.Path,
    *,
    judged: Callable[[Run], Run],
    figures: bool,
) -> tuple[Run, Callable[[], None]]:
    """Has a run judged and written into an opened run folder; the run stays whatever else fails.

    Args:
      run: finished.
      temporary: the folder as opened.
      folder: where it will be.
      judged: as `make_run`; so is `figures`.
      figures: see above.

    Returns: the run with its judgement, and what to call when it is in its place: it raises
      ``RuntimeError`` where judge or page failed.
    """
    from mfvjax.cli._output import publish

    unjudged: Exception | None = None
    try:
        run = judged(run)
    except Exception as error:  # out of memory, say: the run must not be lost with it
        unjudged = error
    tell_page = publish(run, temporary, folder, figures=figures)

    def tell() -> None:
        tell_page()
        if unjudged is not None:
            raise RuntimeError(
                f"the run is whole in {folder}, but its judge failed ({unjudged}); ask it again "
                f"with: mfvjax judge {shlex.quote(str(folder))} JUDGE"
            ) from unjudged

    return run, tell
