"""Workers ready to be used: one is kept warm, so that no space waits for a process to start."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ._process import WorkerProcess

REFILL_SECONDS = 0.3
"""After a worker is taken, until the next one is started: starting takes a core for 0.15 s, which
the one that was just taken needs for its first execution."""


class WorkerPool:
    """Hands out started workers.

    Args:
        compiled: the compiled guest.
        library: the zip with the guest's library.
        warm: how many to keep started.
        data: the archive with matplotlib's data, if there is one.
        compare_pages: see `WorkerProcess.start`.
    """

    def __init__(
        self,
        compiled: Path,
        library: Path,
        warm: int = 1,
        *,
        data: Path | None = None,
        compare_pages: bool = False,
    ) -> None:
        self._compiled = compiled
        self._library = library
        self._data = data
        self._warm = warm
        self._compare_pages = compare_pages
        self._starting: list[asyncio.Task[WorkerProcess]] = []
        self._refilling: asyncio.TimerHandle | None = None
        self._closed = False

    def refill(self) -> None:
        """Start as many workers as are to be warm; returns at once."""
        self._refilling = None
        while not self._closed and len(self._starting) < self._warm:
            self._starting.append(asyncio.create_task(self._start()))

    def _refill_soon(self) -> None:
        if self._refilling is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._refilling = loop.call_later(REFILL_SECONDS, self.refill)

    async def _start(self) -> WorkerProcess:
        return await WorkerProcess.start(
            self._compiled, self._library, data=self._data, compare_pages=self._compare_pages
        )

    async def take(self) -> WorkerProcess:
        """A worker that nobody else uses; the caller ends it with `kill`.

        Raises:
            SandboxError: no worker came up.
        """
        while True:
            started = (
                self._starting.pop(0) if self._starting else asyncio.create_task(self._start())
            )
            self._refill_soon()
            worker = await self._owned(started)
            if worker.alive:
                return worker
            await worker.kill()

    async def close(self) -> None:
        """End the workers that nobody took; may be called twice."""
        self._closed = True
        if self._refilling is not None:
            self._refilling.cancel()
        starting, self._starting = self._starting, []
        for task in starting:
            task.cancel()  # one that is still starting ends its process
        if starting:
            await asyncio.wait(starting)
        for task in starting:
            if not task.cancelled() and task.exception() is None:
                await task.result().kill()

    async def _owned(self, started: asyncio.Task[WorkerProcess]) -> WorkerProcess:
        """Wait for a worker; if the wait is cancelled, the next one gets it, or `close` ends it."""
        try:
            return await asyncio.shield(started)
        except asyncio.CancelledError:
            if self._closed:
                started.add_done_callback(_end_unused)
            elif not started.cancelled():
                self._starting.insert(0, started)
            raise


_ending: set[asyncio.Task[None]] = set()


def _end_unused(started: asyncio.Task[WorkerProcess]) -> None:
    if not started.cancelled() and started.exception() is None:
        task = asyncio.create_task(started.result().kill())
        _ending.add(task)
        task.add_done_callback(_ending.discard)
