"""The end of a turn: by itself, by stopping its code, or with its worker."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from ._clock import Clock
from ._process import WorkerProcess

GRACE_SECONDS = 1.0
"""From the stop exception to the end of the worker: enough for `finally` blocks and for a C
call of ordinary length, short enough that a caller does not wonder (a guess)."""

Running = asyncio.Future[tuple[dict[str, Any], bytes]]
"""A turn whose end its worker will report."""


class LostError(Exception):
    """A turn ended without a result, and the guest's memory with it.

    Args:
        cause: `timeout`, `cancelled`, `stack`, `broken`, `unusable`, `died`, or what the guest
            did, such as `exit 3` or `trap: ...`.
        stray: the end of what the interpreter itself printed.
    """

    def __init__(self, cause: str, stray: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.stray = stray


async def until_ended(
    worker: WorkerProcess, running: Running, clock: Clock, cancel: asyncio.Event
) -> None:
    """Wait for the end of a turn, or for the time to end it.

    Args:
        worker: that runs it.
        running: the turn.
        clock: the time that it has.
        cancel: when set, its time is over.

    Raises:
        LostError: it had to be ended with its worker.
    """
    cancelled = asyncio.ensure_future(cancel.wait())
    try:
        while not running.done() and not cancel.is_set() and clock.left() > 0:
            waited: list[asyncio.Future[Any]] = [running, cancelled]
            await asyncio.wait(
                waited,
                timeout=clock.left(),
                return_when=asyncio.FIRST_COMPLETED,
            )
    finally:
        cancelled.cancel()
    if not running.done() and not await _stop(worker, running):
        raise LostError("cancelled" if cancel.is_set() else "timeout")


async def _stop(worker: WorkerProcess, running: Running) -> bool:
    """Ask the code to stop; after the grace period end the worker.

    Returns:
        Whether the turn came to its end.
    """
    deadline = time.monotonic() + GRACE_SECONDS
    while not running.done() and (left := deadline - time.monotonic()) > 0:
        # Again and again: code may have swallowed the exception, or had not begun.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left):  # a worker that no longer reads blocks us
                await worker.interrupt()
        await asyncio.wait([running], timeout=min(left, 0.3))
    if running.done():
        return True
    await worker.kill()
    await asyncio.wait([running])
    running.exception()
    return False
