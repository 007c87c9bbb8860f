"""The stage that does not pay twice: known answers, and one call for the same question."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

import anyio
from anyio import to_thread

from ..errors import SubLLMError
from ._cache import AnswerCache, Flight
from ._choose import AGENT
from ._keys import key_of
from ._model import SubModel
from ._stage import Stage
from ._together import TOGETHER, Lookup
from ._trouble import copied
from ._types import Answer, Request, Usage
from ._unwritten import settle
from ._vectors import Texts

_IN_A_THREAD = 1 << 20
"""Characters from which a question is named in a thread; hashing a megabyte takes some ms."""


class Cached(Stage):
    """Asks another stage what is not known.

    Args:
        inner: the next stage.
        cache: of the server.
        default_model: who is asked if a request does not say.
        on_hit: is called for every answer that was known.
    """

    def __init__(
        self,
        inner: SubModel,
        cache: AnswerCache,
        default_model: str,
        on_hit: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(inner)
        self._cache = cache
        self._default_model = default_model
        self._on_hit = on_hit

    async def ask(self, request: Request) -> Answer:
        """Give the known answer, wait for one that is on its way, or ask."""
        if isinstance(request, Texts):  # whose vectors are known one by one, before this
            return await self._inner.ask(request)
        together = TOGETHER.get()
        seen = await together.look(request, self._look) if together is not None else None
        key = (seen and seen.key(request)) or await self._key(request)
        if request.fresh:
            return await self._asked(key, request)
        if (request.model or self._default_model) == AGENT:
            # A question that waits for the calling agent waits where that agent sees it.
            return await self._known(key, seen) or await self._asked(key, request)
        while True:
            flight = self._cache.flights.get(key)
            if flight is None:
                return await self._led(key, request, seen)
            result = await self._followed(flight, request)
            if flight.written is not None:
                await settle(flight.written)
            if isinstance(result, Answer):
                await self._on_hit()
                return replace(result, cached=True)
            # What ended for reasons of its own caller says nothing about this one.
            if isinstance(result, SubLLMError) and result.kind not in ("budget", "timeout"):
                raise copied(result)

    async def _led(self, key: str, request: Request, seen: Lookup | None) -> Answer:
        flight = self._cache.flights[key] = Flight(asyncio.Event())
        try:
            known = await self._known(key, seen)
            if known is not None:
                flight.result = known
                return known
            flight.result = answer = await self._asked(key, request, flight)
            return answer
        except SubLLMError as error:
            flight.result = copied(error)
            raise
        finally:
            del self._cache.flights[key]
            flight.landed.set()

    async def _look(self, requests: Sequence[Request]) -> Lookup:
        return await self._cache.look(requests, partial(key_of, model=self._default_model))

    async def _known(self, key: str, seen: Lookup | None) -> Answer | None:
        if seen is not None and seen.says(key):
            known = seen.answer(key)
        else:
            known = await self._cache.find(key)
        if known is not None:
            await self._on_hit()
        return known

    async def _followed(self, flight: Flight, request: Request) -> Answer | SubLLMError | None:
        with anyio.move_on_after(request.timeout_s):
            await flight.landed.wait()
            return flight.result
        raise SubLLMError(
            f"the same question is being asked, and had no answer within {request.timeout_s:g} s",
            kind="timeout",
            model=request.model or self._default_model,
            calls=0,
        )

    async def _asked(self, key: str, request: Request, flight: Flight | None = None) -> Answer:
        answer = await self._inner.ask(request)
        # Cut off where nobody asked for it, it is not the answer to the question.
        if not answer.cached and (not answer.truncated or request.max_tokens is not None):
            written = self._cache.keep(key, answer)
            if flight is not None:
                flight.written = written
            await settle(written)
        return answer

    async def _key(self, request: Request) -> str:
        size = len(request.prompt.text) + sum(len(part.data) for part in request.prompt.attachments)
        if size < _IN_A_THREAD:
            return key_of(request, self._default_model)
        return await to_thread.run_sync(key_of, request, self._default_model)

    async def estimate(self, request: Request) -> Usage:
        """Nothing for a known answer, else what the next stage estimates."""
        if not request.fresh and await self._cache.find(await self._key(request)) is not None:
            return Usage(cached=1)
        return await super().estimate(request)
