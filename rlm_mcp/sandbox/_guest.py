"""A space's guest as the server sees it: open it, run turns, stop them, take its changes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import SandboxError
from ..worker._channel import MAX_BODY
from ..worker._interrupt import StopPoint
from ..worker._memory import PAGE, WASM_PAGE
from ._process import Handed, WorkerDiedError, WorkerProcess
from ._read import BIG_JSON, read_object, text_of

GRACE_SECONDS = 1.0
"""From the stop exception to the end of the worker: enough for `finally` blocks and for a C
call of ordinary length, short enough that a caller does not wonder (a guess)."""
STEP_SECONDS = 120.0
"""For what a worker does between turns; collecting 4 GiB of changes takes a few seconds, and on
a loaded machine a multiple of that."""
MAX_RUNS = 1 << 19
"""As many as a memory of 4 GiB can have: every other page."""
THROTTLE_AFTER, THROTTLE_SECONDS = 1000, 0.002
"""A guest that calls the server without end is slowed down, so that other spaces are not."""
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


class WithFile(dict[str, Any]):
    """An answer that hands the guest an open file to read parts of.

    Args:
        fields: the answer itself.
        handed: the file; closed by whoever takes the answer.
    """

    def __init__(self, fields: dict[str, Any], handed: Handed) -> None:
        super().__init__(fields)
        self.handed = handed


Answerer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""What answers the calls that a guest makes."""
_Running = asyncio.Future[tuple[dict[str, Any], bytes]]


async def refuse_calls(_fields: dict[str, Any]) -> dict[str, Any]:
    """The answer to a guest that asks where nothing is to be asked."""
    return {"refused": "this cannot be asked here"}


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
        calls = 0

        async def answer_call(body: bytes) -> tuple[bytes, Handed | None]:
            nonlocal calls
            calls += 1
            if calls > THROTTLE_AFTER:
                await asyncio.sleep(THROTTLE_SECONDS)
            begin = time.monotonic()
            fields = await read_object(body)
            if len(body) > BIG_JSON:
                # Reading holds up the server: whoever makes it read much waits as long again.
                await asyncio.sleep(time.monotonic() - begin)
            operation = fields.get("op") if fields is not None else None
            with contextlib.ExitStack() as stack:
                if isinstance(operation, str) and operation in waits:
                    stack.enter_context(clock.standing())
                reply = await answer(fields) if fields is not None else None
            refused = {"refused": "the call is not a JSON object, or has over a million values"}
            data = json.dumps(refused if reply is None else reply).encode()
            if len(data) > MAX_BODY:
                data = json.dumps({"refused": "the answer is over 64 MB: ask for less"}).encode()
            return data, reply.handed if isinstance(reply, WithFile) else None

        self._worker.answer_call = answer_call
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
            await self._until_stopped(running, clock, cancel or asyncio.Event())
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

    async def _until_stopped(self, running: _Running, clock: Clock, cancel: asyncio.Event) -> None:
        """Wait for the end of a turn, or for the time to end it.

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
        if not running.done() and not await self._stop(running):
            raise LostError("cancelled" if cancel.is_set() else "timeout")

    async def _stop(self, running: _Running) -> bool:
        """Ask the code to stop; after the grace period end the worker.

        Returns:
            Whether the turn came to its end.
        """
        deadline = time.monotonic() + GRACE_SECONDS
        while not running.done() and (left := deadline - time.monotonic()) > 0:
            # Again and again: code may have swallowed the exception, or had not begun.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):  # a worker that no longer reads blocks us
                    await self._worker.interrupt()
            await asyncio.wait([running], timeout=min(left, 0.3))
        if running.done():
            return True
        await self._worker.kill()
        await asyncio.wait([running])
        running.exception()
        return False

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


class Clock:
    """A deadline that stands still while the guest waits for the server.

    Args:
        seconds: that guest code may run.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._since = 0.0
        self._holders = 0

    @contextlib.contextmanager
    def standing(self) -> Iterator[None]:
        """Let no time pass during the block; blocks may overlap."""
        self._holders += 1
        if self._holders == 1:
            self._since = time.monotonic()
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self._end += time.monotonic() - self._since

    def left(self) -> float:
        """Seconds that are left; while it stands still, when to look again."""
        if self._holders:
            return 1.0
        return self._end - time.monotonic()


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


def scratch_file() -> int:
    """A descriptor of a new file that has no name; in memory where the kernel has that."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("rlm-mcp-pages")
    import tempfile

    descriptor, path = tempfile.mkstemp()
    os.unlink(path)  # noqa: PTH108
    return descriptor
