"""Downloads a file: tried again where it broke off, verified before it gets its name."""

from __future__ import annotations

import errno
import http.client
import os
import pathlib
import time
import urllib.error

from mfvjax.fetch.sources import RemoteFile
from mfvjax.fetch.transfer import Part, Progress, receive
from mfvjax.fetch.verify import WrongHashError, verify

_BROKEN = (http.client.HTTPException, ConnectionError, TimeoutError, urllib.error.URLError)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class DownloadError(OSError):
    """A file could not be downloaded; the message says why."""


def download(
    remote: RemoteFile,
    directory: pathlib.Path,
    trust_file: pathlib.Path,
    *,
    progress: Progress = lambda received, total: None,
    attempts: int = 3,
    pause: float = 1.0,
    timeout: float = 30.0,
) -> tuple[pathlib.Path, str | None]:
    """Downloads `remote` into `directory`; a file that is there and verifies is not fetched again.

    The data go to ``NAME.part``, which a broken download leaves for the next one to continue. Only
    when all is there and the hash is right does the file get its name.

    Args:
      remote: what to fetch; its addresses are tried in turn.
      directory: made if need be.
      trust_file: as `verify`.
      progress: called after each piece of data.
      attempts: per address, each continuing where the last broke off.
      pause: seconds before the second attempt, doubled for each further one.
      timeout: seconds without data after which a connection counts as broken.

    Returns:
      Path of the complete, verified file, and what `verify` has to say.

    Raises:
      DownloadError: no address gives the file, or the disk is full.
      WrongHashError: the data are not what they must be; they have been deleted.
    """
    directory.mkdir(parents=True, exist_ok=True)
    file, part = directory / remote.name, Part(directory / f"{remote.name}.part")
    if file.is_file():
        try:
            return file, verify(remote, file, trust_file)
        except WrongHashError:  # damaged since; fetched again
            file.unlink()
    problems: list[str] = []
    for address in remote.addresses:
        for attempt in range(attempts):
            time.sleep(pause * 2 ** (attempt - 1) if attempt else 0)
            try:
                receive(
                    address,
                    part,
                    hashed=remote.sha1 is not None,
                    progress=progress,
                    timeout=timeout,
                )
                return file, _place(remote, part, file, trust_file)
            except _BROKEN as error:
                problems.append(f"{address}: {_reason(error)}")
                if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                    break  # asking again does not help
            except OSError as error:
                raise _disk_error(error, directory) from error
    raise DownloadError(f"{remote.name} could not be downloaded ({'; '.join(problems)})")


def _place(
    remote: RemoteFile, part: Part, file: pathlib.Path, trust_file: pathlib.Path
) -> str | None:
    try:
        note = verify(remote, part.data, trust_file)
    except WrongHashError as error:
        part.remove()
        raise WrongHashError(f"{error}; the download has been deleted") from error
    os.replace(part.data, file)
    part.remove()
    return note


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.reason}"
    return str(getattr(error, "reason", None) or error or type(error).__name__)


def _disk_error(error: OSError, directory: pathlib.Path) -> OSError:
    if error.errno not in _DISK_FULL:
        return error
    return DownloadError(
        error.errno,
        f"no space left in {directory}: free some, or set MFVJAX_CACHE to a directory on another "
        "disk; run the same command again to continue",
    )
