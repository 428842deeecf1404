"""The frames of a protobuf message: where its fields start and end, without decoding them.

Walking the frames costs no memory, so it can refuse a file that the protobuf runtime would blow up
into millions of small objects, and find the layers of a large file one at a time.

Reference: protobuf.dev, "Encoding".
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

MAX_FRAMES = 100_000
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@runtime_checkable
class Bytes(Protocol):
    """Anything that gives bytes by slice: ``bytes``, a ``memoryview``, a file."""

    def __getitem__(self, where: slice, /) -> bytes | memoryview: ...


class Frame(NamedTuple):
    """One field: its number, its wire type, and where its value lies."""

    field: int
    wire: int
    start: int
    stop: int


class FrameWalk:
    """Walks the messages of one file, and refuses to take more than `MAX_FRAMES` steps in all."""

    def __init__(self) -> None:
        self._left = MAX_FRAMES

    def frames(self, source: Bytes, start: int, stop: int) -> Iterator[Frame]:
        """The fields of the message that fills `source` from `start` to `stop`.

        Raises:
          ValueError: a field reaches past the end, is of an unknown wire type, or there have been
            more than `MAX_FRAMES` in the file.
        """
        while start < stop:
            frame = _read_frame(source, start, stop)
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"has more than {MAX_FRAMES} fields")
            yield frame
            start = frame.stop


def _read_frame(source: Bytes, start: int, stop: int) -> Frame:
    head = bytes(source[start : min(start + 20, stop)])
    tag, used = _varint(head, 0, start)
    size, field, wire = 0, tag >> 3, tag & 7
    if wire == VARINT:
        _, used = _varint(head, used, start)
    elif wire == BYTES:
        size, used = _varint(head, used, start)
    elif wire in (FIXED32, FIXED64):
        size = 4 if wire == FIXED32 else 8
    else:
        raise ValueError(f"is damaged at byte {start}: wire type {wire}")
    if size > stop - start - used or field == 0:
        raise ValueError(f"is damaged or cut off: the field at byte {start} does not fit")
    return Frame(field, wire, start + used, start + used + size)


def _varint(head: bytes, position: int, start: int) -> tuple[int, int]:
    value = 0
    for shift in range(10):
        if position >= len(head):
            break
        byte = head[position]
        position += 1
        value |= (byte & 127) << (7 * shift)
        if byte < 128:
            return value, position
    raise ValueError(f"is damaged or cut off: the number at byte {start} never ends")
