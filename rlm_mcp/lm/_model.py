"""The seam behind which every source of answers sits, and every stage on the way to one."""

from __future__ import annotations

from typing import Protocol

from ._types import Answer, Request, Usage


class SubModel(Protocol):
    """Answers requests; safe to use from many tasks of one event loop at once."""

    async def ask(self, request: Request) -> Answer:
        """Answer one request, or raise `SubLLMError`; cancelling it ends the call in flight."""
        ...

    async def estimate(self, request: Request) -> Usage:
        """What a request would use, before it is sent: `output_tokens` is the most it may be.

        `usd` is None where the price is unknown; `cached` is 1 where nothing would be asked.
        """
        ...

    async def aclose(self) -> None:
        """Give back connections and processes; may be called twice."""
        ...
