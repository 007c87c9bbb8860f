"""Scripted root models: what they say in turn, and what the sub-model says."""

from __future__ import annotations

from collections.abc import Callable

from rlm_mcp.errors import SubLLMError
from rlm_mcp.lm import Request, ScriptedModel

Said = str | SubLLMError | Callable[[Request], str | SubLLMError]


def is_root(request: Request) -> bool:
    """Root models are given instructions, sub-models none."""
    return request.prompt.system is not None


def code(*lines: str) -> str:
    """A reply with one block of code."""
    source = "\n".join(lines)
    return f"Let me see.\n```python\n{source}\n```\nThat should do."


class RootModel(ScriptedModel):
    """Says one thing after the other as the root model; as the sub-model, `<the prompt>`.

    Args:
        said: text, an error that is raised, or a function of the request; the last is repeated.
    """

    def __init__(self, *said: Said) -> None:
        self._left = list(said)
        super().__init__(self._answer)

    def _answer(self, request: Request) -> str | SubLLMError:
        if not is_root(request):
            return f"<{request.prompt.text}>"
        said = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        return said(request) if callable(said) else said

    def say(self, *said: Said) -> None:
        """Say this from now on."""
        self._left = list(said)

    @property
    def asked(self) -> list[Request]:
        """The requests to the root model."""
        return [request for request in self.requests if is_root(request)]

    @property
    def seen(self) -> str:
        """All that the root model has ever been shown."""
        prompts = [request.prompt for request in self.asked]
        turns = [turn.text for prompt in prompts for turn in prompt.history]
        return "\n".join([*turns, *(prompt.text for prompt in prompts)])
