"""Many requests at once, in order, with progress."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import anyio

from ..errors import SubLLMError
from ._model import SubModel
from ._together import TOGETHER, Together
from ._types import Answer, Request, Usage
from ._unwritten import UNWRITTEN, Unwritten

_log = logging.getLogger(__name__)

PROGRESS_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is: `done` counts what is finished, `failed` those of them that failed."""

    done: int
    failed: int
    total: int
    usage: Usage


OnProgress = Callable[[BatchProgress], Awaitable[None]]


async def ask_all(
    model: SubModel,
    requests: Sequence[Request],
    *,
    concurrency: int,
    on_progress: OnProgress | None = None,
) -> list[Answer | SubLLMError]:
    """Ask every request and return, in the same order, its answer or its error.

    At most `concurrency` calls are in flight. Progress is told at most every 0.2 s and once at
    the end; an error in the callback ends the telling, never the batch. Cancelling this cancels
    the calls in flight.
    """
    if concurrency < 1:
        raise ValueError("concurrency must be at least 1")
    results: list[Answer | SubLLMError | None] = [None] * len(requests)
    waiting = iter(range(len(requests)))
    together = Together(requests, in_turn=True)
    unwritten = Unwritten()
    usage = Usage()
    finished = 0

    async def work() -> None:
        nonlocal usage, finished
        TOGETHER.set(together)
        UNWRITTEN.set(unwritten)
        for index in waiting:
            result = results[index] = await ask_one(model, requests[index])
            used = usage_of(result)
            usage += used
            finished += 1
            if not used.calls:
                await asyncio.sleep(0)  # what is known waits for nothing, and others want to go on

    def progress() -> BatchProgress:
        return BatchProgress(finished, usage.failed, len(requests), usage)

    async def report() -> None:
        told = 0
        while True:
            await anyio.sleep(PROGRESS_EVERY_S)
            if finished > told:
                told = finished
                if not await tell(on_progress, progress()):
                    return

    async with anyio.create_task_group() as outer:
        if on_progress is not None:
            outer.start_soon(report)
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(concurrency, len(requests))):
                workers.create_task(work())
        await unwritten.wait()
        outer.cancel_scope.cancel()
    await tell(on_progress, progress())
    return [result for result in results if result is not None]


async def ask_one(model: SubModel, request: Request) -> Answer | SubLLMError:
    """Ask one request and return its answer or its error, whatever is raised."""
    try:
        return await model.ask(request)
    except SubLLMError as error:
        return error
    except Exception as error:
        # A fault of ours in one call must not lose the answers that are already paid for.
        _log.exception("a sub-model raised something other than SubLLMError")
        name = type(error).__name__
        return SubLLMError(f"the call failed inside rlm-mcp ({name}); see its log", kind="failed")


def usage_of(result: Answer | SubLLMError) -> Usage:
    """Return what a call used, also in vain."""
    if isinstance(result, Answer):
        return Usage.of(result)
    return Usage.of_error(result)


async def tell(on_progress: OnProgress | None, progress: BatchProgress) -> bool:
    """Tell of progress; return whether it can be told."""
    if on_progress is None:
        return True
    try:
        await on_progress(progress)
    except Exception:
        _log.debug("the progress of a batch could not be told", exc_info=True)
        return False
    return True
