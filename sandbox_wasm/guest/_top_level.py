"""Running the code of an execution that awaits, and ending what it leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from inspect import CO_COROUTINE
from types import CodeType
from typing import Any

from . import _events

Outcome = tuple[Any, BaseException | None]
ROUNDS = 100
"""Turns of the loop in which cancelled tasks must end. They are given no time to wait: a cleanup
that takes more steps than that is rare (a guess)."""

_eval = eval


def awaits(codes: Sequence[CodeType]) -> bool:
    """Whether code has an `await` at its top level."""
    return any(code.co_flags & CO_COROUTINE for code in codes)


def begin() -> None:
    """Make asyncio ready for an execution."""
    _events.install()


def run(codes: Sequence[CodeType], namespace: dict[str, Any]) -> Outcome:
    """Run parts of code in order, in one task; return the last one's value, or what was raised."""
    loop = _events.policy.standing()
    task = loop.create_task(_run(codes, namespace), name="<module>")
    try:
        outcome: Outcome = loop.run_until_complete(task)
    except BaseException as error:
        # Raised outside of the task: where the task waited is what tells something.
        _cancel(loop)
        if task.done() and not task.cancelled() and task.exception() is None:
            waited = task.result()[1]
            if isinstance(waited, asyncio.CancelledError):
                error.__traceback__ = waited.__traceback__
        return None, error
    return outcome


async def _run(codes: Sequence[CodeType], namespace: dict[str, Any]) -> Outcome:
    result = None
    try:
        for code in codes:
            result = _eval(code, namespace)
            if code.co_flags & CO_COROUTINE:
                result = await result
    except BaseException as error:
        return None, error
    return result, None


def finish() -> int:
    """End what still runs in the loop that executions share.

    Returns:
        How many tasks were cancelled.
    """
    if _events.policy.idle():
        return 0
    loop = _events.policy.take()
    assert loop is not None
    inner: Any = loop
    for timer in list(inner._scheduled):
        timer.cancel()
    left = _cancel(loop)
    loop.calls.forget()
    if asyncio.all_tasks(loop) or loop.is_closed():
        _drop(loop)
    else:
        _events.policy.give(loop)
    return left


def abandon() -> None:
    """Let go of the loop that executions share: it may have been stopped anywhere."""
    loop = _events.policy.take()
    if loop is not None:
        _drop(loop)


def _cancel(loop: _events.EventLoop) -> int:
    """Cancel all tasks and let them end, without waiting; return how many there were."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    inner: Any = loop
    for _ in range(ROUNDS):
        if not (inner._ready or inner._scheduled) and all(task.done() for task in tasks):
            break
        loop.call_soon(loop.stop)
        loop.run_forever()
    return len(tasks)


def _drop(loop: _events.EventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
