"""Searching and cutting text: `grep`, `lines` and `chunks` for guest code."""

import re
from collections.abc import Iterator
from typing import Any

from ._hits import Hit, Hits
from ._kinds import base_of, type_name
from ._lines import (
    as_text,
    compiled,
    excerpt,
    is_text,
    line_count,
    neighbours,
    offset_of_line,
    plain,
    scan,
)
from ._render import short
from ._view import is_view
from ._view_find import grep as grep_view

_LONG = 2_000  # a longer line is kept as an excerpt around the match


def documents(target: Any) -> Iterator[tuple[str | int, Any]]:
    """The texts of a target with their names: "" for a text, else a path or an index."""
    base: Any = base_of(target)
    if is_text(target) or is_view(target):
        yield "", target
    elif base is dict:
        for key, value in dict.items(target):
            yield key if type(key) is str else short(key, 200), value
    elif base is list or base is tuple:
        yield from enumerate(base.__iter__(target))
    else:
        raise TypeError(
            "the target must be a str, bytes, a view, a list of str or a dict of path to str, "
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

    The target is a str, bytes, a view, a list of str or a dict of path to str; `where` is the
    path, the index or "". A line counts once, however often it matches; in a line of more than
    2,000 characters each match counts, and `text` is an excerpt.
    """
    hits = Hits()
    cache: dict[bool, re.Pattern[Any]] = {}
    for where, value in documents(target):
        if is_view(value):
            flags = re.IGNORECASE if ignore_case else 0
            left = max_hits - len(hits)
            found = grep_view(pattern, value, where, context=context, flags=flags, expect=left + 1)
            for hit in found:
                if len(hits) >= max_hits:
                    hits.complete = False
                    return hits
                hits.append(hit)
            continue
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


def lines(text: Any, start: int = 1, stop: int | None = None) -> list[str]:
    """Lines `start` to `stop`, both included and counted from 1 as in a `Hit`, without their ends.

    A negative `start` counts from the end: `lines(text, -5)` is the last five.
    """
    if is_view(text):
        return _view_lines(text, start, stop)
    if base_of(text) in (list, tuple):
        text = "\n".join(text)
    if not is_text(text):
        raise TypeError(f"lines() takes text or a list of lines, not {type_name(type(text))}")
    text = plain(text)
    if start < 0 or (stop is not None and stop < 0):
        total = line_count(text)
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


def _view_lines(view: Any, start: int, stop: int | None) -> list[str]:
    first = start - 1 if start > 0 else start or 0
    last = None if stop is None or stop == -1 else stop if stop >= 0 else stop + 1
    return [as_text(row) for row in view.lines[first:last]]


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
    if is_view(target):
        raise TypeError("a view is too large for a list of chunks: use view.parts(n), or a slice")
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
