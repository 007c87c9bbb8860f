"""The pieces of a view, cut when they are asked for."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import SupportsIndex, overload

from ._boundaries import boundary, end_of_tokens, following, headings
from ._chunk import Chunk, Span
from ._hits import shown
from ._lines import as_text
from ._view import FileView
from ._view_bytes import text_of, width

_FUNCTIONS = (
    "by='functions' parses a text as a whole: chunks(view.to_str(), by='functions') where it fits, "
    "else cut the view by 'lines' or 'paragraphs'"
)


@shown
class ViewChunks:
    """The pieces of a view as a sequence: index it, slice it, go through it.

    It holds where the pieces begin and end, as far as they were asked for; `len` and negative
    indexes look for all of them. Each piece is read when it is taken.
    """

    def __init__(self, view: FileView, size: int, overlap: int, by: str, of: str) -> None:
        if by == "functions":
            raise ValueError(_FUNCTIONS)
        if by == "headings" and overlap:
            raise ValueError(f"overlap={overlap}: pieces by headings do not overlap; leave it out")
        self._view, self._size, self._overlap, self._by, self._of = view, size, overlap, by, of
        self._begins, self._ends = array("Q"), array("Q")
        self._next = 0  # where the piece after those begins
        # Where sections begin, and their headings; None until they are looked for.
        self._sections: tuple[list[int], list[str]] | None = None

    def __len__(self) -> int:
        """How many pieces there are; goes through all of the view."""
        while self._more():
            pass
        return len(self._begins)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self._view.size > 0

    def __iter__(self) -> Iterator[Chunk]:
        """One piece after another; only the one at hand is held."""
        number, line, counted = 0, 1, 0
        while number < len(self._begins) or self._more():
            begin = self._begins[number]
            line += self._newlines(counted, begin)
            counted = begin
            yield self._piece(number, line)
            number += 1

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Chunk: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[Chunk]: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> Chunk | list[Chunk]:
        """A piece, or for a slice a list of them."""
        if isinstance(index, slice):
            ends = (index.start, index.stop)
            if all(end is not None and end >= 0 for end in ends[1:]) and (index.start or 0) >= 0:
                self._cut(index.stop)
                count = len(self._begins)
            else:
                count = len(self)
            return [self._at(number) for number in range(*index.indices(count))]
        number = index.__index__()
        if number < 0:
            number += len(self)
        self._cut(number + 1)
        if not 0 <= number < len(self._begins):
            raise IndexError(f"piece {index} is out of range: there are {len(self):,}, from 0")
        return self._at(number)

    def __repr__(self) -> str:
        """What they are."""
        unit = "tokens" if self._by == "tokens" else "bytes"
        return (
            f"<pieces of {self._view!r} by {self._by}, up to {self._size:,} {unit}: index, slice "
            "or go through them; len() reads all of the view>"
        )

    __str__ = __repr__

    def _at(self, number: int) -> Chunk:
        return self._piece(number, self._view.line_at(self._begins[number]))

    def _piece(self, number: int, line: int) -> Chunk:
        begin, end = self._begins[number], self._ends[number]
        text = as_text(self._view.text(begin, end))
        last = line + text.count("\n", 0, max(len(text) - 1, 0))
        return Chunk(text, (Span("", line, last),), begin, self._section_of(begin)[1], self._of)

    def _newlines(self, begin: int, end: int) -> int:
        return sum(data.count(b"\n") for _, data in self._view.blocks(begin, end))

    def _cut(self, count: int) -> None:
        """Cut until there are so many pieces."""
        while len(self._begins) < count and self._more():
            pass

    def _more(self) -> bool:
        """Cut one more piece; False at the end."""
        begin = self._next
        if begin >= self._view.size:
            return False
        stop, _ = self._section_of(begin)
        end, self._next = self._step(begin, stop)
        self._begins.append(begin)
        self._ends.append(end)
        return True

    def _step(self, begin: int, stop: int) -> tuple[int, int]:
        """Where the piece that begins here ends, and where the one after it begins."""
        view, size, overlap = self._view, self._size, self._overlap
        # A token has at least a byte, and of text about four characters.
        room = size * 4 if self._by == "tokens" else size
        high = view.character(min(begin + room, stop))
        if high <= begin:  # less than a character of several bytes
            high = next(
                (at for n in (2, 3) if (at := view.character(begin + n)) > begin), begin + 4
            )
            high = min(high, stop)
        text = text_of(view, view.read(begin, high))
        end = len(text)
        by = "paragraphs" if self._by == "headings" else self._by
        if by == "tokens":
            end = end_of_tokens(text, 0, size)
            overlap = min(end * overlap // size, end - 1)
        overlap = min(overlap, end - 1)
        if (high < stop or end < len(text)) and by != "chars":
            end = boundary(text, overlap, end, "lines" if by == "tokens" else by)
        if high >= stop and end == len(text):
            return stop, stop
        after = following(text, 0, end, overlap, by != "chars")
        return begin + width(view, text[:end]), begin + width(view, text[:after])

    def _section_of(self, at: int) -> tuple[int, str]:
        """The end and the heading of the section that holds a byte."""
        if self._by != "headings":
            return self._view.size, ""
        begins, titles = self._sections or self._look_for_sections()
        number = bisect_right(begins, at)
        end = begins[number] if number < len(begins) else self._view.size
        return end, titles[number - 1] if number else ""

    def _look_for_sections(self) -> tuple[list[int], list[str]]:
        found = headings(_rows(self._view))
        self._sections = [begin for begin, _ in found], [title for _, title in found]
        return self._sections


def _rows(view: FileView) -> Iterator[tuple[int, str]]:
    """The lines of a view with their offsets."""
    for at, data in view.line_blocks():
        begin = at
        for row in data.removesuffix(b"\n").split(b"\n"):
            yield begin, text_of(view, row)
            begin += len(row) + 1
