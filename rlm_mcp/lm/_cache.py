"""Answers that are known from before: looked up, and kept when they come in."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anyio import to_thread

from ..errors import StoreError, SubLLMError
from ..store import Answers, KeptAnswer
from ._journal import Journal
from ._together import Lookup
from ._types import Answer, Request

_log = logging.getLogger(__name__)

_TOUCH_AFTER_S = 600.0
"""Only after this is it noted again that an answer was of use, so that a map that is repeated
writes nothing."""


@dataclass(eq=False, slots=True)
class Flight:
    """A question that is being asked; others that ask the same wait for it.

    Args:
        landed: is done when it has ended.
        result: what came of it; `None` if it was cancelled.
        written: is done when the answer is on the disk, or has waited long enough for it.
    """

    landed: asyncio.Event
    result: Answer | SubLLMError | None = None
    written: asyncio.Event | None = None


class AnswerCache:
    """The answers of a home, as one server sees them. For one event loop.

    Args:
        store: where they are.
        journal: writes new ones.

    Attributes:
        flights: questions that are being asked now, by key.
    """

    def __init__(self, store: Answers, journal: Journal) -> None:
        self._store = store
        self._journal = journal
        self._asked: list[tuple[str, asyncio.Future[Answer | None]]] = []
        self._looking: asyncio.Task[None] | None = None
        self._failed = False
        self._lookups: list[weakref.ref[Lookup]] = []
        self.flights: dict[str, Flight] = {}

    async def find(self, key: str) -> Answer | None:
        """A known answer. What is asked for at the same time is looked up in one query."""
        future = asyncio.get_running_loop().create_future()
        self._asked.append((key, future))
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        found: Answer | None = await future
        return found

    async def look(self, requests: Sequence[Request], name: Callable[[Request], str]) -> Lookup:
        """What is known of many questions, in one query.

        Args:
            requests: of which each is one.
            name: gives the key of a request; called in a thread.
        """

        def read() -> tuple[dict[int, str], dict[str, tuple[Answer, float]]]:
            keys = {id(request): name(request) for request in requests}
            return keys, self._read(list(set(keys.values())))

        now = time.time()
        lookup = Lookup()
        self._lookups = [seen for seen in self._lookups if seen() is not None]
        self._lookups.append(weakref.ref(lookup))  # what is kept meanwhile is not seen by the look
        waiting = self._journal.waiting()
        keys, found = await to_thread.run_sync(read)
        found.update(_read_of(waiting, set(keys.values()), now))
        for key, (_, used) in found.items():
            self._touch(key, used, now)
        lookup.found(keys, {key: answer for key, (answer, _) in found.items()})
        return lookup

    def keep(self, key: str, answer: Answer) -> asyncio.Event:
        """Keep an answer; return what is set when it is on the disk, or has waited long enough."""
        for seen in self._lookups:
            if (lookup := seen()) is not None:
                lookup.forget(key)
        return self._journal.keep(KeptAnswer(key, answer.model, _packed(answer)))

    async def _look(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, []
            now = time.time()
            found: dict[str, tuple[Answer, float]] = {}
            keys = [key for key, _ in asked]
            waiting = self._journal.waiting()
            try:
                found = await to_thread.run_sync(self._read, keys)
                found.update(_read_of(waiting, keys, now))
            finally:
                self._tell(asked, found, now)

    def _tell(
        self,
        asked: list[tuple[str, asyncio.Future[Answer | None]]],
        found: dict[str, tuple[Answer, float]],
        now: float,
    ) -> None:
        for key, future in asked:
            answer, used = found.get(key, (None, now))
            self._touch(key, used, now)
            if not future.done():
                future.set_result(answer)

    def _touch(self, key: str, used: float, now: float) -> None:
        if now - used > _TOUCH_AFTER_S:
            self._journal.touch(key)

    def _read(self, keys: list[str]) -> dict[str, tuple[Answer, float]]:
        try:
            kept = self._store.find(keys)
            self._failed = False
        except StoreError as error:
            # Then everything is asked: dearer than knowing, and better than failing.
            if not self._failed:
                _log.warning("known answers of sub-models cannot be read: %s", error)
            self._failed = True
            return {}
        found = {}
        for key, row in kept.items():
            if (answer := _unpacked(row)) is not None:
                found[key] = (answer, row.used)
        return found


def _read_of(
    waiting: Mapping[str, KeptAnswer], keys: Collection[str], now: float
) -> dict[str, tuple[Answer, float]]:
    """The answers of those keys that the store does not have yet, as if it had them."""
    found = {}
    for key in waiting.keys() & keys:
        if (answer := _unpacked(waiting[key])) is not None:
            found[key] = (answer, now)
    return found


def _packed(answer: Answer) -> bytes:
    fields = [
        answer.text, answer.data, answer.input_tokens, answer.output_tokens, answer.usd,
        answer.truncated,
    ]  # fmt: skip
    return json.dumps(fields).encode()


def _unpacked(row: KeptAnswer) -> Answer | None:
    try:
        fields: list[Any] = json.loads(row.answer)
        text, data, read, written, usd, truncated = fields
    except (ValueError, TypeError, RecursionError):
        _log.warning("a known answer is damaged and will be asked for again")
        return None
    if not isinstance(text, str):
        return None
    return Answer(text, data, row.model, read, written, usd, truncated, cached=True)
