"""Which model answers, and the one that answers when there is none."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from typing import Never

from ..errors import SubLLMError
from ._command_agent import PREFIX, CommandAgent
from ._litellm import LiteLLMModel, import_litellm
from ._model import SubModel
from ._routes import route_by_name
from ._types import Answer, Request, Usage

AGENT = "agent"

# Variable with a key -> the provider's small model, in the order in which they are tried. From
# litellm 1.106.2's table of 2026-11: current, cheap, structured output, 128k tokens or more. The
# table has no chat models of OpenRouter; that name is OpenRouter's own.
SMALL_MODELS: tuple[tuple[str, str], ...] = (
    ("ANTHROPIC_API_KEY", "anthropic/claude-haiku-5-5"),
    ("OPENAI_API_KEY", "openai/gpt-6-luna"),
    ("GEMINI_API_KEY", "gemini/gemini-3.5-flash-lite"),
    ("GOOGLE_API_KEY", "gemini/gemini-3.5-flash-lite"),
    ("MISTRAL_API_KEY", "mistral/mistral-small-latest"),
    ("GROQ_API_KEY", "groq/openai/gpt-oss-20b"),
    ("DEEPSEEK_API_KEY", "deepseek/deepseek-v4-flash"),
    ("CEREBRAS_API_KEY", "cerebras/gpt-oss-120b"),
    ("XAI_API_KEY", "xai/grok-4.3"),
    ("OPENROUTER_API_KEY", "openrouter/openai/gpt-oss-120b"),
)

HOW_TO_SET = (
    "Set RLM_MCP_SUB_MODEL in the environment of the rlm-mcp server and start it again, for "
    "example RLM_MCP_SUB_MODEL=anthropic/claude-haiku-5-5 (with ANTHROPIC_API_KEY) or, with a "
    "local Ollama and no key, RLM_MCP_SUB_MODEL=ollama_chat/qwen3:8b, or, with a logged-in Claude "
    "Code, RLM_MCP_SUB_MODEL=cli/claude. A provider's key alone, such as OPENAI_API_KEY, also "
    "does: its small model is then used."
)


def choose(setting: str | None, environ: Mapping[str, str]) -> str:
    """Return the name of the sub-model: the setting, or the first provider with a key, or `agent`.

    Args:
        setting: the value of a flag or a configuration file, which goes before the environment.
        environ: the environment; RLM_MCP_SUB_MODEL in it goes before the keys.
    """
    for named in (setting, environ.get("RLM_MCP_SUB_MODEL")):
        if named and named.strip():
            return named.strip()
    for variable, model in SMALL_MODELS:
        if environ.get(variable, "").strip():
            return model
    return AGENT


def open_model(name: str) -> SubModel:
    """Return the sub-model of a name that `choose` gave, or that a request names.

    Raises:
        SubLLMError: of kind `no_model`, if there is no command-line agent of that name.
    """
    if name == AGENT:
        from ._agent import AgentModel

        return AgentModel()
    if name.startswith(PREFIX):
        return CommandAgent(name)
    return LiteLLMModel(name)


def prepare_model(name: str) -> None:
    """Begin what the first request to a model would wait for; returns at once.

    For who is sure to ask: importing litellm takes seconds of a core.
    """
    if name == AGENT or name.startswith(PREFIX):
        return

    def prepare() -> None:
        with contextlib.suppress(Exception):  # the first request fails in the same way, and says so
            if route_by_name(name) is None:
                import_litellm()

    threading.Thread(target=prepare, name="prepare a model", daemon=True).start()


class NoModel:
    """Stands in where no model is set: each request is an error that says what to set."""

    def __init__(self, reason: str = "no sub-model is set, so sub_llm cannot ask anyone") -> None:
        self._reason = reason

    async def ask(self, request: Request) -> Answer:
        """Raise `SubLLMError` of kind `no_model`."""
        self._refuse()

    async def estimate(self, request: Request) -> Usage:
        """Guess by the length of the request."""
        return Usage.guess(request)

    async def aclose(self) -> None:
        """Do nothing: there is nothing to give back."""

    def _refuse(self) -> Never:
        raise SubLLMError(f"{self._reason}. {HOW_TO_SET}", kind="no_model", calls=0)
