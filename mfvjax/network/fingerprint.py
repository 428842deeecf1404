"""A hash that tells whether two networks compute the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np


def fingerprint(about: Iterable[str], params: Any) -> str:
    """SHA-256 (hex) of the texts `about` and every array of `params` with path, type and shape."""
    digest = hashlib.sha256()
    for text in about:
        digest.update(_framed(text.encode()))
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.asarray(leaf)
        head = f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}"
        digest.update(_framed(head.encode()))
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def _framed(text: bytes) -> bytes:
    """`text` behind its length, so that neighbors cannot run into each other."""
    return len(text).to_bytes(8, "little") + text
