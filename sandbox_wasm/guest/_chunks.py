"""Cutting text into pieces: `chunks` for guest code. Pieces know which lines they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import _outline
from ._boundaries import boundary, end_of_tokens, following, headings, rows_of
from ._chunk import Chunk, Span
from ._find import documents
from ._kinds import base_of, type_name
from ._lines import as_text, is_text, plain
from ._render import short
from ._sources import holder_of
from ._view import is_view
from ._view_chunks import ViewChunks

KINDS = ("lines", "paragraphs", "headings", "functions", "tokens", "chars")
_ATTACHED = re.compile(r"\s*(#|//|/\*|\*|--|@|\[\w)")


@dataclass(frozen=True, slots=True)
class _Part:
    """A text among those that are cut together; `before` are lines of the whole that come first."""

    where: str | int
    start: int
    line: int
    before: int


def chunks(
    target: Any,
    size: int = 100_000,
    overlap: int = 0,
    by: str = "lines",
    language: str | None = None,
) -> list[Chunk] | ViewChunks:
    """Cut a text into pieces of at most `size` characters that know their place.

    A piece is a `str` with `where`, `line`, `end_line`, `spans` and `heading`; `cite()` takes it.
    Without overlap the pieces joined are the text.

    - `lines`, `paragraphs`, `chars`: as full as they can be, ending there. What is longer than
      `size` is cut inside. A list of str is taken as lines, a dict of path to str as one text in
      which each file follows a line `=== path ===`.
    - `tokens`: as `lines`, with `size` and `overlap` in tokens, which are estimated.
    - `headings`: a piece for each section of Markdown; `functions`: one for each function and
      class of code, and one for what is between them. Each text of a dict or list is cut by
      itself. A longer one is cut inside, at blank lines.

    The pieces of a view are cut when they are asked for: the result is indexed, sliced and gone
    through as a list is, holds no text, and `size` and `start` are in bytes. By functions a view
    cannot be cut.

    Args:
        target: a text, a view, a list of str or a dict of path to str.
        size: the most characters of a piece, or tokens.
        overlap: how many of the characters before are repeated; not by headings or functions.
        by: where to cut.
        language: of code that has no path to tell it, such as `python`.
    """
    if by not in KINDS:
        raise ValueError(f"by={by!r}: use {', '.join(map(repr, KINDS))}")
    if size < 1 or not 0 <= overlap < size:
        raise ValueError(f"size={size}, overlap={overlap}: size must be above overlap, both >= 0")
    of = holder_of(target)
    if is_view(target):
        return ViewChunks(target, size, overlap, by, of)
    if by in ("headings", "functions"):
        if overlap:
            raise ValueError(f"overlap={overlap}: pieces by {by} do not overlap; leave it out")
        return list(_structured(target, size, by, language, of))
    text, parts = _laid_together(target)
    ends = _by_tokens(text, size, overlap) if by == "tokens" else _by_size(text, size, overlap, by)
    return list(_placed(text, ends, parts, of))


def _text_of(where: str | int, body: Any) -> str:
    if is_text(body):
        return as_text(plain(body))
    what = "a view: cut it by itself" if is_view(body) else f"{type_name(type(body))}, no text"
    raise TypeError(f"the value at {short(where, 80)} is {what}")


def _laid_together(target: Any) -> tuple[str, list[_Part]]:
    """The texts of a target as one, and where each of them begins in it."""
    if is_text(target):
        return as_text(plain(target)), [_Part("", 0, 1, 0)]
    pieces: list[str] = []
    parts: list[_Part] = []
    begin = before = 0
    head = base_of(target) is dict
    for where, body in documents(target):
        text = _text_of(where, body)
        if head:
            title = f"=== {where} ===\n"
            pieces.append(title + text)
            parts.append(_Part(where, begin, 0, before))
        else:
            pieces.append(text)
            parts.append(_Part(where, begin, 1, before))
        begin += len(pieces[-1]) + 1
        before += pieces[-1].count("\n") + 1
    return "\n".join(pieces), parts


def _placed(
    text: str, pieces: Iterator[tuple[int, int]], parts: list[_Part], of: str
) -> Iterator[Chunk]:
    """The pieces, each with the lines that it is."""
    counted = number = at = 0  # newlines before `counted`, the part that a piece begins in
    for begin, end in pieces:
        number += (
            text.count("\n", counted, begin)
            if begin >= counted
            else -text.count("\n", begin, counted)
        )
        counted = begin
        while at + 1 < len(parts) and parts[at + 1].start <= begin:
            at += 1
        while at and parts[at].start > begin:
            at -= 1
        spans: list[Span] = []
        next_part, line = at, number
        position = begin
        while True:
            part = parts[next_part]
            stop = parts[next_part + 1].start - 1 if next_part + 1 < len(parts) else len(text)
            last = min(end, stop)
            newlines = text.count("\n", position, max(last - 1, position))
            first = line - part.before + part.line
            if last > position or not spans:
                spans.append(Span(part.where, max(first, 1), max(first + newlines, 1)))
            if end <= stop + 1 or next_part + 1 == len(parts):
                break
            next_part += 1
            position = stop + 1
            line = parts[next_part].before
        yield Chunk(text[begin:end], tuple(spans), begin, of=of)


def _by_size(text: str, size: int, overlap: int, by: str) -> Iterator[tuple[int, int]]:
    begin = 0
    while begin < len(text):
        end = min(begin + size, len(text))
        if end < len(text) and by != "chars":
            end = boundary(text, begin + overlap, end, by)
        yield begin, end
        if end == len(text):
            break
        begin = following(text, begin, end, overlap, by != "chars")


def _by_tokens(text: str, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    begin = 0
    while begin < len(text):
        end = end_of_tokens(text, begin, size)
        repeated = min((end - begin) * overlap // size, end - begin - 1)
        if end < len(text):
            end = boundary(text, begin + repeated, end, "lines")
        yield begin, end
        if end == len(text):
            break
        begin = following(text, begin, end, repeated, True)


def _structured(target: Any, size: int, by: str, language: str | None, of: str) -> Iterator[Chunk]:
    texts = [(where, _text_of(where, body)) for where, body in documents(target)]
    if by == "functions":
        outlines = _outline.outlines([(where, text, language) for where, text in texts])
    for at, (where, text) in enumerate(texts):
        marks = (
            headings(rows_of(text)) if by == "headings" else _functions(text, outlines[at], size)
        )
        number = 1
        for begin, end, title in _sections(text, marks):
            section = text[begin:end]
            for first, last in _by_size(section, size, 0, "paragraphs"):
                newlines = section.count("\n", first, last)
                ended = section.endswith("\n", first, last)
                span = Span(where, number, max(number, number + newlines - ended))
                yield Chunk(section[first:last], (span,), begin + first, title, of)
                number += newlines


def _sections(text: str, marks: list[tuple[int, str]]) -> Iterator[tuple[int, int, str]]:
    places = [(0, ""), *marks] if not marks or marks[0][0] > 0 else marks
    for at, (begin, title) in enumerate(places):
        end = places[at + 1][0] if at + 1 < len(places) else len(text)
        if end > begin:
            yield begin, end, title


def _functions(text: str, found: list[_outline.Definition], size: int) -> list[tuple[int, str]]:
    """Where definitions begin and where what follows them begins.

    Comments and decorators right above belong to a definition. Of a class that is larger than
    `size` the methods are taken by themselves.
    """
    offsets = [0]
    for line in text.split("\n"):
        offsets.append(offsets[-1] + len(line) + 1)
    taken: list[tuple[int, int, str]] = []

    def take(parent: int) -> None:
        for at, one in enumerate(found):
            if one.parent != parent or one.kind not in _outline.BODIES:
                continue
            first, last = one.line - 1, min(one.end_line, len(offsets) - 1)
            if offsets[last] - offsets[first] > size and any(o.parent == at for o in found):
                take(at)
                continue
            while first and _ATTACHED.match(text, offsets[first - 1], offsets[first]):
                first -= 1
            taken.append((first, last, one.name))

    take(-1)
    marks: dict[int, str] = {}
    end = 0
    for first, last, name in sorted(taken):
        first = max(first, end)
        if first >= last:
            continue
        marks[offsets[first]] = name
        marks.setdefault(min(offsets[last], len(text)), "")
        end = last
    return sorted((at, name) for at, name in marks.items() if at < len(text))
