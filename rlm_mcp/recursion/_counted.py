"""The calls of a run, counted before they are made."""

from __future__ import annotations

from ..errors import SubLLMError
from ..lm import Answer, Request, SubModel, Usage

_KEPT_BACK = 2
"""Calls that are kept for the root model, to react and to conclude."""


class Counted:
    """A stage before a model that lets only so many calls through.

    It stands before everything a run asks, runs below it included, so that a tree of runs stays
    within the bound of its root.

    Args:
        model: that answers; closed by whoever opened it.
        limit: of calls.
    """

    def __init__(self, model: SubModel, limit: int) -> None:
        self.usage = Usage()
        """What was used so far."""
        self._model = model
        self._limit = limit
        self._taken = 0

    @property
    def left(self) -> int:
        """Calls that may still be made."""
        return self._limit - self._taken

    async def ask(self, request: Request) -> Answer:
        """Answer what code in the run asks.

        Raises:
            SubLLMError: it failed, or the calls are used up.
        """
        if self.left <= min(_KEPT_BACK, self._limit - 1):
            raise SubLLMError(
                f"the {self._limit} LLM calls of this run are used up; submit what you have, and "
                "put more into one call another time",
                kind="budget",
            )
        return await self._ask(request)

    async def ask_root(self, request: Request, *, last: bool = False) -> Answer:
        """Answer what the loop asks of the root model.

        Args:
            request: the conversation.
            last: whether the loop asks no more after it; otherwise one call is kept for that.

        Raises:
            SubLLMError: it failed, or the calls are used up.
        """
        kept = 0 if last or self._limit == 1 else 1
        if self.left <= kept:
            raise SubLLMError(f"the {self._limit} LLM calls of the run are used up", kind="budget")
        return await self._ask(request)

    async def _ask(self, request: Request) -> Answer:
        self._taken += 1
        try:
            answer = await self._model.ask(request)
        except SubLLMError as error:
            self.usage += Usage.of_error(error)
            raise
        if answer.cached:
            self._taken -= 1
        self.usage += Usage.of(answer)
        return answer

    async def estimate(self, request: Request) -> Usage:
        """What a request would use."""
        return await self._model.estimate(request)

    async def aclose(self) -> None:
        """Do nothing: the model belongs to others."""
