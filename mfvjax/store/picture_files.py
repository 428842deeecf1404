"""The pictures of a run folder that are the record of images, by name of their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mfvjax.domain import Domain
from mfvjax.store.pictures import read_png


class Pictures:
    """Files of a run, checked against their hashes; what is missing or no picture is named.

    Args:
      data: bytes by name of the file.
    """

    def __init__(self, data: Mapping[str, bytes]) -> None:
        self._data = data

    def __getitem__(self, name: str) -> bytes:
        """The bytes of a file; raises ``ValueError`` where the run has none of this name."""
        if name not in self._data:
            raise ValueError(f"run.json does not list {name}")
        return self._data[name]

    def read(self, name: str, domain: Domain, size: tuple[int, ...] | None = None) -> np.ndarray:
        """The pixels of one picture ``(h, w, c)``.

        Args:
          name: of the file.
          domain: of the run.
          size: that it must have, where that is known.

        Raises:
          ValueError: the file is missing, is no such picture, or has another size; it is named.
        """
        try:
            return read_png(self[name], mode="RGB" if domain.is_color else "L", size=size)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    def stack(self, names: Sequence[str], domain: Domain) -> np.ndarray:
        """Pictures of one size ``(n, h, w, c)``; raises as `read`."""
        if not names:
            raise ValueError("there are no pictures to read")
        first = self.read(names[0], domain)
        return np.stack([first, *(self.read(n, domain, first.shape[:2]) for n in names[1:])])
