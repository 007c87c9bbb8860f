"""What an execution prints, kept within bounds whatever it prints."""

from __future__ import annotations

import io
from collections import deque

KEEP = 4 << 20
"""Characters kept of the beginning, and as many of the end (a guess: 8 MB is all that an agent
could still search for)."""
_BLOCK = 1 << 18
"""Characters that are joined when there are as many."""


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
        self._latest: list[str] = []
        self._latest_size = 0
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
        self._latest.append(text[-KEEP:])
        self._latest_size += len(text)
        if len(self._latest) > 4096 or self._latest_size > _BLOCK:
            self._gather()
        return size

    def _gather(self) -> None:
        """Join what came last; what is joined already is not copied again."""
        block = "".join(self._latest)[-KEEP:]
        self._latest.clear()
        self._latest_size = 0
        self._tail.append(block)
        self._tail_size += len(block)
        while self._tail_size - len(self._tail[0]) >= KEEP:
            self._tail_size -= len(self._tail.popleft())

    def text(self) -> str:
        """All that was kept, with a mark where something was not."""
        total, text = self._joined
        if total != self.total:
            # Kept: to put 8 MB together takes as long as a stopped execution may take in all.
            self._joined = self.total, (text := self._join())
        return text

    def _join(self) -> str:
        # Joined in one step: each copy of megabytes is time in which nothing can be stopped.
        self._gather()
        tail, over = list(self._tail), self._tail_size - KEEP
        if over > 0:
            tail[0] = tail[0][over:]
        lost = self.total - sum(map(len, self._head)) - sum(map(len, tail))
        mark = f"\n[... {lost:,} characters were not kept ...]\n" if lost else ""
        return "".join([*self._head, mark, *tail])
