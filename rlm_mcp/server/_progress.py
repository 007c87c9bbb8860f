"""Progress for the client while a call takes long."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

INTERVAL_SECONDS = 1.0

Send = Callable[[float, float | None, str], Awaitable[None]]


class Progress:
    """Tells a client what its call is doing, at most once a second.

    Args:
        send: sends a notification: progress, total, message.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._said: tuple[float, str] | None = None
        self._begin = time.monotonic()
        self._position = 0.0

    def say(self, part: float, text: str) -> None:
        """Note what is being done; `part` (0 to 1) is how much of that is done."""
        self._said = (part, text)

    @contextlib.contextmanager
    def within(self) -> Iterator[None]:
        """Forget what is said in the block when it is over."""
        before = self._said
        try:
            yield
        finally:
            self._said = before

    @contextlib.asynccontextmanager
    async def running(self, doing: Callable[[], str | None]) -> AsyncIterator[None]:
        """Send progress while the block runs.

        Args:
            doing: says what is being done when nothing was noted.
        """
        task = asyncio.create_task(self._tell(doing))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])  # which lets a cancellation of this call through

    async def _tell(self, doing: Callable[[], str | None]) -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            if self._said is not None:
                part, text = self._said
                percent = f" ({part:.0%})" if part > 0 else ""
            else:
                text, percent = doing() or "working", ""
            # The protocol wants numbers that only grow, whatever is being counted.
            self._position += 1
            seconds = time.monotonic() - self._begin
            with contextlib.suppress(Exception):
                await self._send(self._position, None, f"{text}{percent}, {seconds:.0f} s")
