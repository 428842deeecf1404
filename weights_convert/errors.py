"""What goes wrong with a Caffe file, with the file, the layer and the blob it went wrong in."""

import contextlib
from collections.abc import Iterator


class CaffeFormatError(ValueError):
    """A ``.prototxt`` or ``.caffemodel`` is damaged, does not fit, or asks for the unsupported."""


class CaffeWarning(UserWarning):
    """A Caffe file holds an option that this reader does not know and leaves out."""


@contextlib.contextmanager
def naming(what: str) -> Iterator[None]:
    """Puts `what` before the message of any ``ValueError`` inside, as a `CaffeFormatError`."""
    try:
        yield
    except ValueError as error:
        raise CaffeFormatError(f"{what}: {error}") from error
