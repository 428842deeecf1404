"""Where fetched networks and compiled programs live on the user's disk."""

import os
import pathlib


def cache_dir() -> pathlib.Path:
    """``MFVJAX_CACHE``, or ``mfvjax`` in ``XDG_CACHE_HOME`` or ``~/.cache``; it may not exist."""
    own = os.environ.get("MFVJAX_CACHE")
    if own:
        return pathlib.Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "mfvjax"
