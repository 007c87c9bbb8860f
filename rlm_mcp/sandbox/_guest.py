"""A space's guest as the server sees it: open it, run turns, stop them, take its changes."""

from __future__ import annotations

import asyncio
import json
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import SandboxError
from ..worker._interrupt import StopPoint
from ..worker._memory import PAGE, WASM_PAGE
from ._answer import Answerer, Calls, refuse_calls
from ._clock import Clock
from ._process import WorkerDiedError, WorkerProcess
from ._read import read_object, text_of
from ._scratch import scratch_file
from ._stop import LostError, until_ended

STEP_SECONDS = 120.0
"""For what a worker does between turns; collecting 4 GiB of changes takes a few seconds, and on
a loaded machine a multiple of that."""
MAX_RUNS = 1 << 19
"""As many as a memory of 4 GiB can have: every other page."""
_PAIR = struct.Struct("<II")
MAX_MEMORY = 4 << 30


@dataclass(frozen=True)
class State:
    """What a space is made from when it is opened.

    Args:
        size: bytes of its memory.
        layout: packed runs; their files are numbered as in `files`.
        files: open descriptors of the files, for reading.
        stop: where code is stopped.
        monotonic_ns: the guest's monotonic clock at its last commit.
    """

    size: int
    layout: bytes
    files: Sequence[int]
    stop: StopPoint | None
    monotonic_ns: int


@dataclass(frozen=True)
class Changes:
    """What differs from the last commit; the bytes of the pages lie in the scratch file.

    Args:
        runs: first page and number of pages, in the order of the scratch file.
        size: bytes of the memory.
        monotonic_ns: the guest's monotonic clock.
    """

    runs: tuple[tuple[int, int], ...]
    size: int
    monotonic_ns: int

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return sum(count for _, count in self.runs)


class Guest:
    """One space's interpreter in a worker. Not for concurrent use.

    Args:
        worker: from the pool; ended by `close`.
        memory_limit: the most bytes that the guest's memory may grow to.
    """

    def __init__(self, worker: WorkerProcess, memory_limit: int) -> None:
        self._worker = worker
        self._limit = min(memory_limit, MAX_MEMORY)
        self._size = self._collected = 0
        self.scratch = scratch_file()
        """Takes the bytes of changed pages."""

    @property
    def alive(self) -> bool:
        """Whether turns can still be run."""
        return self._worker.alive

    @property
    def pid(self) -> int:
        """The process id of the worker."""
        return self._worker.pid

    async def open(self, state: State) -> None:
        """Map a space.

        Raises:
            WorkerDiedError: the worker is gone.
            SandboxError: it cannot be mapped.
        """
        header = {
            "t": "open",
            "size": state.size,
            "limit": max(self._limit, state.size),
            "stop": _stop_words(state.stop),
            "mono": state.monotonic_ns,
        }
        self._size = state.size
        await self._worker.request(header, state.layout, [self.scratch, *state.files], STEP_SECONDS)

    async def install(self, source: str, request: bytes) -> StopPoint | None:
        """Replace the project's code in the guest with this version's.

        Args:
            source: of the bootstrap turn.
            request: what that turn asks for.

        Returns:
            Where code is stopped from now on.

        Raises:
            LostError: it did not work.
            WorkerDiedError: the worker is gone.
        """
        header = {"t": "install", "source": source}
        reply, _ = await self._worker.request(header, request, seconds=STEP_SECONDS)
        if "failed" in reply:
            raise _lost(reply)
        return _stop_point(reply.get("stop"))

    async def turn(
        self,
        request: dict[str, Any],
        *,
        seconds: float | Clock,
        cancel: asyncio.Event | None = None,
        answer: Answerer = refuse_calls,
        waits: frozenset[str] = frozenset(),
        source: int | None = None,
        target: int | None = None,
        check: bool = False,
    ) -> dict[str, Any]:
        """Run one turn.

        Args:
            request: for `rlm_guest._loop`.
            seconds: for guest code; they stand still while the guest waits for an answer. A
                clock, where something else than `waits` also makes it stand still.
            cancel: when set, the code is stopped as at its deadline.
            answer: answers what the guest asks of the server.
            waits: operations, by the field `op`, in which the guest waits for others, so that
                its time stands still.
            source: descriptor that the guest may read from.
            target: descriptor that the guest may write to.
            check: whether another turn must be possible after it, or all is lost.

        Returns:
            What the guest handed in. Guest code that was stopped in time says so there.

        Raises:
            LostError: there is no result, and the guest has to be opened again.
        """
        clock = seconds if isinstance(seconds, Clock) else Clock(seconds)
        self._worker.answer_call = Calls(answer, waits, clock).answer
        header: dict[str, Any] = {"t": "turn", "check": check}
        descriptors = []
        for key, descriptor in (("input", source), ("output", target)):
            if descriptor is not None:
                header[key] = True
                descriptors.append(descriptor)
        running = asyncio.ensure_future(
            self._worker.request(header, json.dumps(request).encode(), descriptors)
        )
        try:
            await until_ended(self._worker, running, clock, cancel or asyncio.Event())
            reply, data = await running
        except WorkerDiedError as error:
            raise LostError("died") from error
        except SandboxError as error:
            raise LostError("broken") from error
        finally:
            running.cancel()
            self._worker.answer_call = None
        if "failed" in reply:
            raise _lost(reply)
        result = await read_object(data)
        if result is None:
            raise LostError("broken")
        return result

    async def collect(self) -> Changes:
        """Find what differs from the last commit.

        Raises:
            WorkerDiedError: the worker is gone.
            SandboxError: the scratch file cannot be written.
        """
        header, body = await self._worker.request({"t": "collect"}, seconds=STEP_SECONDS)
        if len(body) > MAX_RUNS * _PAIR.size:
            raise WorkerDiedError("the worker lists more pages than there can be")
        runs = tuple(_PAIR.iter_unpack(body[: len(body) // 8 * 8]))
        size, monotonic = header.get("size"), header.get("mono")
        end = 0
        for page, count in runs:
            if page < end or count == 0:
                raise WorkerDiedError("the worker's list of pages is not in order")
            end = page + count
        # A memory never shrinks: a smaller one could not take the pages that are committed.
        if (
            type(size) is not int
            or type(monotonic) is not int
            or not max(end * PAGE, self._size) <= size <= max(self._limit, self._size)
            or size % WASM_PAGE
            or not 0 <= monotonic < 1 << 62
        ):
            raise WorkerDiedError("the worker's description of its memory is not possible")
        self._collected = size
        return Changes(runs, size, monotonic)

    async def adopt(self, file: int, origin: int, descriptor: int | None = None) -> None:
        """Say where the pages that were collected last are committed.

        Args:
            file: the number of the file in the guest's layout.
            origin: the first page of them in the file.
            descriptor: of the file, when it is new to the worker.
        """
        await self._worker.request(
            {"t": "adopt", "file": file, "origin": origin},
            b"",
            [] if descriptor is None else [descriptor],
            STEP_SECONDS,
        )
        self._size = self._collected

    async def discard(self) -> None:
        """Go back to the last commit."""
        await self._worker.request({"t": "discard"}, seconds=STEP_SECONDS)

    async def close(self) -> None:
        """End the worker; may be called twice."""
        await self._worker.kill()
        if self.scratch >= 0:
            os.close(self.scratch)
            self.scratch = -1


def _lost(reply: dict[str, Any]) -> LostError:
    cause = text_of(reply["failed"], 500) or "broken"
    return LostError(cause, text_of(reply.get("stray"), 2000))


def _stop_point(words: object) -> StopPoint | None:
    if not isinstance(words, list) or len(words) != 3:
        return None
    if not all(type(word) is int and 0 <= word < MAX_MEMORY for word in words):
        return None
    return StopPoint(*words)


def _stop_words(stop: StopPoint | None) -> list[int] | None:
    return [stop.async_exception, stop.eval_breaker, stop.exception] if stop else None
