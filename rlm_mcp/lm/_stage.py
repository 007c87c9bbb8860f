"""What stages on the way to a model have in common."""

from __future__ import annotations

from ._model import SubModel
from ._types import Request, Usage


class Stage:
    """Asks another stage, in some way of its own; the rest is passed on.

    Args:
        inner: the next stage.
    """

    def __init__(self, inner: SubModel) -> None:
        self._inner = inner

    async def estimate(self, request: Request) -> Usage:
        """What the next stage estimates."""
        return await self._inner.estimate(request)

    async def aclose(self) -> None:
        """Close the next stage."""
        await self._inner.aclose()
