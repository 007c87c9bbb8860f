"""Writes what was paid for to the store, off the event loop, many at a time.

While one transaction is being written the next collects what comes in, so a single answer waits
for its own and a thousand share a few.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from anyio import to_thread

from rlm_mcp.errors import StoreError

from ..store import Answers, KeptAnswer, Spending

logger = logging.getLogger(__name__)

PATIENCE_S = 2.0
"""How long an answer waits to be written before it is handed on anyway (a guess: a write takes a
few ms, unless another server or a dying disk holds the database)."""


@dataclass(slots=True)
class _Batch:
    answers: dict[str, KeptAnswer] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    spent: dict[str, Spending] = field(default_factory=dict)
    written: asyncio.Event = field(default_factory=asyncio.Event)
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    """When it is written, or its answers have waited long enough."""

    @property
    def empty(self) -> bool:
        return not (self.answers or self.touched or self.spent)


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
        self._next = _Batch()
        self._writing: asyncio.Task[None] | None = None
        self.trouble = ""

    def spend(self, space: str) -> Callable[[Spending], None]:
        """What takes the spending of a space."""

        def take(spending: Spending) -> None:
            spent = self._next.spent
            spent[space] = spent.get(space, Spending()) + spending
            self._begin()

        return take

    def touch(self, key: str) -> None:
        """Note that an answer was of use again."""
        self._next.touched.add(key)
        self._begin()

    async def keep(self, *answers: KeptAnswer) -> None:
        """Keep answers; return once they are written, or cannot be, or that takes too long."""
        batch = self._next
        if not batch.answers:
            asyncio.get_running_loop().call_later(PATIENCE_S, batch.enough.set)
        batch.answers.update((answer.key, answer) for answer in answers)
        self._begin()
        await batch.enough.wait()

    async def settled(self) -> None:
        """Wait until all that came in so far is written, or cannot be."""
        batch = self._next
        if not batch.empty:
            self._begin()
            await batch.written.wait()
        elif self._writing is not None:
            await asyncio.wait([self._writing])

    def _begin(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while not self._next.empty:
            batch, self._next = self._next, _Batch()
            try:
                await to_thread.run_sync(
                    self._store.write,
                    list(batch.answers.values()),
                    list(batch.touched),
                    batch.spent,
                    self._limit,
                )
                self.trouble = ""
            except StoreError as error:
                if not self.trouble:
                    logger.warning("answers of sub-models are not kept: %s", error)
                self.trouble = str(error)
                more = not self._next.empty
                self._put_back(batch)
                if not more:
                    return  # what was put back is tried again with what comes next
            finally:
                batch.written.set()
                batch.enough.set()

    def _put_back(self, batch: _Batch) -> None:
        # The answers have reached their callers; what they cost must not be forgotten.
        for space, spending in batch.spent.items():
            self._next.spent[space] = self._next.spent.get(space, Spending()) + spending
