"""What the library logs, on standard error: warnings always, what goes on where it is asked for."""

from __future__ import annotations

import logging
import sys

LOG = logging.getLogger("mfvjax")


class _Lines(logging.Handler):
    """One line for each message; a warning only once."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = " ".join(record.getMessage().split())
        if record.levelno >= logging.WARNING:
            if text in self.shown:
                return
            self.shown.add(text)
            text = f"warning: {text}"
        # Looked up each time: progress bars put something of theirs in its place.
        print(f"mfvjax: {text}", file=sys.stderr, flush=True)


_HANDLER = _Lines()


def log_to_stderr() -> None:
    """Has this process show what the library logs; for programs, not for the library."""
    _HANDLER.shown.clear()
    LOG.setLevel(logging.WARNING)
    LOG.addHandler(_HANDLER)  # once, however often it is asked for
