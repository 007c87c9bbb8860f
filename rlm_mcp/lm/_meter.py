"""How the ones that send tell the ones that keep accounts, across the stages between them."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

from ._types import Usage


class Meter(Protocol):
    """Told of every try of one request, so that tries count and are paid for like first ones."""

    async def begin(self) -> None:
        """A try is about to be sent; raises `SubLLMError` of kind `budget` where it may not."""
        ...

    def end(self, usage: Usage | None) -> None:
        """The try that was begun has ended and used this; `None` if it was sent and given up."""
        ...


METER: ContextVar[Meter | None] = ContextVar("METER", default=None)
"""Of the request that the running task is asking; None where nobody keeps accounts."""
