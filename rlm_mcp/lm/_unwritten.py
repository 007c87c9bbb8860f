"""Answers that are still being written to the disk, and who waits for that.

A single call returns with its answer on the disk. Of many calls, the next one does not wait for
the disk, which may be slow or full, only the one who gets their answers does.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar


class Unwritten:
    """The answers of many calls that are being written."""

    def __init__(self) -> None:
        self._writes: set[asyncio.Event] = set()

    def add(self, written: asyncio.Event) -> None:
        """Take one more; answers that are written together have the same event."""
        self._writes.add(written)

    async def wait(self) -> None:
        """Wait until all that were added so far are written, or have waited long enough."""
        for written in list(self._writes):  # others may add more, and so would never let it end
            await written.wait()
            self._writes.discard(written)


UNWRITTEN: ContextVar[Unwritten | None] = ContextVar("UNWRITTEN", default=None)
"""Where the running task leaves what it need not wait for itself; None if it has to."""


async def settle(written: asyncio.Event) -> None:
    """Wait until the running task's answer is written, or leave that to who gets it."""
    if (unwritten := UNWRITTEN.get()) is None:
        await written.wait()
    elif not written.is_set():
        unwritten.add(written)
