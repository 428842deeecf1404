"""Image files: a folder, nested by class or flat, or a list."""

from __future__ import annotations

import logging
import os
import pathlib
from collections.abc import Iterator, Sequence

from mfvjax.domain import RGB, Domain
from mfvjax.images.decode import Decoding
from mfvjax.images.own_folders import describe_own, is_own
from mfvjax.images.sources import EncodedSource, Path
from mfvjax.images.unreadable import UnreadableImageError

SUFFIXES = tuple(
    f".{suffix}"
    for suffix in (
        "avif bmp gif heic heif jfif jpe jpeg jpg pbm pgm png pnm ppm tif tiff webp".split()  # noqa: SIM905
    )
)
"""Files of a folder with other suffixes are not images; letter case plays no role."""

_LOG = logging.getLogger("mfvjax")


class FileSource(EncodedSource):
    """Image files, each read when it is asked for.

    Args:
      paths: of the files; none is opened here.
      names: of the images; the paths themselves unless given.
      labels: the class of each image.
      decoding: how bytes become RGB.
      domain: of the images, RGB or grey; see `mfvjax.images.decode.from_rgb`.

    Raises:
      ValueError: there is no path, `names` or `labels` are not as many, or the domain is of no
        pictures.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        names: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        decoding: Decoding | None = None,
        domain: Domain = RGB,
    ):
        self._paths = [pathlib.Path(path) for path in paths]
        if not self._paths:
            raise ValueError("the list of image files is empty")
        for what, values in (("names", names), ("labels", labels)):
            if values is not None and len(values) != len(self._paths):
                raise ValueError(f"{len(values)} {what} for {len(self._paths)} image files")
        if names is None:
            names = [path.as_posix() for path in self._paths]
        super().__init__(names, labels, decoding, domain)

    @classmethod
    def from_folder(
        cls, folder: Path, *, decoding: Decoding | None = None, domain: Domain = RGB
    ) -> FileSource:
        """All images under `folder`, in the order of their paths relative to it.

        Names are those paths, with ``/`` on every system. Where the folder has subfolders, the
        first one on an image's path is its label (``""`` for images beside the subfolders); a flat
        folder has no labels. Hidden files and suffixes other than `SUFFIXES` are left out.
        Symbolic links are followed. Folders that this package writes, runs and atlases with their
        pages and figures, are left out too, which the log tells.

        Raises:
          FileNotFoundError: there is no such folder.
          NotADirectoryError: it is a file.
          PermissionError: it, or a folder in it, may not be listed.
          ValueError: it holds no image, or the domain is of no pictures.
        """
        folder = pathlib.Path(folder)
        left_out: list[str] = []
        names = sorted(_image_names(folder, left_out))
        if not names:
            beside = f", but {describe_own(left_out)}" if left_out else ""
            raise ValueError(
                f"folder {str(folder)!r} holds no image ({' '.join(SUFFIXES)}){beside}"
            )
        if left_out:
            _LOG.warning("of folder %r left out: %s", str(folder), describe_own(left_out))
        labels = [name.split("/")[0] if "/" in name else "" for name in names]
        return cls(
            [folder / name for name in names],
            names=names,
            labels=labels if any(labels) else None,
            decoding=decoding,
            domain=domain,
        )

    def encoded(self, index: int) -> bytes:
        """The file's bytes; raises ``UnreadableImageError`` if it is missing or far too large."""
        path, name = self._paths[index], self.names[index]
        try:
            if not path.is_file():  # opening a pipe would wait forever
                reason = "it is not a file" if path.exists() else "the file does not exist"
                raise UnreadableImageError(name, reason)
            size = path.stat().st_size
            if size > self.decoding.max_bytes:
                reason = f"its {size} bytes are more than an image of max_pixels can take"
                raise UnreadableImageError(name, reason)
            return path.read_bytes()
        except OSError as error:
            raise UnreadableImageError(name, error.strerror or str(error)) from error


def _image_names(folder: pathlib.Path, left_out: list[str]) -> Iterator[str]:
    """Paths of the images relative to `folder`, in no particular order.

    Folders that this package wrote are left out; `left_out` gets their paths.
    """

    def refuse(error: OSError) -> None:
        raise error

    seen = set()  # symbolic links may form a cycle
    for parent, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        if is_own(pathlib.Path(parent), files, is_root=parent == os.fspath(folder)):
            left_out.append(pathlib.Path(parent).relative_to(folder).as_posix())
            folders.clear()
            continue
        # Sorted, so that of two links to one folder the same one is taken on every machine.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith(".") and name.lower().endswith(SUFFIXES):
                yield (pathlib.Path(parent) / name).relative_to(folder).as_posix()
