"""Fetches a published network by name."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence

from mfvjax.cache import cache_dir
from mfvjax.class_names import read_class_names
from mfvjax.fetch.definitions import write_definition
from mfvjax.fetch.download import DownloadError, download
from mfvjax.fetch.sources import CLASS_NAMES, RemoteFile, Source, find_source
from mfvjax.fetch.transfer import Progress
from mfvjax.fetch.verify import WrongHashError, verify

ProgressOf = Callable[[RemoteFile], Progress]


@dataclasses.dataclass(frozen=True)
class Fetched:
    """A network that is ready to be loaded.

    Attributes:
      path: of its weights file.
      notes: sentences for the user: what could not be verified or found.
    """

    path: pathlib.Path
    notes: tuple[str, ...] = ()


def fetch(
    name: str,
    *,
    weights: str | os.PathLike[str] | None = None,
    definition: str | os.PathLike[str] | None = None,
    class_names: str | os.PathLike[str] | None = None,
    force: bool = False,
    progress_of: ProgressOf = lambda remote: lambda received, total: None,
    pause: float = 1.0,
) -> Fetched:
    """Places the published network `name` in the user's cache directory.

    Files that are given are used instead of downloads, and verified like them. What was downloaded
    is deleted after the conversion. A network that is there already is left alone.

    Args:
      name: a key of `SOURCES`, or "squeezenet" for the newer version.
      weights: a ``.caffemodel`` on this disk.
      definition: a ``.prototxt`` on this disk.
      class_names: a text file on this disk, one class per line.
      force: fetch and convert again.
      progress_of: makes what is told of the progress of each file.
      pause: seconds before a broken download is continued.

    Raises:
      ValueError: the name is unknown, a file is not the published one, or cannot be converted.
      DownloadError: a file cannot be fetched; the message says how to supply it.
    """
    source = find_source(name)
    target = cache_dir() / f"{source.name}.safetensors"
    if target.is_file() and not force:
        return Fetched(target)
    files = _Files(source, progress_of, pause)
    caffemodel = files.get(source.weights, weights, "--from")
    prototxt = None if definition is None else pathlib.Path(definition)
    if source.definition is not None:
        prototxt = files.get(source.definition, definition, "--prototxt")
    names = files.class_names(class_names)
    _convert(source, prototxt, caffemodel, names, target)
    files.clean()
    return Fetched(target, tuple(files.notes))


class _Files:
    """Gets the files of one source, given or downloaded, and remembers what to tell the user."""

    def __init__(self, source: Source, progress_of: ProgressOf, pause: float) -> None:
        self.source, self.progress_of, self.pause = source, progress_of, pause
        self.directory = cache_dir() / "downloads" / source.name
        self.trust_file = cache_dir() / "trusted.json"
        self.notes: list[str] = []
        self.downloaded: list[pathlib.Path] = []

    def get(
        self, remote: RemoteFile, given: str | os.PathLike[str] | None, option: str
    ) -> pathlib.Path:
        """Path of the verified file, which `option` of the command line can give."""
        if given is not None:
            return self._given(remote, pathlib.Path(given))
        try:
            return self._download(remote)
        except DownloadError as error:
            if error.errno is not None:  # the disk, not the network
                raise
            raise DownloadError(
                f"{error}. Without a connection: get {remote.name} from {remote.addresses[0]} on "
                f"another machine and run `mfvjax fetch {self.source.name} {option} FILE`"
            ) from error

    def class_names(self, given: str | os.PathLike[str] | None) -> tuple[str, ...] | None:
        """Names of the classes; a network works without them, so failing to get them is a note."""
        if given is not None:
            return read_class_names(given)
        try:
            return read_class_names(self._download(CLASS_NAMES))
        except DownloadError as error:
            self.notes.append(f"no class names: {error}; give them with --class-names FILE")
            return None

    def clean(self) -> None:
        """Deletes what was downloaded."""
        for file in self.downloaded:
            file.unlink(missing_ok=True)
        if self.directory.is_dir() and not any(self.directory.iterdir()):
            self.directory.rmdir()

    def _download(self, remote: RemoteFile) -> pathlib.Path:
        file, note = download(
            remote,
            self.directory,
            self.trust_file,
            progress=self.progress_of(remote),
            pause=self.pause,
        )
        self.downloaded.append(file)
        self.notes += [note] if note else []
        return file

    def _given(self, remote: RemoteFile, file: pathlib.Path) -> pathlib.Path:
        if not file.is_file():
            raise FileNotFoundError(f"no file {file}")
        try:
            verify(remote, file, self.trust_file)
        except WrongHashError as error:
            raise WrongHashError(
                f"{error}; if it is meant, convert it under a name of its own with `mfvjax convert`"
            ) from error
        return file


def _convert(
    source: Source,
    prototxt: pathlib.Path | None,
    caffemodel: pathlib.Path,
    class_names: Sequence[str] | None,
    target: pathlib.Path,
) -> None:
    """Converts into a directory beside `target`, and moves the result there whole."""
    from weights_convert import convert

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".convert-", dir=target.parent) as scratch:
        folder = pathlib.Path(scratch)
        if prototxt is None:
            prototxt = folder / "deploy.prototxt"
            prototxt.write_text(write_definition(source.name))
        converted = folder / target.name
        convert(
            prototxt,
            caffemodel,
            converted,
            name=source.name,
            class_names=class_names,
            ignore_layers=source.ignore_layers,
        )
        os.replace(converted, target)
