"""A call of `peek`: its arguments, the range they mean, and how the next call is named."""

import sys
from dataclasses import dataclass, fields, replace
from typing import Any

from ._fit import clip, escape, plural
from ._path import PeekError
from ._render import short


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of `peek`. As text it is that call, without what is the default.

    `space` is the name of this space where a call has to say it.
    """

    target: str
    start: int = 0
    length: int | None = None
    unit: str = "chars"
    find: str | None = None
    context: int = 2
    max_chars: int = 8_000
    space: str | None = None

    def check(self) -> None:
        """Raise a PeekError for an argument that cannot be used."""
        if self.unit not in ("chars", "lines", "items"):
            raise PeekError(f"unit={short(self.unit, 40)}: use 'chars', 'lines' or 'items'")
        least = {"start": -sys.maxsize, "length": 1, "context": 0, "max_chars": 1}
        for name, low in least.items():
            number = getattr(self, name)
            if name == "length" and number is None:
                continue
            if type(number) is not int or not low <= number <= sys.maxsize:
                wish = "a whole number" if name == "start" else f"a whole number from {low}"
                raise PeekError(f"{name}={short(number, 40)}: must be {wish}")

    def __str__(self) -> str:
        """`peek("docs", start=100)`, and never the call that would give a preview."""
        call = self
        if self.find is None:
            call = replace(call, context=2)
            if self.start == 0 and self.length is None:
                call = replace(call, length=8_000 if self.unit == "chars" else 100)
        changed = [
            f"{field.name}={quoted(value) if type(value) is str else value}"
            for field in fields(call)[1:]
            if (value := getattr(call, field.name)) != field.default
        ]
        return f"peek({', '.join([quoted(self.target), *changed])})"

    @property
    def wanted(self) -> str:
        """What is looked for, as the reply says it."""
        return quoted(escape(clip(str(self.find), 100)))

    def no_pattern(self, error: Exception) -> PeekError:
        """What to raise where `find` is no regular expression."""
        return PeekError(
            f"find={self.wanted} is no regular expression: {error}; "
            "put a backslash before ( ) [ ] { } . * + ? ^ $ | to mean the character"
        )

    def but(self, **changed: Any) -> "Call":
        """The same call with other arguments."""
        return replace(self, **changed)

    def bounds(self, total: int, noun: str) -> tuple[int, int]:
        """Begin and end, in 0 to `total`, of what is asked for."""
        start = max(0, self.start + total) if self.start < 0 else self.start
        if start >= total and start > 0:
            raise PeekError(
                f"start={self.start:,} is past the end: {self.target} has {plural(total, noun)}; "
                f"the last ones: {self.but(start=-min(total, 20))}"
            )
        return start, total if self.length is None else min(total, start + self.length)


@dataclass(frozen=True, slots=True)
class Shown:
    """How much of the range asked for is shown: from `begin` to before `end`, of `total`."""

    noun: str
    begin: int
    end: int
    stop: int
    total: int

    def footer(self, call: Call, note: str = "") -> str:
        """The last line of a reply: which part it shows, and the call that shows what follows.

        Empty when all is shown. Lines are named by their numbers, which count from 1 as in
        `lines()` and `find`; chars and items as the slice that gives them.
        """
        if self.begin == 0 and self.end == self.total and not note:
            return ""
        text = self._part()
        if self.end < self.total:
            # What is left of the range asked for, else as much again.
            left = self.stop - self.end if self.end < self.stop else call.length
            left = None if call.length is None else left
            text += f"; next: {call.but(start=self.end, length=left)}"
        return f"\n[{text}{note}]"

    def _part(self) -> str:
        if self.noun != "line":
            return f"{self.noun}s [{self.begin}:{self.end}] of {self.total:,}"
        numbers = f"lines {self.begin + 1:,}-{self.end:,}"
        if self.end == self.begin + 1:
            numbers = f"line {self.end:,}"
        return f"{numbers} of {self.total:,} (start={self.begin})"


def quoted(text: str) -> str:
    """A text as an argument: in double quotes where that needs no escapes."""
    plain = text.isprintable() and '"' not in text and "\\" not in text
    return f'"{text}"' if plain else repr(text)
