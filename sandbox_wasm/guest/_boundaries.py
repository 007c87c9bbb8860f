"""Where texts are cut: at lines, blank lines, tokens and headings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ._tokens import tokens

_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_PLAIN = re.compile(r"[^\s|>#*+=-]")  # the begin of a line that an underline makes a heading


def end_of_tokens(text: str, begin: int, size: int) -> int:
    """Where a piece of at most `size` tokens ends."""
    end = min(begin + 4 * size, len(text))
    while (count := tokens(text[begin:end])) > size and end > begin + 1:
        end = max(begin + 1, begin + (end - begin) * size // (count + 1))
    return end


def boundary(text: str, begin: int, end: int, by: str) -> int:
    """Where a piece ends that may end between two places."""
    for mark in ("\n\n", "\n") if by == "paragraphs" else ("\n",):
        found = text.rfind(mark, begin, end)
        if found >= 0:
            return found + len(mark)
    return end


def following(text: str, begin: int, end: int, overlap: int, aligned: bool) -> int:
    """Where the piece after one begins."""
    following = max(end - overlap, begin + 1)
    if overlap and aligned:
        # Begin at a line, unless the overlap holds no whole one.
        line = text.find("\n", following - 1, end - 1) + 1
        following = line or following
    return following


def rows_of(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a text with their offsets."""
    begin = 0
    for line in text.split("\n"):
        yield begin, line
        begin += len(line) + 1


def headings(rows: Iterable[tuple[int, str]]) -> list[tuple[int, str]]:
    """Where the sections of Markdown begin, with their headings; `rows` are lines and offsets."""
    found: list[tuple[int, str]] = []
    fence = ""
    before = (0, "")
    for begin, line in rows:
        bare = line.removesuffix("\r")
        mark = _FENCE.match(bare)
        if fence:
            if mark and mark[1].startswith(fence) and not bare.strip().strip(fence[0]):
                fence = ""
        elif mark:
            fence = mark[1]
        elif heading := _HEADING.match(bare):
            found.append((begin, heading[1]))
        elif _UNDERLINE.match(bare) and _PLAIN.match(before[1]):
            found.append((before[0], before[1].strip()))
        before = (begin, bare)
    return found
