"""`grep` over views: the lines that match, with what is around them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ._hits import Hit
from ._lines import Line, as_text, excerpt, pattern_of
from ._translate import translate
from ._view import FileView
from ._view_find import FIRST, Offsets, Row, across, clean, lines_that_may_match, searchable
from ._view_range import LONGEST

_LONG = 2_000  # characters of a line that is shown whole, as in `grep`


def grep(
    pattern: Any,
    view: FileView,
    where: str | int = "",
    *,
    context: int = 0,
    flags: int = 0,
    start: int = 0,
    stop: int | None = None,
    expect: int = FIRST,
    of: str = "",
) -> Iterator[Hit]:
    """The lines of a view that match, as `grep` gives those of a text.

    A match lies within a line, but may hold the line's end. Line numbers count from `start`,
    which must be where a line begins. `expect` is how many hits will be taken, `of` the variable.
    """
    stop = view.size if stop is None else stop
    wanted = pattern_of(pattern, b"" if view.binary else "", flags)
    told = translate(wanted)
    if told is None:
        yield from _grep_across(wanted, view, where, context, start, stop, of)
        return
    for row in lines_that_may_match(view, wanted, told, start, stop, expect):
        ended = row.start + len(row.data) < view.size
        text = searchable(view, row.data + b"\n" if ended else row.data)
        length = len(text) - 1 if ended else len(text)
        if length <= _LONG and not context and type(text) is str and text.isascii():
            # The way of nearly all lines, in few steps: thousands of hits are ordinary.
            first = wanted.search(text)
            if first is not None and (at := first.start()) <= length:
                shown = text[:length].removesuffix("\r")
                yield Hit(where, row.number, shown, row.start + at, of=of, view=view)
            continue
        offsets = Offsets(text, row.start, view._encoding == "utf-8")
        for match in wanted.finditer(text):
            if match.start() > length:
                break
            yield _hit(view, where, row, text[:length], match.start(), offsets, context, of)
            if length <= _LONG:
                break


def _grep_across(
    wanted: re.Pattern[Any],
    view: FileView,
    where: str | int,
    context: int,
    start: int,
    stop: int,
    of: str,
) -> Iterator[Hit]:
    """As `grep` for a pattern that names the line's end: the lines in which its matches begin."""
    number, counted, last = 1, start, -1
    ended = view.size > 0 and view.read(view.size - 1, view.size) == b"\n"
    for match in across(view, wanted, start, stop):
        if match.start() >= view.size and (ended or not view.size):
            return  # the empty rest after the last newline is no line
        begin, end = view.line_start(match.start()), view.line_end(match.start())
        number += sum(data.count(b"\n") for _, data in view.blocks(counted, begin))
        counted = begin
        if begin == last and end - begin <= _LONG:
            continue
        last = begin
        row = Row(number, begin, view.read(begin, min(end, begin + LONGEST)))
        text = searchable(view, row.data)
        at = len(searchable(view, row.data[: match.start() - begin]))
        offsets = Offsets(text, begin, view._encoding == "utf-8")
        yield _hit(view, where, row, text, at, offsets, context, of)


def _hit(
    view: FileView,
    where: str | int,
    row: Row,
    text: Any,
    at: int,
    offsets: Offsets,
    context: int,
    of: str,
) -> Hit:
    shown = clean(excerpt(text, Line(at, at, row.number, 0, len(text)), _LONG))
    before, after = _around(view, row, context) if context else ((), ())
    return Hit(where, row.number, shown, offsets.at(at), before, after, of=of, view=view)


def _around(view: FileView, row: Row, count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The lines before and after one, each cut."""
    before: list[str] = []
    after: list[str] = []
    begin, end = row.start, row.start + len(row.data)
    while begin > 0 and len(before) < count:
        stop = begin - 1
        begin = view.line_start(stop)
        before.append(_cut(view, begin, stop))
    while end < view.size - 1 and len(after) < count:
        begin = end + 1
        end = view.line_end(begin)
        after.append(_cut(view, begin, end))
    return tuple(before[::-1]), tuple(after)


def _cut(view: FileView, begin: int, end: int) -> str:
    shown = as_text(view.text(begin, min(end, begin + _LONG))).removesuffix("\r")
    return shown + "…" if end - begin > _LONG else shown
