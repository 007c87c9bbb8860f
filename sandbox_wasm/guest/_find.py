"""Searching text and taking lines from it: `grep` and `lines` for guest code."""

import re
from collections.abc import Iterator
from typing import Any

from ._hits import Hit, Hits
from ._kinds import base_of, type_name
from ._lines import (
    as_text,
    excerpt,
    is_text,
    line_count,
    neighbours,
    offset_of_line,
    pattern_of,
    plain,
    scan,
)
from ._render import short
from ._sources import holder_of
from ._view import is_view
from ._view_grep import grep as grep_view

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
    of = holder_of(target)
    cache: dict[bool, re.Pattern[Any]] = {}
    for where, value in documents(target):
        if is_view(value):
            flags = re.IGNORECASE if ignore_case else 0
            left = max_hits - len(hits)
            found = grep_view(
                pattern, value, where, context=context, flags=flags, expect=left + 1, of=of
            )
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
            cache[binary] = pattern_of(pattern, text, re.IGNORECASE if ignore_case else 0)
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
            around = tuple(before), tuple(after)
            hits.append(Hit(where, line.number, shown, line.start, *around, of=of))
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
