"""A piece of a text that knows where it stands in it."""

from __future__ import annotations

from typing import Any, NamedTuple


class Span(NamedTuple):
    """A range of lines, both included and counted from 1, of the text at a path or index."""

    where: str | int
    line: int
    end_line: int


class Chunk(str):
    """A piece of a text, or of the texts of a folder: a str that knows its place.

    Attributes:
        spans: which lines of which texts are in it; `where` is "" for a text alone.
        start: where it begins, in characters of the text, or of the texts laid together.
        heading: the heading or definition that it begins with, or "".
        of: the variable that was cut, or "".
    """

    __slots__ = ("heading", "of", "spans", "start")

    spans: tuple[Span, ...]
    start: int
    heading: str
    of: str

    def __new__(
        cls, text: str, spans: tuple[Span, ...], start: int = 0, heading: str = "", of: str = ""
    ) -> Chunk:
        """Make a piece."""
        made = super().__new__(cls, text)
        made.spans, made.start, made.heading, made.of = spans, start, heading, of
        return made

    @property
    def where(self) -> str | int:
        """The path or index of the text that it begins in."""
        return self.spans[0].where

    @property
    def line(self) -> int:
        """Its first line."""
        return self.spans[0].line

    @property
    def end_line(self) -> int:
        """Its last line in that text."""
        return self.spans[0].end_line

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the place where it is pickled."""
        return Chunk, (str(self), self.spans, self.start, self.heading, self.of)
