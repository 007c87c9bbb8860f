"""The stage that lets no secret through, whatever a model says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..errors import SubLLMError
from ._model import SubModel
from ._stage import Stage
from ._trouble import copied, scrub, secret_values
from ._types import Answer, Request


class Scrubbed(Stage):
    """Takes the values of this process's keys out of answers, and all that looks like one out of
    errors: a provider, or whatever stands at its address, may repeat what it was sent.

    Args:
        inner: the next stage.
    """

    def __init__(self, inner: SubModel) -> None:
        super().__init__(inner)
        self._values = secret_values()

    async def ask(self, request: Request) -> Answer:
        """Give the answer without secrets."""
        try:
            answer = await self._inner.ask(request)
        except SubLLMError as error:
            text = scrub(str(error), self._values)
            if text == str(error):
                raise
            cleaned = copied(error)
            cleaned.args = (text,)
            raise cleaned from None
        # JSON can write a letter as an escape, so data may hold what the text does not show.
        escaped = answer.data is not None and "\\u" in answer.text
        if not escaped and not any(value in answer.text for value in self._values):
            return answer
        return replace(answer, text=self._without(answer.text), data=self._cleaned(answer.data))

    def _cleaned(self, data: Any) -> Any:
        """Data of the same form, for numbers are no secrets."""
        if isinstance(data, str):
            return self._without(data)
        if isinstance(data, list):
            return [self._cleaned(item) for item in data]
        if isinstance(data, dict):
            return {self._without(key): self._cleaned(item) for key, item in data.items()}
        return data

    def _without(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, "[secret]")
        return text
