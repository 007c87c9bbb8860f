"""What an execution prints, kept within bounds whatever it prints."""

from __future__ import annotations

import io
from collections import deque

KEEP = 4 << 20
"""Characters kept of the beginning, and as many of the end (a guess: 8 MB is all that an agent
could still search for)."""


class Output(io.TextIOBase):
    """Takes the place of the standard streams for one execution."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self) -> None:
        super().__init__()
        self._head: list[str] = []
        self._head_size = 0
        self._tail: deque[str] = deque()
        self._tail_size = 0
        self._joined: tuple[int, str] = (0, "")
        self.total = 0
        """Characters written."""

    def writable(self) -> bool:
        """True: this is what it is for."""
        return True

    def isatty(self) -> bool:
        """False: there is no terminal."""
        return False

    def write(self, text: str, /) -> int:
        """Take text, as `print` gives it."""
        if type(text) is not str:
            if not isinstance(text, str):
                raise TypeError(f"write() argument must be str, not {type(text).__name__}")
            text = str.__str__(text)
        size = len(text)
        self.total += size
        room = KEEP - self._head_size
        if size <= room:
            self._head.append(text)
            self._head_size += size
            if len(self._head) > 4096:
                self._head = ["".join(self._head)]
            return size
        if room:
            self._head.append(text[:room])
            self._head_size = KEEP
            text = text[room:]
        self._tail.append(text[-KEEP:])
        self._tail_size += len(self._tail[-1])
        while self._tail_size - len(self._tail[0]) >= KEEP:
            self._tail_size -= len(self._tail.popleft())
        if len(self._tail) > 4096:
            joined = "".join(self._tail)[-KEEP:]
            self._tail = deque([joined])
            self._tail_size = len(joined)
        return size

    def text(self) -> str:
        """All that was kept, with a mark where something was not."""
        total, text = self._joined
        if total != self.total:
            # Kept: to put 8 MB together takes as long as a stopped execution may take in all.
            self._joined = self.total, (text := self._join())
        return text

    def _join(self) -> str:
        head, tail = "".join(self._head), "".join(self._tail)[-KEEP:]
        lost = self.total - len(head) - len(tail)
        if lost:
            return f"{head}\n[... {lost:,} characters were not kept ...]\n{tail}"
        return head + tail
