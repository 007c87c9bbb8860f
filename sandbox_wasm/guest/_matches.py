"""The rows of a reply that shows matches, as grep writes them, within a bound."""

import re
from typing import Any

from ._fit import escape
from ._lines import Line, excerpt, neighbours, scan

MOST = 10_000  # matches counted
_ROW = 300  # characters of a line


class Matches:
    """The matches found so far, as rows, until the room is used up; then they are counted only."""

    def __init__(self, room: int, context: int) -> None:
        self.rows: list[str] = []
        self.share = room  # of the room, for the matches of one text
        self.found = self.shown = 0  # matches
        self.here = 0  # of them shown in the text at hand
        self.full = False
        self.next_at: int | None = None  # offset of the first match that was not shown
        self._room, self._context = room, context
        self._after: list[tuple[int, str]] = []  # context that waits for the next match
        self._where = ""

    def note(self, text: str) -> None:
        """Add a row that is no match, whatever the room."""
        self.flush()
        self.rows.append(text)
        self._room -= len(text) + 1

    def flush(self) -> None:
        """Put the context after the last match, which no other match has taken up."""
        for number, row in self._after:
            self._put(f"{self._where}{number}- {row}")
        self._after = []

    def _put(self, text: str) -> None:
        text = escape(text)
        if len(text) + 1 <= self._room:
            self.rows.append(text)
            self._room -= len(text) + 1

    def add(self, text: Any, pattern: re.Pattern[Any], begin: int, end: int, where: str) -> None:
        """Show the matches in a range of one text; `where` names the text in each row."""
        self.flush()
        self._where = f"{where}:" if where else ""
        self.here, self.next_at = 0, None
        last, printed = -1, 0  # begin of the last line that matched; number of the last line shown
        room = self._room
        for line in scan(pattern, text, begin, end):
            if self.found >= MOST:
                self.next_at = line.start if self.next_at is None else self.next_at
                break
            self.found += 1
            if self.full or self.next_at is not None:
                continue
            if line.line_start == last and line.line_end - line.line_start <= _ROW:
                self.here += 1
                self.shown += 1
                continue
            row = escape(f"{self._where}{line.number}:{line.start}: {excerpt(text, line, _ROW)}")
            self.full = bool(self.rows) and len(row) + 2 > self._room
            if self.full or (self.here and room - self._room + len(row) > self.share):
                self.next_at = line.start
                self._after = []
                continue
            self._surround(text, line, printed, row)
            last, printed = line.line_start, max(printed, line.number)
            self.here += 1
            self.shown += 1

    def _surround(self, text: Any, line: Line, printed: int, row: str) -> None:
        """Put the row of a match after the context that it shares with the match before."""
        before, after = neighbours(text, line, self._context, _ROW)
        ahead = [(line.number - len(before) + i, r) for i, r in enumerate(before)]
        for number, old in self._after:
            if number < line.number:
                self._put(f"{self._where}{number}- {old}")
                printed = max(printed, number)
        self._after = []
        ahead = [(number, old) for number, old in ahead if number > printed]
        first = ahead[0][0] if ahead else line.number
        if self._context and printed and first > printed + 1:
            self._put("--")
        needed = len(row) + 2
        for number, old in ahead:
            if self._room - len(old) - 30 > needed:
                self._put(f"{self._where}{number}- {old}")
        self.rows.append(row)
        self._room -= len(row) + 1
        self._after = [(line.number + 1 + i, r) for i, r in enumerate(after)]
