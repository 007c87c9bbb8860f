"""Sub-LLM calls that guest code has begun and waits for as they end: the guest's `sub_llm_wait`.

The guest has one thread, so it begins, cancels and waits for any number of calls in one message.
What is in flight lives here between messages, until the execution ends.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from pydantic import Field

from ..errors import BadRequestError, SubLLMError
from ._batch import BatchProgress, OnProgress, ask_one, tell, usage_of
from ._guest_calls import CallLimits, RequestReader, Strict, checked, fitting
from ._model import SubModel
from ._together import TOGETHER, Together
from ._types import Answer, Request, Usage
from ._unwritten import UNWRITTEN, Unwritten

GATHER_S = 0.005
"""After a call has ended, the others that end within this time are told of with it: a message to
the guest costs about 1 ms (measured)."""
GATHER_BACKLOG_S = 0.03
"""The same while more calls wait here than are made at once, so that nothing waits for the guest
(a guess: a third of the shortest calls there are)."""
MAX_OWNERS = 64
"""Event loops that wait at once: one, and one in each fork of a `pmap`, of which there are 16."""
_ENDED = "the execution has ended; no call is made any more"
_FEW, _FEW_CHARS = 20, 100_000
"""Requests, and characters of them, that are read on the event loop; more is read in a thread."""


class _Wait(Strict):
    owner: Annotated[str, Field(min_length=1, max_length=64)]
    new: list[Any]
    cancel: Annotated[list[int], Field(max_length=20_000)]
    timeout: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] | None


class _New(Strict):
    ticket: Annotated[int, Field(ge=0, lt=1 << 62)]
    request: dict[str, Any]


@dataclass(slots=True)
class _Owner:
    """One event loop of the guest, or of a fork of it: its tickets are its own."""

    name: str
    tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    done: dict[int, Answer | SubLLMError] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def cancel(self, ticket: int) -> None:
        """End a call that is not wanted any more, or forget what came of it."""
        self.done.pop(ticket, None)
        if (task := self.tasks.get(ticket)) is not None:
            task.cancel()

    async def wait(self, seconds: float | None) -> bool:
        """Wait until a call has ended and was not told of, none is left, or the time is over.

        Returns:
            Whether others may end soon, and can be waited for.
        """
        try:
            async with asyncio.timeout(seconds):
                while self.tasks and not self.done:
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            return False
        return bool(self.done and self.tasks) and seconds != 0

    def take(self) -> list[dict[str, Any]]:
        """What has ended, as far as it fits into one message."""
        taken = [
            {"ticket": ticket, **rendered}
            for ticket, rendered in zip(self.done, fitting(list(self.done.values())), strict=False)
        ]
        for told in taken:
            del self.done[told["ticket"]]
        return taken


class InFlight:
    """The calls that one execution waits for. Made inside a running event loop.

    Args:
        model: answers them.
        on_progress: is told after each that has ended.
        limits: of them all; left out, the usual ones.
    """

    def __init__(
        self,
        model: SubModel,
        on_progress: OnProgress | None = None,
        limits: CallLimits | None = None,
    ) -> None:
        self._model = model
        self._on_progress = on_progress
        self._limits = limits = limits or CallLimits()
        self._room = asyncio.Semaphore(limits.max_in_flight)
        self._together = Together()
        self._unwritten = Unwritten()
        self._owners: dict[str, _Owner] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._bytes = 0
        self._total = self._finished = 0
        self._usage = Usage()
        self._asking = 0
        self._closed = False

    @property
    def usage(self) -> Usage:
        """What the calls used; those that are in flight count as failed."""
        return self._usage + _unknown(self._asking)

    @property
    def progress(self) -> BatchProgress:
        """How far they are."""
        return BatchProgress(self._finished, self._usage.failed, self._total, self._usage)

    async def wait(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Begin and cancel calls, then wait until one has ended, or the time is over.

        Args:
            fields: what the guest sent: `owner` (names its event loop), `new` (tickets, each with
                a request as in `sub_llm`), `cancel` (tickets), `timeout` (seconds, or None).

        Returns:
            `{"done": [...]}`: what `answer_guest` says of a request, each with its `ticket`. With
            nothing in flight it is empty, at once.

        Raises:
            BadRequestError: the fields are wrong. A request that is wrong is an answer instead.
        """
        message = checked(_Wait, dict(fields), "sub_llm_wait")
        if self._closed:
            raise BadRequestError(_ENDED)
        owner = self._owners.get(message.owner)
        if owner is None:
            if len(self._owners) >= MAX_OWNERS:
                raise BadRequestError(f"over {MAX_OWNERS} event loops wait for sub-LLM calls")
            owner = self._owners[message.owner] = _Owner(message.owner)
        try:
            for ticket in message.cancel:
                owner.cancel(ticket)
            if message.new:
                await self._begin(owner, message.new)
            if await owner.wait(message.timeout):
                backlog = len(self._tasks) > self._limits.max_in_flight
                gather = GATHER_BACKLOG_S if backlog else GATHER_S
                await asyncio.sleep(min(gather, message.timeout or gather))
            if not owner.tasks:  # the last answers wait until all are on the disk
                await self._unwritten.wait()
            return {"done": owner.take()}
        finally:
            self._forget_if_empty(owner)

    def close(self) -> None:
        """Cancel what is in flight, and begin nothing more; may be called twice."""
        self._closed = True
        for task in self._tasks:
            task.cancel()

    async def _begin(self, owner: _Owner, new: list[Any]) -> None:
        if len(new) > self._limits.max_requests:
            raise BadRequestError(f"{len(new)} calls in one message is too many")
        if _is_light(new):
            read = _read(new, self._limits)
        else:
            # Megabytes from the guest must not hold up the server.
            read = await to_thread.run_sync(_read, new, self._limits)
        if self._closed:
            raise BadRequestError(_ENDED)
        self._owners[owner.name] = owner
        if busy := [ticket for ticket, _ in read if ticket in owner.tasks or ticket in owner.done]:
            raise BadRequestError(f"ticket {busy[0]} is in flight already")
        self._together.add([found for _, found in read if isinstance(found, Request)])
        for ticket, found in read:
            self._total += 1
            if isinstance(found, SubLLMError):
                await self._ended(owner, ticket, found)
                continue
            size = _size(found)
            if (refusal := self._no_room(size)) is not None:
                self._together.drop(found)
                await self._ended(owner, ticket, refusal)
                continue
            self._bytes += size
            task = owner.tasks[ticket] = asyncio.create_task(self._ask(owner, ticket, found))
            self._tasks.add(task)
            task.add_done_callback(partial(self._gone, owner, ticket, found, size))

    def _gone(
        self, owner: _Owner, ticket: int, request: Request, size: int, task: asyncio.Task[None]
    ) -> None:
        self._tasks.discard(task)
        self._together.drop(request)
        self._bytes -= size
        self._total -= task.cancelled()
        if owner.tasks.get(ticket) is task:
            del owner.tasks[ticket]
        owner.changed.set()
        self._forget_if_empty(owner)

    def _forget_if_empty(self, owner: _Owner) -> None:
        if not owner.tasks and not owner.done and self._owners.get(owner.name) is owner:
            del self._owners[owner.name]

    def _no_room(self, size: int) -> SubLLMError | None:
        limits = self._limits
        if len(self._tasks) < limits.max_requests and (
            not self._tasks or self._bytes + size <= limits.max_waiting_bytes
        ):
            return None
        return SubLLMError(
            f"an execution waits for at most {limits.max_requests:,} calls and "
            f"{limits.max_waiting_bytes:,} bytes of prompts at once",
            kind="failed",
        )

    async def _ask(self, owner: _Owner, ticket: int, request: Request) -> None:
        TOGETHER.set(self._together)  # the context is that of this call's own task
        UNWRITTEN.set(self._unwritten)
        async with self._room:
            self._asking += 1
            try:
                result = await ask_one(self._model, request)
            except asyncio.CancelledError:
                self._usage += _unknown(1)
                raise
            finally:
                self._asking -= 1
        self._usage += usage_of(result)
        await self._ended(owner, ticket, result)

    async def _ended(self, owner: _Owner, ticket: int, result: Answer | SubLLMError) -> None:
        owner.tasks.pop(ticket, None)
        owner.done[ticket] = result
        owner.changed.set()
        self._finished += 1
        if not await tell(self._on_progress, self.progress):
            self._on_progress = None


def _read(new: list[Any], limits: CallLimits) -> list[tuple[int, Request | SubLLMError]]:
    reader = RequestReader(limits)
    found: list[tuple[int, Request | SubLLMError]] = []
    seen: set[int] = set()
    for one in new:
        begun = checked(_New, one, "a new call of sub_llm_wait")
        if begun.ticket in seen:
            raise BadRequestError(f"ticket {begun.ticket} is there twice")
        seen.add(begun.ticket)
        try:
            found.append((begun.ticket, reader.read(begun.request, "the prompt")))
        except BadRequestError as error:
            found.append((begun.ticket, SubLLMError(str(error), kind="failed")))
    return found


def _unknown(calls: int) -> Usage:
    """What calls used that have no end yet, or none that anybody waited for."""
    return Usage(calls, calls, usd=None if calls else 0.0)


def _size(request: Request) -> int:
    """About how many bytes a request takes while it waits."""
    prompt = request.prompt
    schema = 0 if request.schema is None else len(json.dumps(request.schema))
    return 1000 + len(prompt.text) + schema + sum(len(part.data) for part in prompt.attachments)


def _is_light(new: list[Any]) -> bool:
    chars = 0
    for one in new[:_FEW]:
        request = one.get("request") if isinstance(one, dict) else None
        if not isinstance(request, dict) or request.get("schema") or "attachments" in request:
            return False
        prompt = request.get("prompt")
        chars += len(prompt) if isinstance(prompt, str) else 0
    return len(new) <= _FEW and chars <= _FEW_CHARS
