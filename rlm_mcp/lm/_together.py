"""Requests that are asked together, and what is known of them from one look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar

from ._types import Answer, Request

FIRST = 128
"""Requests that are looked for first, the rest right after them: a look at a thousand takes 15 ms
(measured), in which the first of them could be asked."""
VALID_S = 5.0
"""How long it is believed that an answer is not there; another server may keep it meanwhile."""


class Lookup:
    """What is known of some questions, from one look at the store. Made when the look begins."""

    def __init__(self) -> None:
        self._keys: dict[int, str] = {}
        self._known: dict[str, Answer] = {}
        self._absent: set[str] = set()
        self._newer: set[str] = set()
        self._until = time.monotonic() + VALID_S

    def found(self, keys: dict[int, str], known: dict[str, Answer]) -> None:
        """Take what the look found.

        Args:
            keys: names the questions, by the identity of their requests.
            known: their answers, by key, as far as there are any.
        """
        self._keys = keys
        self._known = {key: known[key] for key in known.keys() - self._newer}
        self._absent = set(keys.values()) - known.keys() - self._newer

    def key(self, request: Request) -> str | None:
        """The name of a question that was looked for."""
        return self._keys.get(id(request))

    def says(self, key: str) -> bool:
        """Whether this can be asked for an answer; else the store has to be."""
        return key in self._known or (key in self._absent and time.monotonic() < self._until)

    def answer(self, key: str) -> Answer | None:
        """The answer of a question, if it was known."""
        return self._known.get(key)

    def forget(self, key: str) -> None:
        """Say no more what was found, or is being looked for: another answer was kept since."""
        self._newer.add(key)
        self._absent.discard(key)
        self._known.pop(key, None)


class Together:
    """Requests that one caller asks at about the same time, or one message after another.

    Args:
        requests: that are there from the beginning. They must not be replaced on their way, or
            they are looked for one by one.
        in_turn: whether those that were looked for together set off one after another. A hundred
            that set off at once are all made ready before the first is sent, and so have their
            answers at once, and so on.
    """

    def __init__(self, requests: Sequence[Request] = (), *, in_turn: bool = False) -> None:
        self._new: dict[int, list[Request]] = {}
        self._turn = asyncio.Semaphore() if in_turn else None
        self._looks: dict[int, list[tuple[Request, _Look]]] = {}
        self.add(requests)

    def add(self, requests: Sequence[Request]) -> None:
        """Take more requests; they are looked for with the next that is asked."""
        for request in requests:  # the same may be there several times
            self._new.setdefault(id(request), []).append(request)

    def drop(self, request: Request) -> None:
        """Let go of a request that has ended, maybe before it was asked."""
        self._new.pop(id(request), None)
        self._looks.pop(id(request), None)

    async def look(
        self, request: Request, look: Callable[[Sequence[Request]], Awaitable[Lookup]]
    ) -> Lookup | None:
        """What a look at all of them found; `None` for a request that is not one of them.

        Args:
            request: that is being asked, for the first time.
            look: looks; called with all that were not looked for yet.
        """
        if id(request) not in self._looks and self._new:
            new, self._new = [one for same in self._new.values() for one in same], {}
            for part in (new[:FIRST], new[FIRST:]):
                if part:
                    looking = _Look(look(part))
                    for one in part:
                        self._looks.setdefault(id(one), []).append((one, looking))
        found = self._looks.get(id(request))
        if found is None:
            return None
        _, looking = found.pop(0)
        if not found:
            del self._looks[id(request)]
        if self._turn is None:
            return await looking.result()
        async with self._turn:  # who waits for it next goes on in the next turn of the event loop
            return await looking.result()


class _Look:
    """One look, which does not end with a task that waits for it."""

    def __init__(self, looking: Awaitable[Lookup]) -> None:
        self._task = asyncio.ensure_future(looking)
        self._done = asyncio.Event()
        self._task.add_done_callback(lambda _: self._done.set())

    async def result(self) -> Lookup:
        await self._done.wait()
        return self._task.result()


TOGETHER: ContextVar[Together | None] = ContextVar("TOGETHER", default=None)
"""What the request of the running task is asked with; None if it is alone."""
