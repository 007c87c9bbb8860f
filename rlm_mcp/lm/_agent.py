"""The calling agent as the one who answers."""

from __future__ import annotations

from ..errors import SubLLMError
from ._choose import AGENT, HOW_TO_SET
from ._questions import ASKED
from ._types import Answer, Request, Usage


class AgentModel:
    """Put requests to the calling agent: to the `Questions` of the call that they are made in.

    One serves all calls of a server, and any stages may stand before it.
    """

    async def ask(self, request: Request) -> Answer:
        """Wait for the agent's answer; it has no time limit, since the agent has none.

        Raises:
            SubLLMError: no agent's call asks this, or it holds what cannot be shown.
        """
        if request.model not in (None, AGENT):
            text = f"{request.model}: only the calling agent answers here"
            raise SubLLMError(text, kind="no_model", model=request.model or "", calls=0)
        questions = ASKED.get(None)
        if questions is None:
            text = f"no sub-model is set, and no agent is there to answer. {HOW_TO_SET}"
            raise SubLLMError(text, kind="no_model", model=AGENT, calls=0)
        return await questions.ask(request)

    async def estimate(self, request: Request) -> Usage:
        """One call, which costs nothing that could be counted here."""
        return Usage(calls=1)

    async def aclose(self) -> None:
        """Do nothing: the questions belong to the call that asks them."""
