"""The seam behind which every source of answers sits."""

from __future__ import annotations

from typing import Protocol

from ._types import Answer, Request


class SubModel(Protocol):
    """Answers requests; safe to use from many tasks of one event loop at once."""

    async def ask(self, request: Request) -> Answer:
        """Answer one request, or raise `SubLLMError`; cancelling it ends the call in flight."""
        ...

    async def aclose(self) -> None:
        """Give back connections and processes; may be called twice."""
        ...
