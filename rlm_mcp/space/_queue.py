"""The order in which the operations of a space are carried out, and when they are refused."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from ..errors import SpaceError
from ._values import Suspension

_T = TypeVar("_T")


class Queue:
    """Carries out operations one after another, as they came.

    While one of them waits for its own caller it is suspended: what waits for its turn is refused,
    and so is what comes, since the one whom it waits for may be the one who calls.
    """

    def __init__(self) -> None:
        self.doing: str | None = None
        """What is being carried out, or `None`."""
        self.last_used = time.monotonic()
        """When an operation last began or ended."""
        self._suspension: Suspension | None = None
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiting: dict[asyncio.Task[Any], str | None] = {}
        """What waits for its turn, and why it is refused if it is."""

    @property
    def busy(self) -> bool:
        """Whether an operation is being carried out."""
        return self._lock.locked()

    @property
    def suspension(self) -> Suspension | None:
        """What an operation waits for, if that comes from its own caller."""
        suspension = self._suspension
        return suspension if suspension is not None and suspension.waits else None

    def suspend(self, suspension: Suspension) -> None:
        """Say that an operation waits for its own caller, until `resume`."""
        self._suspension = suspension
        for task in self._waiting:
            self._waiting[task] = suspension.refusal()
            task.cancel()

    def resume(self) -> None:
        """Say that it goes on."""
        self._suspension = None

    async def carry_out(
        self,
        doing: str,
        run: Callable[[asyncio.Event], Awaitable[_T]],
        cancel: asyncio.Event | None = None,
    ) -> _T:
        """Carry out one operation after those before it.

        It runs in a task of its own: a caller that goes away stops the code, in order, and
        leaves the space whole.

        Args:
            doing: what it is, in some words.
            run: carries it out, and stops when the event that it is given is set.
            cancel: when set, it is stopped.

        Raises:
            SpaceError: it is refused, or was stopped before it began.
        """
        cancel = cancel or asyncio.Event()
        task = asyncio.ensure_future(self._in_order(doing, run, cancel))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            cancel.set()
            task.add_done_callback(forget_result)
            raise

    async def idle(self, within: float) -> bool:
        """Whether nothing is being carried out; if something is, it gets some seconds to end."""
        if self.busy and self.suspension is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within), self._lock:
                    pass
        return not self.busy and self.suspension is None

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Nothing is being carried out: it is waited for, and what comes waits."""
        async with self._lock:
            yield

    async def close(self) -> None:
        """End all of them; may be called twice."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _in_order(
        self, doing: str, run: Callable[[asyncio.Event], Awaitable[_T]], cancel: asyncio.Event
    ) -> _T:
        async with self._turn():
            if cancel.is_set():
                raise SpaceError("the call was cancelled before it began")
            self.doing = doing
            self.last_used = time.monotonic()
            try:
                return await run(cancel)
            finally:
                self.doing = None
                self.last_used = time.monotonic()

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Hold the lock; refused if suspended, or if that comes before its turn."""
        if self.suspension is not None:
            raise SpaceError(self.suspension.refusal())
        task = asyncio.current_task()
        assert task is not None
        self._waiting[task] = None
        try:
            await self._lock.acquire()
        except asyncio.CancelledError:
            refusal = self._waiting[task]
            if refusal is None:
                raise
            task.uncancel()
            raise SpaceError(refusal) from None
        finally:
            del self._waiting[task]
        try:
            yield
        finally:
            self._lock.release()


def forget_result(task: asyncio.Future[Any]) -> None:
    """Look at how a task ended, so that asyncio does not warn that nobody did."""
    if not task.cancelled():
        task.exception()
