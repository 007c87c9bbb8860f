"""The stage that bounds how many calls are in flight to one provider."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from ._choose import AGENT
from ._model import SubModel
from ._stage import Stage
from ._types import Answer, Request

IN_FLIGHT = 128
"""Calls to one provider (a guess): over all spaces and maps of a server. A single map asks for 16
unless its code says more, and 100 that a careful author asks for must not be halved unseen."""


class Bounded(Stage):
    """Asks another stage, with a bound on the calls in flight for each provider.

    Args:
        inner: the next stage.
        default_model: who is asked if a request does not say.
        in_flight: the bound.
    """

    def __init__(self, inner: SubModel, default_model: str, in_flight: int = IN_FLIGHT) -> None:
        super().__init__(inner)
        self._default_model = default_model
        self._in_flight = in_flight
        # One is there while a call holds it; guest code may name any number of providers.
        self._gates: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def ask(self, request: Request) -> Answer:
        """Ask when there is room."""
        model = request.model or self._default_model
        if model == AGENT:  # which answers all its questions together
            return await self._inner.ask(request)
        async with self._gate(model.partition("/")[0]):
            return await self._inner.ask(request)

    def _gate(self, provider: str) -> asyncio.Semaphore:
        gate = self._gates.get(provider)
        if gate is None:
            gate = self._gates[provider] = asyncio.Semaphore(self._in_flight)
        return gate
