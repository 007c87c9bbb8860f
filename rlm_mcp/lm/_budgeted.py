"""The stage that charges an account, and keeps to its budgets."""

from __future__ import annotations

import math
from dataclasses import replace

import anyio

from ..errors import SubLLMError
from ._account import Account
from ._budget import KINDS, NO_BUDGET, Budget
from ._hold import Hold
from ._meter import METER
from ._model import SubModel
from ._trouble import charged
from ._types import DEFAULT_OUTPUT_TOKENS, Answer, Request, Usage

_LENGTHS = (DEFAULT_OUTPUT_TOKENS, 1024, 256)
"""Tokens of an answer that nothing bounds, under a budget: the first that still fits. Shorter than
the last, answers are mostly cut off (a guess)."""
_CAUTION = 4 / 3
"""By which the estimate of a prompt's tokens is raised before it is reserved: code and tables have
about three characters to a token, where the estimate says four."""
_RAISES_EACH = {kind: f"{kind} in RLM_MCP_CALL_BUDGET" for kind in KINDS}


class Budgeted:
    """Asks another stage within the budgets of an account.

    Args:
        inner: the next stage.
        account: which pays.
        each: what one request may use.
    """

    def __init__(self, inner: SubModel, account: Account, each: Budget = NO_BUDGET) -> None:
        self._inner = inner
        self._account = account
        self._each = each

    async def ask(self, request: Request) -> Answer:
        """Reserve, ask, and settle; raise `SubLLMError` of kind `budget` where nothing is left."""
        account = self._account
        if self._each != NO_BUDGET:
            account = Account(
                "one sub-LLM call", self._each, account, _RAISES_EACH, "ask for less in one call"
            )
        seconds = account.seconds_left()
        holds: list[Hold] = []
        if seconds == math.inf:
            answer = await self._ask(account, request, holds)
        else:
            answer = None
            with anyio.move_on_after(max(seconds, 0)):
                answer = await self._ask(account, request, holds)
        if answer is None:
            tries = sum(hold.tries for hold in holds)
            usd = None if tries else 0.0  # nobody says what was charged for it
            raise charged(account.cut_short(request), Usage(tries, usd=usd))
        return answer

    async def _ask(self, account: Account, request: Request, holds: list[Hold]) -> Answer | None:
        request, need = await self._need(account, request)
        hold = await Hold.open(account, request, need)
        holds.append(hold)
        outer = METER.set(hold)
        usage: Usage | None = None
        answer: Answer | None = None
        try:
            with account.taking():
                try:
                    answer = await self._inner.ask(request)
                    usage = Usage.of(answer)
                except SubLLMError as error:
                    usage = Usage.of_error(error)
                    raise
                finally:
                    # Before its time is taken from what the others have left.
                    hold.close(usage)
        finally:
            METER.reset(outer)
        return answer

    async def _need(self, account: Account, request: Request) -> tuple[Request, Usage]:
        """What a request may use, and the request with an answer of bounded length."""
        if not account.bounds("tokens", "input_tokens", "output_tokens", "usd"):
            return request, Usage(1)
        if request.max_tokens is not None or not account.bounds("tokens", "output_tokens", "usd"):
            return request, await self._most(request)
        await account.spent()
        for length in _LENGTHS:
            shorter = replace(request, max_tokens=min(length, self._each.output_tokens or length))
            need = await self._most(shorter)
            if account.fits(need):
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
