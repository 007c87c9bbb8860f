"""The stage that tells questions from texts whose vectors are asked for."""

from __future__ import annotations

from ._model import SubModel
from ._types import Answer, Request, Usage
from ._vectors import Texts


class ByKind:
    """Sends each request to the source of its kind.

    Args:
        answers: the source of answers to questions.
        vectors: the source of vectors.
    """

    def __init__(self, answers: SubModel, vectors: SubModel) -> None:
        self._answers = answers
        self._vectors = vectors

    async def ask(self, request: Request) -> Answer:
        """What the source of its kind answers."""
        return await self._source(request).ask(request)

    async def estimate(self, request: Request) -> Usage:
        """What the source of its kind estimates."""
        return await self._source(request).estimate(request)

    def _source(self, request: Request) -> SubModel:
        return self._vectors if isinstance(request, Texts) else self._answers

    async def aclose(self) -> None:
        """Close both; may be called twice."""
        await self._answers.aclose()
        await self._vectors.aclose()
