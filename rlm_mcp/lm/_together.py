"""Requests that are asked together, and what is known of them from one look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar

from ._types import Answer, Request

VALID_S = 5.0
"""How long it is believed that an answer is not there; another server may keep it meanwhile."""


class Lookup:
    """What is known of some questions, from one look at the store.

    Args:
        keys: names the questions, by the identity of their requests.
        known: their answers, by key, as far as there are any.
    """

    def __init__(self, keys: dict[int, str], known: dict[str, Answer]) -> None:
        self._keys = keys
        self._known = known
        self._absent = set(keys.values()) - known.keys()
        self._until = time.monotonic() + VALID_S

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
        """Say no more what was found: another answer was kept since."""
        self._absent.discard(key)
        self._known.pop(key, None)


class Together:
    """Requests that one caller asks at about the same time.

    Args:
        requests: all of them; they must not be replaced on their way, or they are looked for one
            by one.
    """

    def __init__(self, requests: Sequence[Request]) -> None:
        self._requests = requests
        self._looking: asyncio.Task[Lookup] | None = None
        self._looked = asyncio.Event()

    async def look(
        self, request: Request, look: Callable[[Sequence[Request]], Awaitable[Lookup]]
    ) -> Lookup | None:
        """What a look at all of them found; `None` for a request that is not one of them.

        Args:
            request: that is being asked.
            look: looks; called for the first that is asked.
        """
        if self._looking is None:
            self._looking = asyncio.ensure_future(look(self._requests))
            self._looking.add_done_callback(lambda _task: self._looked.set())
        await self._looked.wait()  # so that one that is cancelled does not end it for the others
        lookup = self._looking.result()
        return lookup if lookup.key(request) is not None else None


TOGETHER: ContextVar[Together | None] = ContextVar("TOGETHER", default=None)
"""What the request of the running task is asked with; None if it is alone."""
