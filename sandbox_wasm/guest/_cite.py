"""References to what was found: `cite`, `evidence`, and the notes of a report."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from ._chunk import Chunk
from ._citation import (
    KEPT,
    MOST,
    Citation,
    Evidence,
    all_cited,
    as_of_now,
    cited,
    digest_of,
    keep,
    lines_of,
)
from ._fit import one_line, plural
from ._hits import Hit
from ._kinds import type_name
from ._lines import as_text, is_text, line_count, plain
from ._path import PeekError
from ._places import Keys, access_path, parsed
from ._sources import entry_of, is_changed, is_line, place_of, source_of_view, value_at
from ._view import FileView, is_view

_WIDEST = 4  # bytes of a character
_LOOKED_AT = 200  # citations of views whose files are looked at again when they are listed
_MARK = re.compile(r"\[cite:(\d{1,6})\]")


def cite(what: Any, start_line: int | None = None, end_line: int | None = None) -> Citation:
    """A lasting reference to a place: of a hit, a chunk, a variable, or an access path.

    Put it into text as it is, `f"It expired {cite(hit)}."`: that writes its mark, `[cite:3]`, and
    `save_variable` of Markdown or text turns the marks into notes with path, lines and SHA-256.
    `peek("cite:3")` shows the place, `evidence()` lists all.

    Args:
        what: a hit of `grep` or `search`, a chunk, the name of a variable or an access path such
            as `'docs["src/a.py"]'` or `'pages[2]'`, or the value itself.
        start_line: first line, from 1; left out, that of the hit or chunk, or the whole.
        end_line: last line; left out, that of the hit or chunk, or the first.

    Raises:
        ValueError: there is no such place.
    """
    hit = what if isinstance(what, Hit | Chunk) else None
    try:
        name, keys = _place(what)
        view = hit.view if isinstance(hit, Hit) else None  # which may be in no variable
        value: Any = view if is_view(view) else value_at(name, keys)
    except PeekError as error:
        raise ValueError(str(error)) from None
    if is_view(value):
        return keep(_in_view(name, keys, value, hit, start_line, end_line))
    text = as_text(plain(value)) if is_text(value) else None
    if is_line(name, keys):
        start_line = end_line = None  # the line itself is the place
    elif hit is not None and start_line is None and text is not None and not _is_several(keys):
        start_line, end_line = hit.line, hit.end_line
    if start_line is not None and text is None:
        path = access_path(name, keys)
        raise ValueError(f"{path} is a {type_name(type(value))}: it has no lines")
    cited = text or ""
    if start_line is not None and text is not None:
        start_line, end_line = _checked(start_line, end_line, line_count(text), name, keys)
        cited = lines_of(text, start_line, end_line)
    elif text is None and hit is not None:
        cited = str(hit) if isinstance(hit, Chunk) else hit.text  # of a record, say
    source = entry_of(name, keys)
    digest, note = source.sha256 if source else None, ""
    path = source.path if source else access_path(name, keys)
    if source is None:
        note = "made by code in the space"
    elif is_changed(name, keys, value):
        note = "the text was changed after it was loaded"
    elif source.note:
        note = source.note
    if source is not None and not (entry_of(name) or source).path:
        path, note = access_path(name, keys), "a value given in the call"
    return keep(Citation(
        0, name, _where(keys), path, start_line, end_line, digest, note, _begin(cited),
        digest_of(cited) if text is not None else None,
    ))  # fmt: skip


def _in_view(
    name: str,
    keys: Keys,
    view: FileView,
    hit: Hit | Chunk | None,
    start: int | None,
    end: int | None,
) -> Citation:
    """A place in a file that stays outside: its lines as those of the whole file."""
    begin, stop = 0, view.size
    if start is None and hit is not None and hit.end_line is not None:
        start, end = hit.line, hit.end_line  # of a passage; that of a line is known by its offset
    if start is not None:
        if type(start) is not int or start < 1:
            _checked(start, end, 0, name, keys)
        begin = view.offset_of(start)
        if begin >= view.size or (type(end) is int and end < start):
            _checked(start, end, view.line_count(), name, keys)
        stop = view.offset_of((start if end is None else end) + 1)
        start, end = _checked(start, end, view.line_count() if stop >= view.size else None, name,
                              keys)  # fmt: skip
    elif isinstance(hit, Hit):
        start = end = hit.line
        begin = view.line_start(hit.start)
        stop = min(view.line_end(hit.start) + 1, view.size)
    source = source_of_view(view, name, keys)
    before = view.lines_before() if start is not None else 0
    text = as_text(view.text(begin, min(stop, begin + _WIDEST * KEPT)))[:KEPT]
    digest = None
    if start is not None and stop - begin <= MOST:
        digest = hashlib.sha256(view.read(begin, stop)).hexdigest()
    note = f"{plural(source.size, 'byte')}" + (f" {source.note}" if source.note else "")
    first = view.begin
    return Citation(
        0, name, _where(keys), view.name,
        None if start is None else start + before, None if end is None else end + before,
        None, note, text.removesuffix("\n").removesuffix("\r"), digest,
        (view._id, view.name, view._encoding, first + begin, first + stop),
    )  # fmt: skip


def evidence() -> Evidence:
    """All that was cited in this space, in order; of views those whose file changed say so."""
    looked_at = 0
    found = []
    for citation in all_cited():
        if citation.view is not None and looked_at < _LOOKED_AT:
            looked_at += 1
            citation = as_of_now(citation)
        found.append(citation)
    return Evidence(found)


def _place(what: Any) -> tuple[str, Keys]:
    if isinstance(what, Hit | Chunk):
        if not what.of:
            if getattr(what, "view", None) is not None:
                return "", ()
            raise ValueError(
                "the hit does not say in which variable it was found: search a variable itself, "
                "or cite(name, start_line, end_line)"
            )
        name, keys = parsed(what.of) or (what.of, ())
        if what.where == "":
            return name, keys
        first = what.where
        if isinstance(what, Hit) and what.item is not None:
            return name, (*keys, first, what.item)
        spans = what.spans if isinstance(what, Chunk) else ()
        last = spans[-1].where if spans else first
        if type(first) is int and type(last) is int and last > first:
            return name, (*keys, range(first, last + 1))
        return name, (*keys, first)
    place = place_of(what)
    if place is None:
        raise ValueError(
            "cite() takes a hit, a chunk, a variable's name, or an access path in quotes such as "
            "'docs[\"src/a.py\"]'; what it was given is none of these"
        )
    return place


def _where(keys: Keys) -> Any:
    """Keys as a citation has them."""
    return None if not keys else keys[0] if len(keys) == 1 else keys


def _is_several(keys: Keys) -> bool:
    return bool(keys) and type(keys[-1]) is range


def _checked(start: Any, end: Any, total: int | None, name: str, keys: Keys) -> tuple[int, int]:
    """First and last line, if there are such.

    Args:
        total: how many lines there are; None where there are enough.
    """
    end = start if end is None else end
    if type(start) is not int or type(end) is not int:
        raise ValueError("start_line and end_line are whole numbers, counted from 1")
    if not 1 <= start <= end or (total is not None and end > max(total, 1)):
        known = f"it has lines 1 to {total}" if total is not None else "they count from 1"
        raise ValueError(f"lines {start}-{end} of {access_path(name, keys) or 'it'}: {known}")
    return start, end


def _begin(text: str) -> str:
    return text[:KEPT].removesuffix("\n")


def report(value: Any, format: str, suffix: str) -> Any:
    """What is to be saved: text for people gets a list of its sources, if it cites any."""
    ending = suffix.lower().removeprefix(".")
    markdown = format == "md" or (format == "auto" and ending in ("md", "markdown"))
    plainly = format == "text" or (format == "auto" and ending in ("txt", "text", ""))
    if type(value) is str and (markdown or plainly) and "[cite:" in value:
        return _with_notes(value, markdown)
    return value


def _with_notes(text: str, markdown: bool) -> str:
    used = {number: cited(number) for number in map(int, _MARK.findall(text))}
    known = {number: found for number, found in used.items() if found is not None}
    if not known:
        return text
    if markdown:
        text = _MARK.sub(lambda m: f"[^{int(m[1])}]" if int(m[1]) in known else m[0], text)
    return "".join([text.rstrip("\n"), "\n\n", *_notes(known, markdown)])


def _notes(known: dict[int, Citation], markdown: bool) -> Iterator[str]:
    yield "## Sources\n\n" if markdown else "Sources\n"
    for number, citation in known.items():
        mark = f"[^{number}]:" if markdown else f"[cite:{number}]"
        yield f"{mark} {one_line(as_of_now(citation).place)}\n"
