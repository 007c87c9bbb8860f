"""Lines of a text by offset, number and pattern, without ever splitting it.

A text of 100 MB stays one object: a regular expression runs over it once, and line numbers are
counted from match to match. Lines count from 1, offsets from 0.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ._kinds import base_of

_BLOCK = 1 << 20

Text = Any  # str, bytes or bytearray; typing.AnyStr cannot say "the same as the pattern"


class Line(NamedTuple):
    """A match and the line it begins in, as offsets; `number` is 1-based."""

    start: int
    end: int
    number: int
    line_start: int
    line_end: int


def is_text(value: object) -> bool:
    """Whether the value is a str, bytes or bytearray, or derived from one."""
    return base_of(value) in (str, bytes, bytearray)


def plain(text: Text) -> Text:
    """The same text without the methods of a subclass; of a bytearray a copy as bytes."""
    base = base_of(text)
    if base is str or base is bytes:
        return text if type(text) is base else base.__getitem__(text, slice(None))
    return bytes(bytearray.__getitem__(text, slice(None)))


def as_text(piece: Text) -> str:
    """Text to show of a piece of str or bytes."""
    return piece if isinstance(piece, str) else bytes(piece).decode("utf-8", "backslashreplace")


def newline_of(text: Text) -> Text:
    """The newline that this kind of text is searched with."""
    return "\n" if isinstance(text, str) else b"\n"


def line_count(text: Text) -> int:
    """The number of lines; what follows the last newline is one unless it is empty."""
    newline = newline_of(text)
    ended = not text or text.endswith(newline)
    return int(text.count(newline)) + (0 if ended else 1)


def offset_of_line(text: Text, number: int, origin: int = 0) -> int:
    """The offset at which the line with this number begins, line 1 being at `origin`.

    The length of the text, when it has fewer lines.
    """
    newline = newline_of(text)
    position, missing = origin, number - 1
    while missing > 0 and position < len(text):
        found = text.count(newline, position, position + _BLOCK)
        if found < missing:
            position, missing = position + _BLOCK, missing - found
            continue
        for _ in range(missing):
            position = text.find(newline, position) + 1
        return position
    return min(position, len(text))


def compiled(pattern: Any, text: Text, flags: int = 0) -> re.Pattern[Any]:
    """The pattern for this kind of text, with `^` and `$` at every line as grep has it."""
    binary = not isinstance(text, str)
    if isinstance(pattern, re.Pattern):
        flags |= pattern.flags & ~(re.UNICODE | re.DEBUG)
        pattern = pattern.pattern
    if binary and isinstance(pattern, str):
        pattern = pattern.encode("utf-8", "surrogatepass")
        flags &= ~re.UNICODE
    elif not binary and not isinstance(pattern, str):
        pattern = bytes(pattern).decode("utf-8", "surrogateescape")
        flags &= ~re.LOCALE
    return re.compile(pattern, flags | re.MULTILINE)


def pattern_of(pattern: Any, text: Text, flags: int = 0) -> re.Pattern[Any]:
    """As `compiled`, with an error for who wrote the pattern.

    Raises:
        ValueError: it is no regular expression.
    """
    try:
        return compiled(pattern, text, flags)
    except re.error as error:
        hint = "for a literal text use re.escape(text)"
        raise ValueError(f"{pattern!r:.200} is no regular expression: {error}; {hint}") from None


def scan(
    pattern: re.Pattern[Any], text: Text, start: int = 0, stop: int | None = None
) -> Iterator[Line]:
    """Every match of the pattern with its line. The cost of lines is one pass in all."""
    newline = newline_of(text)
    size = len(text)
    stop = size if stop is None else stop
    number, counted, line_start, line_end = 1, 0, 0, -1
    for match in pattern.finditer(text, start, stop):
        begin, end = match.span()
        if begin == end == size and (not size or text.endswith(newline)):
            return  # the empty rest after the last newline is no line
        if begin > line_end:
            line_start = text.rfind(newline, counted, begin) + 1
            number += text.count(newline, counted, begin)
            counted = begin
            line_end = text.find(newline, begin)
            line_end = size if line_end < 0 else line_end
        yield Line(begin, end, number, line_start, line_end)


def excerpt(text: Text, line: Line, room: int) -> str:
    """The line of a match without its end; of a long line what is around the match."""
    begin, end = line.line_start, line.line_end
    if end - begin <= room:
        return as_text(text[begin:end]).removesuffix("\r")
    begin = max(begin, min(line.start - room // 3, end - room))
    end = min(end, begin + room)
    cut = as_text(text[begin:end]).removesuffix("\r")
    return ("…" if begin > line.line_start else "") + cut + ("…" if end < line.line_end else "")


def neighbours(text: Text, line: Line, count: int, room: int) -> tuple[list[str], list[str]]:
    """Up to `count` lines before and after the line of a match, each cut to `room`."""
    newline = newline_of(text)
    before: list[str] = []
    after: list[str] = []
    begin, end = line.line_start, line.line_end
    while begin > 0 and len(before) < count:
        stop, begin = begin - 1, text.rfind(newline, 0, begin - 1) + 1
        before.append(_cut(text, begin, stop, room))
    while end < len(text) - 1 and len(after) < count:
        begin, end = end + 1, text.find(newline, end + 1)
        end = len(text) if end < 0 else end
        after.append(_cut(text, begin, end, room))
    return before[::-1], after


def _cut(text: Text, begin: int, end: int, room: int) -> str:
    cut = as_text(text[begin : min(end, begin + room)]).removesuffix("\r")
    return cut + "…" if end - begin > room else cut
