"""One call that makes an image source of whatever the user has."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from mfvjax.domain import RGB, Domain
from mfvjax.images.decode import Decoding
from mfvjax.images.files import FileSource
from mfvjax.images.sources import ArraySource, ImageSource, Path
from mfvjax.images.tfds_source import PREFIX, TfdsSource

Imagelike: TypeAlias = ImageSource | Path | Sequence[Path] | np.ndarray | Sequence[Any]


def open_images(
    source: Imagelike,
    *,
    domain: Domain | None = None,
    decoding: Decoding | None = None,
    data_dir: Path | None = None,
) -> ImageSource:
    """Makes an image source.

    Args:
      source: a folder, flat or with one subfolder per class; a file or a list of files; one array
        ``(images, height, width, channels)`` or a list of arrays ``(height, width, channels)``,
        where one channel needs no axis; a ``.npy`` file of such an array;
        ``"tfds:NAME/SPLIT"``, a prepared TensorFlow dataset; or an image source, which is returned
        as it is.
      domain: what the images are, as a network's ``preprocessing.domain`` says; RGB in [0, 255]
        unless given. Files and datasets are turned into it, see `mfvjax.images.decode.from_rgb`;
        arrays and image sources must be of it.
      decoding: how encoded images become RGB; not for arrays or a source.
      data_dir: where TensorFlow datasets are kept; for these only.

    Raises:
      FileNotFoundError: there is no such file or folder.
      ModuleNotFoundError: a TensorFlow dataset without tensorflow-datasets.
      PermissionError: the folder may not be listed.
      TypeError: `source` is none of these.
      ValueError: it holds no image, has the wrong shape, an option does not apply to it, it is a
        source of another domain, or of files although the domain is of no pictures.
    """
    opened = _opened(source, domain, decoding, data_dir)
    if isinstance(source, str | os.PathLike):
        opened.address = os.fspath(source)
    return opened


def _opened(
    source: Any, domain: Domain | None, decoding: Decoding | None, data_dir: Path | None
) -> ImageSource:
    is_tfds = isinstance(source, str) and source.startswith(PREFIX)
    if data_dir is not None and not is_tfds:
        raise ValueError(f"data_dir={str(data_dir)!r} applies to a source 'tfds:NAME/SPLIT' only")
    if isinstance(source, ImageSource) and decoding is None:
        return _checked(source, domain)
    domain = RGB if domain is None else domain
    if is_tfds:
        return TfdsSource(str(source), data_dir=data_dir, decoding=decoding, domain=domain)
    if isinstance(source, str | os.PathLike):
        return _open_path(pathlib.Path(source), decoding, domain)
    paths = _paths_in(source)
    if paths is not None:
        return FileSource(paths, decoding=decoding, domain=domain)
    if decoding is not None:
        raise ValueError(
            "decoding, as max_pixels, applies to files and datasets, not to arrays or a source"
        )
    if isinstance(source, np.ndarray | Sequence) or hasattr(source, "__array__"):
        return ArraySource(source if isinstance(source, Sequence) else np.asarray(source), domain)
    raise TypeError(
        f"images cannot come from a {type(source).__name__}; give a folder, a list of files, "
        "arrays, 'tfds:NAME/SPLIT' or an ImageSource"
    )


def _checked(source: ImageSource, domain: Domain | None) -> ImageSource:
    """The source, if it is of the domain that is asked for."""
    if domain is not None and source.domain != domain:
        raise ValueError(
            f"the image source is {source.domain}, but {domain} is needed: open it with "
            f"open_images(..., domain={domain!r})"
        )
    return source


def _open_path(path: pathlib.Path, decoding: Decoding | None, domain: Domain) -> ImageSource:
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {str(path)!r}")
    if path.is_dir():
        return FileSource.from_folder(path, decoding=decoding, domain=domain)
    if path.suffix == ".npy" and decoding is None:
        return ArraySource(_read_array(path), domain)
    return FileSource([path], decoding=decoding, domain=domain)


def _read_array(path: pathlib.Path) -> np.ndarray:
    """The array of a ``.npy`` file, mapped into memory; nothing is unpickled."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{str(path)!r} holds no array of numbers: {error}") from error
    if array.ndim not in (3, 4):
        raise ValueError(f"{str(path)!r} holds an array of the shape {array.shape}, not of images")
    return array


def _paths_in(source: Any) -> list[Path] | None:
    """`source` as a list of paths, or ``None`` if it is something else."""
    if isinstance(source, ImageSource) or not isinstance(source, Sequence):
        return None
    are_paths = [isinstance(item, str | os.PathLike) for item in source]
    return list(source) if are_paths and all(are_paths) else None
