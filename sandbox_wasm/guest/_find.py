"""Searching and cutting text: `grep`, `lines` and `chunks` for guest code.

All of it works on offsets in the whole text. A text of 100 MB is never split into lines: the
regular expression runs over it once, and line numbers are counted from hit to hit.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from ._preview import base_of, clip, escape, short, type_name

_SHOWN = 20  # hits that an echoed list shows
_LINE = 300  # characters of a hit when shown
_LONG = 2_000  # a longer line is kept as an excerpt around the match
_BLOCK = 1 << 20

Text = Any  # str, bytes or bytearray; typing.AnyStr cannot say "the same as the pattern"


class Line(NamedTuple):
    """A match and the line it begins in, as offsets; `number` is 1-based."""

    start: int
    end: int
    number: int
    line_start: int
    line_end: int


@dataclass(frozen=True, slots=True)
class Hit:
    """One line that matched. `start` is the offset of the match in the text of `where`."""

    where: str | int
    line: int
    text: str
    start: int
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def __str__(self) -> str:
        """`path:12: text`, with the context lines as grep writes them."""
        where = f"[{self.where}]" if isinstance(self.where, int) else self.where
        first = self.line - len(self.before)
        rows = [(first + i, "-", row) for i, row in enumerate(self.before)]
        rows.append((self.line, ":", self.text))
        rows += [(self.line + 1 + i, "-", row) for i, row in enumerate(self.after)]
        return "\n".join(
            clip(
                escape(
                    f"{where}{mark}{number}{mark} {row}" if where != "" else f"{number}{mark} {row}"
                ),
                _LINE,
            )
            for number, mark, row in rows
        )


class Hits(list[Hit]):
    """What `grep` found. Echoed, it shows the first hits and the total."""

    complete: bool = True

    def __repr__(self) -> str:
        """The first 20 hits, and how many there are."""
        total = f"{len(self):,} hit{'' if len(self) == 1 else 's'}"
        if not self.complete:
            total = f"first {total} (there are more: raise max_hits)"
        shown = [str(hit) for hit in list(self)[:_SHOWN]]
        if len(self) > len(shown):
            shown.append(f"... {len(self) - len(shown):,} more: hits[{len(shown)}:]")
        return "\n".join([total, *shown])

    __str__ = __repr__


def plain(text: Text) -> Text:
    """The same text without the methods of a subclass."""
    base = base_of(text)
    if base is str or base is bytes:
        return text if type(text) is base else base.__getitem__(text, slice(None))
    return bytes(bytearray.__getitem__(text, slice(None)))


def is_text(value: object) -> bool:
    """Whether the value is a str, bytes or bytearray, or derived from one."""
    return base_of(value) in (str, bytes, bytearray)


def as_text(piece: Text) -> str:
    """Text to show of a piece of str or bytes."""
    return piece if isinstance(piece, str) else bytes(piece).decode("utf-8", "backslashreplace")


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


def scan(
    pattern: re.Pattern[Any], text: Text, start: int = 0, stop: int | None = None
) -> Iterator[Line]:
    """Every match of the pattern with its line. The cost of lines is one pass in all."""
    newline = "\n" if isinstance(text, str) else b"\n"
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
    newline = "\n" if isinstance(text, str) else b"\n"
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


def documents(target: Any) -> Iterator[tuple[str | int, Any]]:
    """The texts of a target with their names: "" for a text, else a path or an index."""
    base: Any = base_of(target)
    if is_text(target):
        yield "", target
    elif base is dict:
        for key, value in dict.items(target):
            yield key if type(key) is str else short(key, 200), value
    elif base is list or base is tuple:
        yield from enumerate(base.__iter__(target))
    else:
        raise TypeError(
            "the target must be a str, bytes, a list of str or a dict of path to str, "
            f"not {type_name(type(target))}"
        )


def grep(
    pattern: str | bytes | re.Pattern[Any],
    target: Any,
    context: int = 0,
    ignore_case: bool = False,
    max_hits: int = 1000,
) -> Hits:
    """Find the lines that match a regular expression, as a list of `Hit(where, line, text, start)`.

    The target is a str, bytes, a list of str or a dict of path to str; `where` is the path, the
    index or "". A line counts once, however often it matches; in a line of more than 2,000
    characters each match counts, and `text` is an excerpt.
    """
    hits = Hits()
    cache: dict[bool, re.Pattern[Any]] = {}
    for where, value in documents(target):
        if not is_text(value):
            raise TypeError(
                f"grep searches text; the value at {short(where, 80)} is {type_name(type(value))}: "
                "pass a list of str or a dict of path to str"
            )
        text = plain(value)
        binary = not isinstance(text, str)
        if binary not in cache:
            cache[binary] = compiled(pattern, text, re.IGNORECASE if ignore_case else 0)
        last = -1
        for line in scan(cache[binary], text):
            if line.line_start == last and line.line_end - line.line_start <= _LONG:
                continue
            if len(hits) >= max_hits:
                hits.complete = False
                return hits
            last = line.line_start
            before, after = neighbours(text, line, context, _LONG)
            shown = excerpt(text, line, _LONG)
            hits.append(Hit(where, line.number, shown, line.start, tuple(before), tuple(after)))
    return hits


def offset_of_line(text: Text, number: int, origin: int = 0) -> int:
    """The offset at which the line with this number begins, line 1 being at `origin`.

    The length of the text, when it has fewer lines.
    """
    newline = "\n" if isinstance(text, str) else b"\n"
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


def lines(text: Any, start: int = 1, stop: int | None = None) -> list[str]:
    """Lines `start` to `stop`, both included and counted from 1 as in a `Hit`, without their ends.

    A negative `start` counts from the end: `lines(text, -5)` is the last five.
    """
    if base_of(text) in (list, tuple):
        text = "\n".join(text)
    if not is_text(text):
        raise TypeError(f"lines() takes text or a list of lines, not {type_name(type(text))}")
    text = plain(text)
    newline = "\n" if isinstance(text, str) else b"\n"
    if start < 0 or (stop is not None and stop < 0):
        total = text.count(newline) + (1 if text and not text.endswith(newline) else 0)
        start = max(1, start + total + 1) if start < 0 else start
        stop = stop + total + 1 if stop is not None and stop < 0 else stop
    if stop is not None and stop < start:
        return []
    begin = offset_of_line(text, start)
    end = len(text) if stop is None else offset_of_line(text, stop - max(start, 1) + 2, begin)
    rows = as_text(text[begin:end]).split("\n")
    if rows[-1] == "":
        rows.pop()
    return [row.removesuffix("\r") for row in rows]


def chunks(target: Any, size: int = 100_000, overlap: int = 0, by: str = "lines") -> list[str]:
    """Cut a text into pieces of at most `size` characters, at the ends of lines or paragraphs.

    `by` is lines, paragraphs or chars. A line or paragraph longer than `size` is cut inside it.
    Each piece repeats up to `overlap` characters of the one before; without overlap the pieces
    joined are the text. A list of str is taken as lines, a dict of path to str as one text in
    which each file follows a line `=== path ===`.
    """
    if by not in ("lines", "paragraphs", "chars"):
        raise ValueError(f"by={by!r}: use 'lines', 'paragraphs' or 'chars'")
    if size < 1 or not 0 <= overlap < size:
        raise ValueError(f"size={size}, overlap={overlap}: size must be above overlap, both >= 0")
    if is_text(target):
        text = as_text(plain(target))
    elif base_of(target) is dict:
        files = documents(target)
        text = "\n".join(f"=== {path} ===\n{as_text(plain(body))}" for path, body in files)
    else:
        text = "\n".join(as_text(plain(body)) for _, body in documents(target))
    pieces: list[str] = []
    begin = 0
    while begin < len(text):
        end = min(begin + size, len(text))
        if end < len(text) and by != "chars":
            end = _boundary(text, begin + overlap, end, by)
        pieces.append(text[begin:end])
        if end == len(text):
            break
        following = max(end - overlap, begin + 1)
        if overlap and by != "chars":
            # Begin at a line, unless the overlap holds no whole one.
            aligned = text.find("\n", following - 1, end - 1) + 1
            following = aligned or following
        begin = following
    return pieces


def _boundary(text: str, begin: int, end: int, by: str) -> int:
    for mark in ("\n\n", "\n") if by == "paragraphs" else ("\n",):
        found = text.rfind(mark, begin, end)
        if found >= 0:
            return found + len(mark)
    return end
