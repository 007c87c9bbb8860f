"""A regular expression in a text or in the items of a value: `peek(..., find=...)`."""

import re
from typing import Any

from ._call import Call
from ._fit import clip, plural
from ._label import unit_of
from ._lines import Text, compiled, line_count, offset_of_line
from ._matches import MOST, Matches
from ._peek_items import Container, Table

_GUIDE = "; lines count from 1 as in lines(), an offset is a start for peek"


def find_in_text(text: Text, call: Call) -> str:
    """The lines of a text that match."""
    pattern = _pattern(call, text)
    if call.unit == "lines":
        start, stop = call.bounds(line_count(text), "line")
        begin, end = offset_of_line(text, start + 1), offset_of_line(text, stop + 1)
    else:
        begin, end = call.bounds(len(text), unit_of(text))
    matches = _matches(call)
    matches.add(text, pattern, begin, end, "")
    return _reply(matches, call, f"line:offset: text{_GUIDE}", matches.next_at, end)


def find_in_items(items: Container | Table, call: Call) -> str:
    """The lines that match in the texts of items; an item that is no text counts as a line."""
    start, stop = call.bounds(items.size, "item")
    matches = _matches(call)
    matches.share = call.max_chars // 3  # one item must not hide the others
    patterns: dict[type, re.Pattern[Any]] = {}
    following: int | None = None
    guide = _GUIDE
    for number, (key, text, exact) in enumerate(items.texts(start, stop), start):
        if matches.found >= MOST:
            following = number if following is None else following
            break
        pattern = patterns.get(type(text)) or _pattern(call, text)
        patterns[type(text)] = pattern
        if pattern.search(text) is None:
            continue
        guide = guide if exact else ""
        where = items.subscript(key)
        # The path itself for a folder.
        name = clip(key, 300) if type(key) is str and key.isprintable() and key else where
        matches.add(text, pattern, 0, len(text), name.removeprefix(".iloc"))
        if matches.next_at is None:
            continue
        if matches.here:
            rest = call.but(
                target=call.target + where,
                start=matches.next_at if exact else 0,
                length=None,
                unit="chars",
            )
            matches.note(f"  more in {name}: {rest}")
        if matches.full and following is None:
            following = number + 1 if matches.here else number
    following = None if following is None or following >= stop else following
    return _reply(matches, call, f"item:line:offset: text{guide}", following, stop)


def _pattern(call: Call, text: Text) -> re.Pattern[Any]:
    try:
        return compiled(call.find, text)
    except (re.error, RecursionError, OverflowError, ValueError) as error:
        raise call.no_pattern(error) from None


def _matches(call: Call) -> Matches:
    """Room for the rows: what is left of `max_chars` after the first row of the reply."""
    room = call.max_chars - 120 - min(len(call.target) + len(str(call.find)), 300)
    return Matches(max(room, 40), call.context)


def _reply(matches: Matches, call: Call, legend: str, following: int | None, stop: int) -> str:
    """What was found; `following` is where the next call goes on, if there is more."""
    matches.flush()
    total = f"{MOST:,}+ matches" if matches.found >= MOST else plural(matches.found, "match")
    first = f"{total} of {call.wanted} in {call.target}"
    rows = [f"{first} ({legend})" if matches.rows else first, *matches.rows]
    if following is not None:
        left = None if call.length is None else stop - following
        further = call.but(start=following, length=left, unit="chars")
        rows.append(f"[{matches.shown:,} of {total} shown; next: {further}]")
    return "\n".join(rows)
