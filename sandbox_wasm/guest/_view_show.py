"""What a view looks like: its preview, and `peek` at parts of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ._call import Call, Shown
from ._fit import clip, escape, fitting, plural
from ._hits import Hit
from ._lines import as_text
from ._path import PeekError
from ._preview_text import looks_like, odd_text
from ._slots import ViewError
from ._tokens import tokens_of
from ._view import FileView
from ._view_grep import grep

_WINDOWS, _WINDOW = 48, 8_192  # as in the preview of a text
_ROW = 300  # characters of a line among others


def describe_view(view: FileView, room: int) -> list[str]:
    """Size, lines, tokens, format, what is odd, how to go on, and as much of both ends as fits."""
    kind = "bytes" if view.binary else "text"
    out = [f"FileView of {kind}, {plural(view.size, 'byte')}, which stay on the host"]
    if not view.size:
        return [out[0] + " (empty)"]
    try:
        step = max(_WINDOW, view.size // _WINDOWS)
        windows = [as_text(view.text(at, at + _WINDOW)) for at in range(0, view.size, step)]
        head, tail = as_text(view.text(0, room)), as_text(view.text(view.size - room, view.size))
    except ViewError as error:
        return [*out, str(error)]
    sampled = "".join(windows)
    if not view.binary:
        breaks = round(sum(w.count("\n") for w in windows) * view.size / (len(windows) * _WINDOW))
        if view.size <= _WINDOW:
            breaks = sampled.count("\n")
        out[0] += (
            f", about {plural(max(breaks, 1), 'line')}, ~{tokens_of(sampled, view.size):,} tokens"
        )
        if kinds := looks_like(head[:400], tail[-20:]):
            out.append(f"looks like {kinds}")
        if odd := odd_text(sampled, windows, breaks, view.size):
            out.append("odd: " + "; ".join(odd))
    out.append(
        "grep(pattern, v), search(words, v), v[a:b] (bytes), v.lines[a:b], v.find, v.finditer, "
        "v.sample(n), v.parts(n) for pmap" + (", v.rows() in chunks" if view._format else "")
    )
    if view.binary:
        return [*out, repr(view[:100])]
    left = max(40, room - sum(map(len, out)) - 60)
    if view.size <= left // 4:
        return [*out, "--- all of it:", head]
    head = escape(head)[: left * 2 // 3]
    tail = escape(tail)[-(left // 3) :]
    return [*out, f"--- first {len(head):,} chars:", head, f"--- last {len(tail):,} chars:", tail]


def peek_view(view: FileView, call: Call) -> str | None:
    """The reply to a peek at a view; None where its preview is wanted.

    Raises:
        PeekError: for what cannot be used, with the fix.
    """
    try:
        if call.find is not None:
            return _find(view, call)
        if call.start == 0 and call.length is None:
            return None
        return _lines(view, call) if call.unit == "lines" else _bytes(view, call)
    except ViewError as error:
        raise PeekError(str(error)) from None


def _bytes(view: FileView, call: Call) -> str:
    start, stop = call.bounds(view.size, "byte")
    start = view.character(start)
    count = min(stop - start, call.max_chars)
    shown = escape(as_text(view.text(start, start + count)))
    while len(shown) > call.max_chars and count > 1:  # escapes are longer
        count = max(1, min(count - 1, count * call.max_chars // len(shown)))
        shown = escape(as_text(view.text(start, start + count)))
    end = min(max(view.character(start + count), start + 1), stop)
    part = Shown("byte", start, end, stop, view.size)
    return shown + part.footer(call.but(unit="chars"))


def _lines(view: FileView, call: Call) -> str:
    total = view.line_count()
    start, stop = call.bounds(total, "line")
    position = view.offset_of(start + 1)
    rows = fitting(_rows_from(view, position, stop - start, call.max_chars), call.max_chars)
    if not rows and start < stop:  # one line longer than the room
        chars = call.but(start=position, length=call.max_chars, unit="chars")
        return f"[line {start + 1:,} is long; from its begin as bytes:]\n{_bytes(view, chars)}"
    return "\n".join(rows) + Shown("line", start, start + len(rows), stop, total).footer(call)


def _rows_from(view: FileView, position: int, count: int, most: int) -> Iterator[str]:
    """Lines from an offset on, up to one that is far too long to be shown."""
    for _ in range(count):
        end = view.line_end(position)
        if end - position > 4 * most:
            return
        yield escape(as_text(view.text(position, end))).removesuffix("\\r")
        position = end + 1


def _find(view: FileView, call: Call) -> str:
    if call.unit == "lines":
        start, stop = call.bounds(view.line_count(), "line")
        start, stop = view.offset_of(start + 1), view.offset_of(stop + 1)
    else:
        start, stop = call.bounds(view.size, "byte")
    begin = view.line_start(start)
    first = view.line_at(begin) if begin else 1
    rows: list[str] = []
    room = call.max_chars - 160 - min(len(call.target) + len(str(call.find)), 300)
    following: int | None = None
    shown = printed = 0
    try:
        hits = grep(call.find, view, context=call.context, start=begin, stop=stop, expect=200)
        for hit in hits:
            if hit.start < start:
                continue
            added = _rows(hit, first - 1, printed, call.context)
            size = sum(len(row) + 1 for row in added)
            if rows and size > room:
                following = hit.start
                break
            rows += added
            room -= size
            shown += 1
            printed = hit.line + len(hit.after)
    except (re.error, RecursionError, OverflowError, ValueError) as error:
        raise call.no_pattern(error) from None
    total = plural(shown, "matching line")
    legend = (
        " (line:offset: text; lines count from 1, an offset is a start for peek)" if rows else ""
    )
    more = "first " if following is not None else ""
    reply = [f"{more}{total} of {call.wanted} in {call.target}{legend}", *rows]
    if following is not None:
        left = None if call.length is None else stop - following
        reply.append(f"[more; next: {call.but(start=following, length=left, unit='chars')}]")
    return "\n".join(reply)


def _rows(hit: Hit, base: int, printed: int, context: int) -> list[str]:
    """A hit with its context, without the lines that are shown already."""
    first = hit.line - len(hit.before)
    rows = [
        f"{base + first + i}- {escape(clip(row, _ROW))}"
        for i, row in enumerate(hit.before)
        if first + i > printed
    ]
    if context and printed and first > printed + 1:
        rows.insert(0, "--")
    rows.append(f"{base + hit.line}:{hit.start}: {escape(clip(hit.text, _ROW))}")
    rows += [
        f"{base + hit.line + 1 + i}- {escape(clip(row, _ROW))}" for i, row in enumerate(hit.after)
    ]
    return rows


__all__: Any = ["describe_view", "peek_view"]
