"""A model whose answers are known beforehand, for tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import SubLLMError
from ._types import Answer, Request, Usage

Scripted = str | SubLLMError


class ScriptedModel:
    """Answer from a list, in order, or from a function of the request; keep what was asked.

    Args:
        script: the answers, where an error is raised instead; or a function that gives one. With
            a schema in the request the answer's text must be JSON, or it is an error of kind
            `schema`; it is not checked further.

    Attributes:
        requests: every request so far, in order.
    """

    def __init__(self, script: Iterable[Scripted] | Callable[[Request], Scripted]) -> None:
        self.requests: list[Request] = []
        if callable(script):
            self._next: Callable[[Request], Scripted] = script
        else:
            left = iter(script)
            self._next = lambda request: next(left)

    async def ask(self, request: Request) -> Answer:
        """Give the next answer of the script."""
        self.requests.append(request)
        try:
            found = self._next(request)
        except StopIteration:
            number = len(self.requests)
            message = f"the script of ScriptedModel has no answer for request {number}"
            raise SubLLMError(message, kind="failed", provider="scripted") from None
        if isinstance(found, SubLLMError):
            raise found
        data = self._data(found) if request.schema is not None else None
        asked = len(request.prompt.text.split())
        model = request.model or "scripted"
        return Answer(found, data, model, asked, len(found.split()), 0.0)

    def _data(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            raise SubLLMError(
                f"request {len(self.requests)} has a schema, and the script of ScriptedModel "
                f"answers it with what is not JSON: {text[:80]!r}",
                kind="schema",
                provider="scripted",
            ) from None

    async def estimate(self, request: Request) -> Usage:
        """Guess by the length of the request."""
        return Usage.guess(request)

    async def aclose(self) -> None:
        """Do nothing: there is nothing to give back."""
