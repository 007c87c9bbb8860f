"""Running a function of the guest for many items, on forks of its space."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from ..errors import RlmError
from ..sandbox import Answerer, Clock, Guest, LostError, WorkerDiedError
from ._values import WAITS

MAX_ITEMS = 100_000
MAX_FORKS = 16
MAX_BYTES = 40 << 20
"""Of all results; the guest has the same bound for those of one fork."""
TOO_LARGE = "the results of pmap are over 30 MB: return less for each item"
CHUNKS_PER_FORK = 4
"""So that a fork that got the long items is not waited for alone (a guess)."""

Fork = Callable[[], Awaitable[Guest]]
Result = tuple[str, str]


def available_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


async def run_pmap(
    fields: dict[str, Any], fork: Fork, answer: Answerer, seconds: float, clock: Clock
) -> dict[str, Any]:
    """Carry out a `pmap` that guest code asked for.

    Args:
        fields: what the guest sent; checked here, since it may be an attacker's.
        fork: opens a fork of the space; closed here.
        answer: answers what the function asks of the server.
        seconds: for one fork; the execution that waits has its own deadline.
        clock: that deadline; it stands still while every fork waits for a model.

    Returns:
        `results`, or `refused` with the reason.
    """
    shared, items, workers = fields.get("shared"), fields.get("items"), fields.get("workers")
    if not isinstance(shared, str) or not isinstance(items, list) or len(items) > MAX_ITEMS:
        return {"refused": f"pmap takes at most {MAX_ITEMS:,} items"}
    if not all(isinstance(item, str) for item in items):
        return {"refused": "the items of pmap must be pickled"}
    if workers is not None and (type(workers) is not int or not 1 <= workers <= MAX_FORKS):
        return {"refused": f"`workers` must be a whole number from 1 to {MAX_FORKS}"}
    if not items:
        return {"results": []}
    count = min(workers or available_cores(), len(items), MAX_FORKS)
    results: list[Result | None] = [None] * len(items)
    step = max(1, len(items) // (count * CHUNKS_PER_FORK))
    starts = iter(range(0, len(items), step))
    room = MAX_BYTES
    busy = _Busy(clock)

    async def answer_fork(fields: dict[str, Any]) -> dict[str, Any]:
        with busy.less() if fields.get("op") in WAITS else contextlib.nullcontext():
            return await answer(fields)

    async def work() -> None:
        nonlocal room
        guest: Guest | None = None
        try:
            for start in starts:
                chunk = items[start : start + step]
                fresh = guest is None
                guest = guest or await fork()
                request = {
                    "op": "pmap_items", "shared": shared, "items": chunk, "reseed": fresh,
                }  # fmt: skip
                try:
                    found = await guest.turn(
                        request, seconds=seconds, answer=answer_fork, waits=WAITS
                    )
                    done = _checked(found, len(chunk))
                except (LostError, WorkerDiedError) as error:
                    done = [("text", f"the fork was lost ({error})")] * len(chunk)
                    await guest.close()
                    guest = None
                room -= sum(len(text) for _, text in done)
                if room < 0:
                    done = [("text", TOO_LARGE)] * len(chunk)
                results[start : start + len(chunk)] = done
        finally:
            if guest is not None:
                await guest.close()

    async def work_counted() -> None:
        with busy.more():
            await work()

    refused = ""
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(work_counted())
    except* RlmError as failures:
        refused = f"pmap could not run: {failures.exceptions[0]}"
    finally:
        busy.close()
    return {"refused": refused} if refused else {"results": results}


class _Busy:
    """Counts the forks that run code; while none does, a clock stands still."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._count = 0
        self._standing = contextlib.ExitStack()

    @contextlib.contextmanager
    def more(self) -> Iterator[None]:
        self._add(1)
        try:
            yield
        finally:
            self._add(-1)

    @contextlib.contextmanager
    def less(self) -> Iterator[None]:
        self._add(-1)
        try:
            yield
        finally:
            self._add(1)

    def close(self) -> None:
        self._standing.close()

    def _add(self, change: int) -> None:
        self._count += change
        self.close()
        if not self._count:
            self._standing.enter_context(self._clock.standing())


def _checked(found: dict[str, Any], count: int) -> list[Result]:
    if "refused" in found:
        return [("text", str(found["refused"])[:4000])] * count
    results = found.get("results")
    if not isinstance(results, list) or len(results) != count:
        raise LostError("broken")
    checked: list[Result] = []
    for result in results:
        if not isinstance(result, list) or len(result) != 2:
            raise LostError("broken")
        kind, text = result
        if kind not in ("value", "error", "text") or not isinstance(text, str):
            raise LostError("broken")
        checked.append((kind, text))
    return checked
