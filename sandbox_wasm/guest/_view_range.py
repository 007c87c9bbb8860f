"""A range of a file that stays on the host: its bytes, its characters, where its lines begin.

Offsets are those of bytes, in text too: where the characters of a file begin cannot be known
without reading all before them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import _slots
from ._lines import Text
from ._slots import ViewChangedError

WINDOW = 4 << 20
"""Bytes read at a time where all is gone through."""
MOST = 1 << 30
"""Bytes that one slice may take out: half of what one object of the sandbox can hold."""
LONGEST = 64 << 20
"""Bytes of a line that is looked at whole."""
_EDGE = 3  # bytes that a character may have before the one looked at


class FileRange:
    """Bytes of a file on the host, read when they are asked for.

    Args:
        id: by which the host knows the file.
        name: the file's.
        begin: where the range begins in the file.
        end: where it ends.
        encoding: of its text; None for bytes.
    """

    def __init__(self, id: str, name: str, begin: int, end: int, encoding: str | None) -> None:
        self._id = id
        self.name = name
        self._begin = begin
        self._end = end
        self._encoding = encoding

    @property
    def size(self) -> int:
        """The length in bytes."""
        return self._end - self._begin

    @property
    def begin(self) -> int:
        """Where this begins in its file, in bytes; 0 unless it is one of `parts()`."""
        return self._begin

    @property
    def binary(self) -> bool:
        """Whether it gives bytes and not text."""
        return self._encoding is None

    # Bytes ---------------------------------------------------------------------------------

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to before `stop`, both within the view.

        Raises:
            ViewChangedError: the file is no longer what it was.
            ViewError: it may no longer be read.
            MemoryError: they do not fit.
        """
        start, stop = max(0, start), min(stop, self.size)
        if stop <= start:
            return b""
        if stop - start > MOST:
            raise MemoryError(
                f"{stop - start:,} bytes of a view do not fit at once (at most {MOST:,}): go "
                "through it by lines, parts(n) or smaller slices"
            )
        data = _slots.read(self._id, self._begin + start, stop - start)
        if len(data) != stop - start:
            raise ViewChangedError(
                f"{self.name!r} is shorter than it was when the view was made: .refresh() takes "
                "it as it is now"
            )
        return data

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """The bytes of a range in pieces of 4 MB, each with its offset.

        A piece is wiped when the next one is asked for: do not keep it.
        """
        stop = self.size if stop is None else min(stop, self.size)
        for at in range(max(0, start), stop, WINDOW):
            data = self.read(at, min(at + WINDOW, stop))
            try:
                yield at, data
            finally:
                _slots.wipe(data)

    def line_blocks(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Whole lines of a range, some megabytes at a time, each piece with its offset.

        A line of more than 64 MB comes in pieces. `start` must be where a line begins.
        """
        stop = self.size if stop is None else min(stop, self.size)
        at, length = start, WINDOW
        while at < stop:
            data = self.read(at, min(at + length, stop))
            end = len(data)
            if at + end < stop:
                end = data.rfind(b"\n") + 1
                if not end and length < LONGEST:
                    length *= 4
                    continue
                end = end or len(data)
            yield at, data if end == len(data) else data[:end]
            _slots.wipe(data)
            at, length = at + end, WINDOW

    # Characters ----------------------------------------------------------------------------

    def decode(self, data: bytes) -> Text:
        """Bytes of this view as what it gives: text, or the bytes themselves."""
        if self._encoding is None:
            return data
        return data.decode(self._encoding, "replace")

    def encode(self, text: Any) -> bytes | None:
        """What is looked for as bytes of the file; None if it cannot be there."""
        if self._encoding is None:
            if not isinstance(text, bytes | bytearray):
                raise TypeError(f"a view of bytes is searched for bytes, not {_kind(text)}")
            return bytes(text)
        if not isinstance(text, str):
            raise TypeError(f"a view of text is searched for str, not {_kind(text)}")
        try:
            return text.encode(self._encoding)
        except UnicodeEncodeError:
            return None

    def text(self, start: int, stop: int) -> Text:
        """A slice as what the view gives, its ends moved back to where characters begin."""
        if stop <= start:
            return b"" if self.binary else ""
        if self._encoding != "utf-8":
            return self.decode(self.read(start, stop))
        first = max(0, start - _EDGE)
        data = self.read(first, min(stop + 1, self.size))
        low, high = _whole(data, start - first), _whole(data, stop - first)
        return self.decode(data[low:high])

    def character(self, at: int) -> int:
        """The offset at which the character that holds a byte begins."""
        if self._encoding != "utf-8" or not 0 < at < self.size:
            return at
        first = max(0, at - _EDGE)
        return first + _whole(self.read(first, at + 1), at - first)

    # The ends of lines ---------------------------------------------------------------------

    def line_start(self, at: int) -> int:
        """The offset at which the line that holds a byte begins."""
        step = 4096
        while at > 0:
            first = max(0, at - step)
            found = self.read(first, at).rfind(b"\n")
            if found >= 0:
                return first + found + 1
            at, step = first, min(step * 4, WINDOW)
        return 0

    def line_end(self, at: int) -> int:
        """The offset of the newline that ends the line of a byte, or the size."""
        step = 4096
        while at < self.size:
            found = self.read(at, at + step).find(b"\n")
            if found >= 0:
                return at + found
            at, step = at + step, min(step * 4, WINDOW)
        return self.size


def _whole(data: bytes, at: int) -> int:
    """An offset moved back to where the character of UTF-8 that holds it begins."""
    if at <= 0 or at >= len(data) or data[at] & 0xC0 != 0x80:
        return min(max(at, 0), len(data))
    for back in range(1, min(_EDGE, at) + 1):
        byte = data[at - back]
        if byte & 0xC0 != 0x80:
            length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return at - back if back < length else at
    return at


def _kind(value: object) -> str:
    return type(value).__name__
