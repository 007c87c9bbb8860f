"""The seconds that calls take, added up while they run."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterator

import anyio


class CallSeconds:
    """Bounds what calls take together: `n` calls under way use `n` seconds in each second.

    Nothing is reserved for it. The moment in which the calls under way will have used up the rest
    is known, moves when one begins or ends, and ends them all. For one event loop.

    Args:
        rest: seconds that are left without the calls that are under way.
    """

    def __init__(self, rest: Callable[[], float]) -> None:
        self._rest = rest
        self._under_way: dict[anyio.CancelScope, float] = {}
        self._begun = 0.0
        self._one_ended = anyio.Event()
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def left(self) -> float:
        """Seconds that are left now."""
        return self._rest() - (len(self._under_way) * time.monotonic() - self._begun)

    async def end(self) -> None:
        """Cancel the calls that are under way, and wait for their end."""
        self._cancel()
        while self._under_way:
            await self._one_ended.wait()

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """Time a call; the block is cancelled, and left without an error, when nothing is left."""
        now = time.monotonic()
        with anyio.CancelScope() as scope:
            self._under_way[scope] = now
            self._begun += now
            self._set()
            try:
                yield
            finally:
                del self._under_way[scope]
                event, self._one_ended = self._one_ended, anyio.Event()
                event.set()
                self._begun = self._begun - now if self._under_way else 0.0
                self._set()

    def _set(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        left = self.left
        if self._under_way and left < math.inf:
            seconds = max(left, 0.0) / len(self._under_way)
            self._alarm = asyncio.get_running_loop().call_later(seconds, self._cancel)

    def _cancel(self) -> None:
        for scope in self._under_way:
            scope.cancel()
