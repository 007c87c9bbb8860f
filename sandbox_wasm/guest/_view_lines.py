"""The lines of a view as a sequence, and their numbers by the host's count of newlines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import _slots
from ._sample import positions
from ._view_range import FileRange


class Lines:
    """The lines of a view: `lines[5]`, `lines[-10:]`, `lines.count()`, counted from 0."""

    def __init__(self, view: FileRange) -> None:
        self._view = view

    def count(self) -> int:
        """How many there are; what follows the last newline is one unless it is empty."""
        view = self._view
        if not view.size:
            return 0
        newlines = self._newlines_before(view._end) - self._newlines_before(view._begin)
        return newlines + (0 if view.read(view.size - 1, view.size) == b"\n" else 1)

    def __len__(self) -> int:
        """How many there are."""
        return self.count()

    def __iter__(self) -> Iterator[Any]:
        """One after another, without their ends."""
        return self._between(0, self._view.size)

    def __repr__(self) -> str:
        """What it is."""
        return f"<lines of {self._view!r}>"

    def __getitem__(self, key: Any) -> Any:
        """A line, or for a slice a list of them."""
        view = self._view
        if isinstance(key, slice):
            start, stop, step = self._indices(key)
            if step != 1:
                return [self[number] for number in range(start, stop, step)]
            if stop <= start:
                return []
            return list(self._between(self.offset_of(start), self.offset_of(stop)))
        number = key.__index__()
        if number < 0:
            number += self.count()
        begin = self.offset_of(number) if number >= 0 else view.size
        if begin >= view.size:
            raise IndexError(f"line {key:,} is out of range: there are {self.count():,}, from 0")
        return self._line(begin, view.line_end(begin))

    def _indices(self, key: slice) -> tuple[int, int, int]:
        simple = key.step in (None, 1) and (key.stop is not None and key.stop >= 0)
        if simple and (key.start or 0) >= 0:
            return key.start or 0, key.stop, 1  # without counting all
        return key.indices(self.count())

    def head(self, count: int) -> list[Any]:
        """The first of them, without counting."""
        view = self._view
        found: list[Any] = []
        at = 0
        while len(found) < count and at < view.size:
            end = view.line_end(at)
            found.append(self._line(at, end))
            at = end + 1
        return found

    def tail(self, count: int) -> list[Any]:
        """The last of them, without counting."""
        view = self._view
        found: list[Any] = []
        end = view.size
        if end and view.read(end - 1, end) == b"\n":
            end -= 1
        while len(found) < count and end >= 0 and view.size:
            at = view.line_start(end)
            found.append(self._line(at, end))
            end = at - 1
        return found[::-1]

    def sample(self, count: int) -> list[Any]:
        """Some from everywhere, in their order; the same ones each time."""
        return [self[number] for number in positions(self.count(), count)]

    def _line(self, begin: int, end: int) -> Any:
        row = self._view.decode(self._view.read(begin, end))
        return row.removesuffix(b"\r" if self._view.binary else "\r")

    def _between(self, begin: int, end: int) -> Iterator[Any]:
        """The lines of a range, which begins where one does."""
        view = self._view
        newline, cr = (b"\n", b"\r") if view.binary else ("\n", "\r")
        for _, data in view.line_blocks(begin, end):
            rows = view.decode(data).split(newline)
            if not rows[-1]:
                rows.pop()
            for row in rows:
                yield row.removesuffix(cr)

    # Numbers and offsets -------------------------------------------------------------------

    def number_at(self, offset: int) -> int:
        """The number of the line that holds a byte, from 0."""
        view = self._view
        if not 0 <= offset <= view.size:
            raise IndexError(f"offset {offset:,} is out of range: 0 to {view.size:,}")
        return self._newlines_before(view._begin + offset) - self._newlines_before(view._begin)

    def offset_of(self, number: int) -> int:
        """The offset at which a line begins, from 0; the size where there are fewer."""
        view = self._view
        first = self._newlines_before(view._begin)
        return max(0, min(self._after_newline(first + number), view._end) - view._begin)

    def before(self) -> int:
        """Lines of the file before those of the view."""
        return self._newlines_before(self._view._begin)

    def _newlines_before(self, at: int) -> int:
        """Newlines of the file before an offset of the file."""
        if not at:
            return 0
        id = self._view._id
        size = _slots.block_size(id)
        block = at // size
        known = _slots.read_index(id, block - 1) if block else 0
        rest = _slots.read(id, block * size, at - block * size) if at % size else b""
        return known + rest.count(b"\n")

    def _after_newline(self, number: int) -> int:
        """The offset of the file after its newline of a number, counted from 1; 0 for 0."""
        if not number:
            return 0
        id, file_end = self._view._id, self._view._end
        size = _slots.block_size(id)
        low, high = 0, file_end // size  # whole blocks; the newline is in the first with enough
        while low < high:
            middle = (low + high) // 2
            if _slots.read_index(id, middle) >= number:
                high = middle
            else:
                low = middle + 1
        at = low * size
        missing = number - (_slots.read_index(id, low - 1) if low else 0)
        data = _slots.read(id, at, min(size, file_end - at)) if at < file_end else b""
        found = -1
        for _ in range(missing):
            found = data.find(b"\n", found + 1)
            if found < 0:
                return file_end
        return at + found + 1
