"""The stage that charges an account, and keeps to its budgets."""

from __future__ import annotations

import math
from dataclasses import replace

import anyio

from rlm_mcp.errors import SubLLMError

from ._budget import Account
from ._meter import METER
from ._model import SubModel
from ._types import DEFAULT_OUTPUT_TOKENS, Answer, Request, Usage

_LENGTHS = (DEFAULT_OUTPUT_TOKENS, 1024, 256)
"""Tokens of an answer that nothing bounds, under a budget: the first that still fits. Shorter than
the last, answers are mostly cut off (a guess)."""
_CAUTION = 4 / 3
"""By which the estimate of a prompt's tokens is raised before it is reserved: code and tables have
about three characters to a token, where the estimate says four."""


class Budgeted:
    """Asks another stage within the budgets of an account.

    Args:
        inner: the next stage.
        account: which pays.
    """

    def __init__(self, inner: SubModel, account: Account) -> None:
        self._inner = inner
        self._account = account

    async def ask(self, request: Request) -> Answer:
        """Reserve, ask, and settle; raise `SubLLMError` of kind `budget` where nothing is left."""
        seconds = self._account.seconds_left()
        if seconds == math.inf:
            return await self._ask(request)
        with anyio.move_on_after(max(seconds, 0)):
            return await self._ask(request)
        raise self._account.out_of_time(request)

    async def _ask(self, request: Request) -> Answer:
        request, need = await self._need(request)
        hold = await self._account.hold(request, need)
        outer = METER.set(hold)
        usage: Usage | None = None
        try:
            answer = await self._inner.ask(request)
            usage = Usage.of(answer)
        except SubLLMError as error:
            usage = Usage.of_error(error)
            raise
        finally:
            METER.reset(outer)
            hold.close(usage)
        return answer

    async def _need(self, request: Request) -> tuple[Request, Usage]:
        """What a request may use, and the request with an answer of bounded length."""
        if not (self._account.bounds("tokens") or self._account.bounds("usd")):
            return request, Usage(1)
        if request.max_tokens is not None:
            return request, await self._most(request)
        await self._account.spent()
        for length in _LENGTHS:
            shorter = replace(request, max_tokens=length)
            need = await self._most(shorter)
            if self._account.fits(need):
                break
        return shorter, need

    async def _most(self, request: Request) -> Usage:
        estimate = await self._inner.estimate(request)
        read = math.ceil(estimate.input_tokens * _CAUTION)
        usd = None if estimate.usd is None else estimate.usd * _CAUTION
        return replace(estimate, input_tokens=read, usd=usd)

    async def estimate(self, request: Request) -> Usage:
        """What the next stage estimates."""
        return await self._inner.estimate(request)

    async def aclose(self) -> None:
        """Close the next stage."""
        await self._inner.aclose()
