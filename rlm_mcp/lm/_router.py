"""The stage that finds who answers a request, by the name of the model."""

from __future__ import annotations

from collections.abc import Mapping

from ._choose import open_model
from ._command_agent import PREFIX
from ._litellm import LiteLLMModel
from ._model import SubModel
from ._types import Answer, Request, Usage

_MAX_OPEN = 100
"""Command-line agents of different models that are kept; guest code may name any number."""


class Router:
    """Sends each request to the model that it names, in whichever notation, or to the default.

    Models are opened once, kept, and closed with this.

    Args:
        default: the name of the model of requests that name none.
        agents: models that are made elsewhere, by name, such as `agent`.
    """

    def __init__(self, default: str, agents: Mapping[str, SubModel] | None = None) -> None:
        self.default = default
        self._agents = dict(agents or {})
        self._opened: dict[str, SubModel] = {}
        # One for all names: it keeps the connections, and what litellm said of each name.
        self._litellm: LiteLLMModel | None = None

    async def ask(self, request: Request) -> Answer:
        """Answer by the model that is named, or raise `SubLLMError`."""
        return await self._find(request).ask(request)

    async def estimate(self, request: Request) -> Usage:
        """What the model that is named estimates."""
        return await self._find(request).estimate(request)

    def _find(self, request: Request) -> SubModel:
        name = request.model or self.default
        if (known := self._agents.get(name) or self._opened.get(name)) is not None:
            return known
        model = open_model(name) if name.startswith(PREFIX) or "/" not in name else None
        if model is None or isinstance(model, LiteLLMModel):
            if self._litellm is None:
                self._litellm = LiteLLMModel(self.default)
            return self._litellm
        if len(self._opened) < _MAX_OPEN:
            self._opened[name] = model
        return model

    async def aclose(self) -> None:
        """Close every model that was opened or handed in; may be called twice."""
        opened = [*self._agents.values(), *self._opened.values()]
        self._opened = {}
        for model in opened:
            await model.aclose()
        if self._litellm is not None:
            await self._litellm.aclose()
