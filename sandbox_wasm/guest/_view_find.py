"""Searching views: on the host where a line can be told from the next, else window by window.

The host's search program finds lines in which there may be a match, and `re` says here whether
there is one, so that what a pattern means is what it means in Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from . import _slots
from ._slots import FOUND
from ._translate import Translation, literal, translate
from ._view_range import LONGEST, WINDOW, FileRange

HOST = 8 << 20
"""Bytes from which on the host searches; starting the program takes as long as searching some
megabytes here (a guess)."""
MARGIN = 1 << 20
"""Bytes that a match over lines may have."""
FIRST, _MORE, _MOST = 1_000, 10, 200_000
"""Lines that are asked for at once, and how that grows."""
_OMITTED = (b"[Omitted long line", b"[Omitted long matching line]")


class _UnableError(Exception):
    """The host cannot search for this."""


class Row(NamedTuple):
    """A line: its number from 1, its offset, and its bytes without the newline."""

    number: int
    start: int
    data: bytes


class Offsets:
    """Offsets of bytes for offsets in the text of a piece of a view, asked for in order."""

    def __init__(self, text: Any, base: int, wide: bool) -> None:
        self.text = text
        self._wide = wide and not text.isascii()
        self._at, self._byte = 0, base

    def at(self, position: int) -> int:
        """The offset of a character; never before the one asked for last."""
        self._byte += self.between(self._at, position)
        self._at = position
        return self._byte

    def between(self, begin: int, end: int) -> int:
        """How many bytes lie between two characters; negative when they are the other way."""
        if not self._wide:
            return end - begin
        if end < begin:
            return -self.between(end, begin)
        return len(self.text[begin:end].encode("utf-8", "surrogateescape"))


class Match:
    """A match in a view: `group`, `groups`, `span` and so on as `re.Match` has them.

    Offsets are those of bytes in the view.
    """

    def __init__(self, match: re.Match[Any], offsets: Offsets) -> None:
        self.re = match.re
        self._groups = tuple(map(clean, (match.group(), *match.groups())))
        self._names = {name: clean(text) for name, text in match.groupdict().items()}
        first = match.start()
        base = offsets.at(first)
        self._spans = []
        for number in range(len(self._groups)):
            begin, end = (base + offsets.between(first, at) for at in match.span(number))
            self._spans.append((begin, end) if match.start(number) >= 0 else (-1, -1))

    def group(self, *which: int | str) -> Any:
        """What a group matched, or several as a tuple; all of it for none."""
        found = tuple(self[key] for key in which or (0,))
        return found[0] if len(found) == 1 else found

    def groups(self, default: Any = None) -> tuple[Any, ...]:
        """What the groups matched."""
        return tuple(default if text is None else text for text in self._groups[1:])

    def groupdict(self, default: Any = None) -> dict[str, Any]:
        """What the named groups matched."""
        return {k: default if text is None else text for k, text in self._names.items()}

    def __getitem__(self, key: int | str) -> Any:
        """What a group matched."""
        return self._names[key] if isinstance(key, str) else self._groups[key]

    def span(self, group: int = 0) -> tuple[int, int]:
        """Where a group matched, in bytes."""
        return self._spans[group]

    def start(self, group: int = 0) -> int:
        """Where a group begins, in bytes."""
        return self._spans[group][0]

    def end(self, group: int = 0) -> int:
        """Where a group ends, in bytes."""
        return self._spans[group][1]

    def __repr__(self) -> str:
        """As `re.Match` shows itself."""
        return f"<Match of a view; span={self.span()}, match={self.group()!r:.60}>"


def clean(text: Any) -> Any:
    """What matched, with U+FFFD for bytes that are no text."""
    if not isinstance(text, str) or text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def searchable(view: FileRange, data: bytes) -> Any:
    """Bytes as what patterns are matched against: each byte that is no text is a character."""
    if view._encoding is None:
        return data
    if data.isascii():
        return data.decode("ascii")
    if view._encoding == "utf-8":
        return data.decode("utf-8", "surrogateescape")
    return data.decode(view._encoding, "replace")


# Plain text ------------------------------------------------------------------------------------


def find(view: FileRange, what: Any, start: int, stop: int) -> int:
    """See `FileView.find`."""
    wanted = view.encode(what)
    if wanted is None or stop - start < len(wanted):
        return -1
    if not wanted:
        return start
    for row in _rows_with(view, wanted, start, stop):
        found = row.data.find(wanted)
        if found >= 0:
            return row.start + found
    return -1


def count(view: FileRange, what: Any, start: int, stop: int) -> int:
    """See `FileView.count`."""
    wanted = view.encode(what)
    if wanted is None:
        return 0
    if not wanted:
        raise ValueError("an empty text is everywhere: it cannot be counted in a view")
    return sum(row.data.count(wanted) for row in _rows_with(view, wanted, start, stop))


def rfind(view: FileRange, what: Any, start: int, stop: int) -> int:
    """See `FileView.rfind`."""
    wanted = view.encode(what)
    if wanted is None or stop - start < len(wanted):
        return -1
    end = stop
    while end > start:
        begin = max(start, end - WINDOW)
        data = view.read(begin, min(stop, end + len(wanted) - 1))
        found = data.rfind(wanted)
        _slots.wipe(data)
        if found >= 0:
            return begin + found
        end = begin
    return -1


def _rows_with(view: FileRange, wanted: bytes, start: int, stop: int) -> Iterator[Row]:
    """Pieces of a range that hold some bytes, none of which lies across two pieces."""
    at = start
    if b"\n" not in wanted and _on_host(view, start, stop):
        try:
            pattern = literal(wanted if view.binary else wanted.decode())
            for row in _host_rows(view, pattern, start, stop):
                if len(row.data) < LONGEST:
                    yield row
                else:
                    end = min(view.line_end(row.start), stop)
                    yield from _windows_with(view, wanted, row.start, end)
                at = row.start + len(row.data)
            return
        except _UnableError:
            pass
    yield from _windows_with(view, wanted, at, stop)


def _windows_with(view: FileRange, wanted: bytes, start: int, stop: int) -> Iterator[Row]:
    at, length = start, max(WINDOW, 2 * len(wanted))
    while at < stop:
        data = view.read(at, min(at + length, stop))
        end = len(data)
        if at + end < stop:
            # What is found does not overlap with itself, so the next window begins after it.
            used = 0
            while (found := data.find(wanted, used)) >= 0:
                used = found + len(wanted)
            end = max(used, len(data) - len(wanted) + 1)
        yield Row(0, at, data[:end] if end < len(data) else data)
        _slots.wipe(data)
        at += end


# Regular expressions ---------------------------------------------------------------------------


def finditer(view: FileRange, pattern: Any, start: int, stop: int) -> Iterator[Match]:
    """See `FileView.finditer`."""
    wanted = pattern if isinstance(pattern, re.Pattern) else re.compile(pattern)
    if isinstance(wanted.pattern, bytes) != view.binary:
        kind = "bytes" if view.binary else "str"
        raise TypeError(f"a view of {kind} is searched with a pattern of {kind}")
    told = translate(wanted)
    if told is None or told.crosses:
        yield from across(view, wanted, start, stop)
        return
    for row in lines_that_may_match(view, wanted, told, view.line_start(start), stop):
        ended = row.start + len(row.data) < view.size
        text = searchable(view, row.data + b"\n" if ended else row.data)
        room = len(text) - 1 if ended else len(text)
        offsets = Offsets(text, row.start, view._encoding == "utf-8")
        for match in wanted.finditer(text):
            if match.start() > room:
                break
            found = Match(match, offsets)
            if found.start() >= start and found.end() <= stop:
                yield found
    if stop == view.size and (not stop or view.read(stop - 1, stop) == b"\n"):
        # The empty rest after the last newline is no line, but `re` looks there too.
        text = searchable(view, b"\n" if stop else b"")
        offsets = Offsets(text, max(0, stop - 1), wide=False)
        for match in wanted.finditer(text):
            if match.start() == len(text):
                yield Match(match, offsets)


def across(view: FileRange, pattern: re.Pattern[Any], start: int, stop: int) -> Iterator[Match]:
    """Matches that may reach over lines: window by window.

    A window has `MARGIN` bytes before and after the part in which matches begin, for what a
    pattern looks at around them. A match that ends where its window does is looked for again in
    a larger one.
    """
    at, length = start, WINDOW
    while at <= stop:
        begin = view.character(max(0, at - MARGIN))
        end = view.character(min(at + length + MARGIN, view.size))
        data = view.read(begin, end)
        whole = end == view.size
        edge = stop + 1 if whole else min(at + length, stop + 1)
        position = len(searchable(view, data[: at - begin]))
        text = searchable(view, data)
        _slots.wipe(data)
        offsets = Offsets(text, begin, view._encoding == "utf-8")
        again = False
        for match in pattern.finditer(text, position):
            found = Match(match, offsets)
            if found.start() >= edge or found.end() > stop:
                break
            if match.end() == len(text) and not whole and length < LONGEST:
                again = True
                break
            yield found
            at = found.end()
        if again:
            length *= 4
            continue
        if whole:
            return
        at, length = max(at, view.character(edge)), WINDOW


def lines_that_may_match(
    view: FileRange,
    wanted: re.Pattern[Any],
    told: Translation,
    start: int,
    stop: int,
    first: int = FIRST,
) -> Iterator[Row]:
    """Lines, of which none that has a match is left out; numbers count from `start`.

    Args:
        view: what is searched.
        wanted: the pattern.
        told: the same for the host.
        start: where a line begins.
        stop: where to end.
        first: how many lines the host is asked for at first.
    """
    number, at = 0, start
    if _on_host(view, start, stop):
        try:
            for row in _host_rows(view, told.text, start, stop, first):
                yield row
                number, at = row.number, row.start + len(row.data) + 1
            return
        except _UnableError:
            pass
    for begin, data in view.line_blocks(at, stop):
        if told.crosses:
            yield from _lines(data, begin, number)
        else:
            yield from _lines_with(view, data, begin, number, wanted)
        number += data.count(b"\n")


def _lines(data: bytes, begin: int, number: int) -> Iterator[Row]:
    """All lines of a block."""
    at = 0
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        number += 1
        yield Row(number, begin + at, data[at:end])
        at = end + 1


def _lines_with(
    view: FileRange, data: bytes, begin: int, number: int, wanted: re.Pattern[Any]
) -> Iterator[Row]:
    """The lines of a block with a match that does not reach over them."""
    text = searchable(view, data)
    offsets = Offsets(text, 0, view._encoding == "utf-8")
    newline = b"\n" if view.binary else "\n"
    position = counted = 0
    while position < len(text) and (match := wanted.search(text, position)) is not None:
        start = text.rfind(newline, position, match.start()) + 1 or position
        end = text.find(newline, match.start())
        end = len(text) if end < 0 else end
        if start >= len(text):
            return
        low, high = offsets.at(start), 0
        high = low + offsets.between(start, end)
        number += data.count(b"\n", counted, low)
        counted = low
        yield Row(number + 1, begin + low, data[low:high])
        position = end + 1


def _on_host(view: FileRange, start: int, stop: int) -> bool:
    return stop - start >= HOST and view._encoding in (None, "utf-8")


def _host_rows(
    view: FileRange, pattern: str, start: int, stop: int, most: int = FIRST
) -> Iterator[Row]:
    """The lines that the host's search program finds.

    Raises:
        _UnableError: it cannot search for this; what it gave before that is right.
    """
    first, last = view._begin + start, view._begin + stop
    at, number = first, 0
    most = max(1, min(most, _MOST))
    while at < last:
        answer = _slots.ask(
            "view_find", id=view._id, slot=FOUND, pattern=pattern, begin=at, end=last, most=most
        )
        if "unable" in answer:
            raise _UnableError(answer["unable"])
        data = _slots.read_found(answer["size"])
        rows = data.split(b"\n")
        rows.pop()  # empty, or cut where the output was full
        _slots.wipe(data)
        following, numbered = last, number
        for row in rows:
            count, offset, text = row.split(b":", 2)
            begin, numbered = at + int(offset), number + int(count)
            if begin >= last:
                return
            place = begin - view._begin
            following = begin + len(text) + 1
            if text.startswith(_OMITTED):
                end = view.line_end(place)
                following = view._begin + end + 1
                text = view.read(place, min(end, place + LONGEST))
            yield Row(numbered, place, text[: last - begin])
        if len(rows) < most and not answer["cut"]:
            return
        if not rows:
            raise _UnableError("a line is too long")
        at, number, most = following, numbered, min(most * _MORE, _MOST)
