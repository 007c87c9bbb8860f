"""The stage that lets no secret through, whatever a model says."""

from __future__ import annotations

import json
from dataclasses import replace

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
        if not any(value in answer.text for value in self._values):
            return answer
        data = answer.data
        if data is not None:
            data = json.loads(self._without(json.dumps(data, ensure_ascii=False)))
        return replace(answer, text=self._without(answer.text), data=data)

    def _without(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, "[secret]")
        return text
