"""Writes what was paid for to the store, off the event loop, many at a time.

While one transaction is being written the next collects what comes in, and, where nobody waits for
it, for a moment longer. So a single answer waits for its own and a thousand share a few. What
cannot be written is kept in memory, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from anyio import to_thread

from ..errors import StoreError
from ..store import Answers, KeptAnswer, Spending

_log = logging.getLogger(__name__)

COLLECT_S = 0.02
"""After a transaction, until the next, which nobody waits for: each takes about a millisecond of
the time in which other answers are read."""
PATIENCE_S = 2.0
"""How long an answer waits to be written before it is handed on anyway (a guess: a write takes a
few ms, unless another server or a dying disk holds the database)."""
MAX_WAITING = 64 << 20
"""Bytes of answers that wait to be written; beyond that the oldest are given up (a guess: ten
thousand answers of some pages)."""
RETRY_S = 1.0
"""Until the second try of what could not be written; it doubles with each, up to `MAX_RETRY_S`."""
MAX_RETRY_S = 15.0
CLOSE_S = 2.0
"""How long it is tried when the server ends (a guess: clients wait about five seconds for it)."""
_CLOSE_PAUSE_S = 0.1
_ROW_BYTES = 500
"""About what an answer takes in memory beside its text."""


class _Enough(asyncio.Event):
    """Whoever waits for it does not want more to be collected first."""

    def __init__(self, hurry: asyncio.Event) -> None:
        super().__init__()
        self._hurry = hurry

    async def wait(self) -> Literal[True]:
        self._hurry.set()
        return await super().wait()


@dataclass(slots=True)
class _Batch:
    enough: _Enough
    """When it is written, or its answers have waited long enough."""
    answers: dict[str, KeptAnswer] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    spent: dict[str, Spending] = field(default_factory=dict)
    size: int = 0
    timed: bool = False
    written: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def empty(self) -> bool:
        return not (self.answers or self.touched or self.spent)

    def keep(self, answer: KeptAnswer) -> None:
        self.give_up(answer.key)
        self.answers[answer.key] = answer
        self.size += len(answer.answer) + _ROW_BYTES

    def give_up(self, key: str) -> None:
        if (before := self.answers.pop(key, None)) is not None:
            self.size -= len(before.answer) + _ROW_BYTES

    def spend(self, space: str, spending: Spending) -> None:
        self.spent[space] = self.spent.get(space, Spending()) + spending

    def over(self) -> None:
        self.written.set()
        self.enough.set()


class Journal:
    """For one event loop.

    Args:
        store: where it is written.
        limit: bytes that all answers may take.

    Attributes:
        trouble: why the last write failed, in words; empty if it did not.
    """

    def __init__(self, store: Answers, limit: int) -> None:
        self._store = store
        self._limit = limit
        self._hurry = asyncio.Event()
        self._next = self._batch()
        self._under_way = self._batch()
        self._writing: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._retry: asyncio.TimerHandle | None = None
        self._failures = 0
        self._given_up = False
        self._closed = False
        self.trouble = ""

    def spend(self, space: str) -> Callable[[Spending], None]:
        """What takes the spending of a space."""

        def take(spending: Spending) -> None:
            self._next.spend(space, spending)
            self._begin()

        return take

    async def spent(self, space: str) -> Spending:
        """What a space has spent, with what could not be written yet.

        Raises:
            StoreError: the database cannot be read.
        """
        await self.settled()
        async with self._turn:  # so that nothing is counted both here and there, or nowhere
            kept = await to_thread.run_sync(self._store.spent, space)
            return kept + self._next.spent.get(space, Spending())

    def touch(self, key: str) -> None:
        """Note that an answer was of use again."""
        self._next.touched.add(key)
        self._begin()

    def keep(self, *answers: KeptAnswer) -> asyncio.Event:
        """Keep answers.

        Returns:
            What is set once they are written, or cannot be, or that takes too long.
        """
        batch = self._next
        if not batch.timed:
            batch.timed = True
            asyncio.get_running_loop().call_later(PATIENCE_S, batch.enough.set)
        for answer in answers:
            batch.keep(answer)
        if self.trouble or batch.enough.is_set():
            self._bound()  # while the disk keeps up, nothing is given up for coming fast
        self._begin()
        if self._retry is not None:
            batch.enough.set()
        return batch.enough

    def waiting(self) -> dict[str, KeptAnswer]:
        """The answers that are not written yet, by key."""
        return {**self._under_way.answers, **self._next.answers}

    async def settled(self) -> None:
        """Wait until all that came in so far is written, or cannot be."""
        self._hurry.set()
        batch = self._next
        if not batch.empty:
            self._begin(now=True)
        else:
            batch = self._under_way
        if not batch.empty:  # not the task that writes: while others spend, it does not end
            await batch.written.wait()

    async def aclose(self) -> None:
        """Write what came in, and try for a while where that fails; may be called twice."""
        await self.settled()
        until = time.monotonic() + (0.0 if self._closed else CLOSE_S)
        while not self._next.empty and time.monotonic() < until:
            await asyncio.sleep(_CLOSE_PAUSE_S)
            await self.settled()
        self._closed = True
        if self._writing is not None:
            await asyncio.wait([self._writing])
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._next.answers or self._next.spent:
            _log.warning(
                "%d answers of sub-models and the spending of %d spaces are lost: %s",
                len(self._next.answers), len(self._next.spent), self.trouble,
            )  # fmt: skip

    def _batch(self) -> _Batch:
        return _Batch(_Enough(self._hurry))

    def _begin(self, *, now: bool = False) -> None:
        if self._retry is not None:
            if not now:
                return  # each try would write anew all that waits
            self._retry.cancel()
            self._retry = None
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while not self._next.empty:
            self._hurry.clear()
            async with self._turn:
                batch, self._next = self._next, self._batch()
                self._under_way = batch
                try:
                    await to_thread.run_sync(self._put, batch, bool(self.trouble))
                except StoreError as error:
                    self._put_back(batch, error)
                    return
                except Exception:
                    # A fault of ours in one value must not keep all that follows from the disk.
                    _log.exception("what was paid for could not be written")
                else:
                    self.trouble, self._failures, self._given_up = "", 0, False
                finally:
                    self._under_way = self._batch()
                    batch.over()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COLLECT_S):
                    await self._hurry.wait()

    def _put(self, batch: _Batch, careful: bool) -> None:
        if careful and batch.spent and batch.answers:
            # It may fit where the answers do not, and must not be forgotten.
            self._store.write([], [], batch.spent, self._limit)
            batch.spent = {}
        answers, touched = list(batch.answers.values()), list(batch.touched)
        self._store.write(answers, touched, batch.spent, self._limit)

    def _put_back(self, batch: _Batch, error: StoreError) -> None:
        if not self.trouble:
            _log.warning("answers of sub-models are not kept on the disk: %s", error)
        self.trouble = str(error)
        newer, self._next = self._next, self._batch()
        for part in (batch, newer):
            for answer in part.answers.values():
                self._next.keep(answer)
            for space, spending in part.spent.items():
                self._next.spend(space, spending)
        newer.over()
        self._bound()
        if not self._closed:
            wait = min(RETRY_S * 2**self._failures, MAX_RETRY_S)
            self._failures = min(self._failures + 1, 10)
            self._retry = asyncio.get_running_loop().call_later(wait, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        if not self._next.empty:
            self._begin()

    def _bound(self) -> None:
        batch = self._next
        while batch.size > MAX_WAITING and len(batch.answers) > 1:
            batch.give_up(next(iter(batch.answers)))
            if not self._given_up:
                _log.warning("answers of sub-models are lost: too many wait for the disk")
            self._given_up = True
