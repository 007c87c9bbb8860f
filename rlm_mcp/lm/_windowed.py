"""The stage that refuses what a model cannot read, before it is sent."""

from __future__ import annotations

from ..errors import SubLLMError
from ._choose import AGENT
from ._model import SubModel
from ._stage import Stage
from ._table import ModelTable
from ._types import Answer, Request, Usage

_SMALLEST_WINDOW = 4_000
"""Tokens that every model in litellm's table reads, but for a few of 2023; shorter prompts are not
looked up."""


class Windowed(Stage):
    """Asks another stage what fits into the model's context window.

    Args:
        inner: the next stage.
        default_model: who is asked if a request does not say.
    """

    def __init__(self, inner: SubModel, default_model: str) -> None:
        super().__init__(inner)
        self._default_model = default_model
        self._table = ModelTable()

    async def ask(self, request: Request) -> Answer:
        """Ask, or raise `SubLLMError` of kind `context`; an unknown window refuses nothing."""
        model = request.model or self._default_model
        # The agent's window is not known, and its questions would lose their order by a wait.
        if model == AGENT or _surely_fits(request):
            return await self._inner.ask(request)
        tokens = Usage.guess(request).input_tokens
        if tokens > _SMALLEST_WINDOW:
            info = await self._table.find(model)
            if info is not None and 0 < info.window < tokens:
                raise SubLLMError(
                    f"{model}: the prompt has about {tokens:,} tokens and the model reads "
                    f"{info.window:,}. Split the text, for example with chunks(text), and ask for "
                    "each part.",
                    kind="context",
                    provider=model.partition("/")[0] if "/" in model else "",
                    model=model,
                    calls=0,
                )
        return await self._inner.ask(request)


def _surely_fits(request: Request) -> bool:
    """Whether the shortest window holds it: a character is at most one token of the estimate."""
    prompt = request.prompt
    if request.schema is not None or prompt.history or prompt.attachments:
        return False
    return len(prompt.text) + len(prompt.system or "") <= _SMALLEST_WINDOW
