"""What litellm says about the name of a model: whose it is, where, and with which key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import SubLLMError
from ._table import ModelInfo, find_in_table
from ._wire import Endpoint

# Providers whose chat protocol is OpenAI's without changes, so that the fast path may serve them.
_OPENAI_PROTOCOL = {"openai", "hosted_vllm", "lm_studio", "llamafile", "groq", "cerebras", "xai"}
_OPENAI_BASE = "https://api.openai.com/v1"
# litellm prints a code to standard output for these, which is the MCP connection.
_TERMINAL_LOGIN = {"github_copilot", "chatgpt"}
# Where an account can also come from a file, a role or a login, litellm cannot tell beforehand.
_OTHER_CREDENTIALS = {"azure", "azure_ai", "bedrock", "bedrock_converse", "sagemaker", "vertex_ai"}


@dataclass(frozen=True, slots=True)
class Naming:
    """What errors say of how a model is named.

    Args:
        setting: that names it.
        examples: of names.
    """

    setting: str
    examples: str


SUB_MODEL = Naming(
    "RLM_MCP_SUB_MODEL", "openai/gpt-6-luna, or cli/claude, cli/codex, cli/gemini, or agent"
)


@dataclass(frozen=True, slots=True)
class Route:
    """The way to one model.

    Args:
        model: its name as it was asked for.
        name: as its provider calls it.
        provider: in litellm's notation.
        endpoint: where to post to, on the fast path; `None` to go through litellm.
        native_schema: whether it takes a schema beside the prompt.
        info: from litellm's table, or `None`.
    """

    model: str
    name: str
    provider: str
    endpoint: Endpoint | None
    native_schema: bool
    info: ModelInfo | None


def find_route(litellm: Any, model: str, *, fast_path: bool, naming: Naming = SUB_MODEL) -> Route:
    """Return the way to a model; raise `SubLLMError` where there is none. Blocks."""
    if (provider := model.partition("/")[0]) in _TERMINAL_LOGIN:
        text = f"{model}: {provider} logs in through a terminal, which a server does not have."
        raise SubLLMError(text, kind="refused", provider=provider, model=model, calls=0)
    try:
        name, provider, key, base = litellm.get_llm_provider(model)
        missing = litellm.validate_environment(model)["missing_keys"]
    except Exception as error:
        cause = f"litellm does not know this model ({type(error).__name__})"
        text = f"{model}: {cause}. Write provider/model, for example {naming.examples}."
        raise SubLLMError(text, kind="failed", model=model, calls=0) from None
    keys = [variable for variable in missing if variable.endswith("_API_KEY")]
    if keys and provider not in _OTHER_CREDENTIALS:
        raise _no_key(model, provider, keys, naming)
    # A model that is answered by another API than chat must go through litellm.
    plain = fast_path and _info(litellm, model).get("mode") in (None, "chat")
    return Route(
        model,
        name,
        provider,
        _endpoint(litellm, provider, key, base) if plain else None,
        bool(litellm.supports_response_schema(model=name, custom_llm_provider=provider)),
        find_in_table(model),
    )


def route_by_name(model: str) -> Route | None:
    """Return the way to a model where its name and the environment say all of it. Blocks.

    It is the way that litellm says, and nobody waits seconds for litellm to be imported. It is for
    requests without parameters: only litellm knows which a model takes.
    """
    provider, _, name = model.partition("/")
    if provider != "openai" or not name or "USE_LITELLM_PROXY" in os.environ:
        return None
    endpoint = _openai_endpoint(None, None)
    info = find_in_table(model)
    if endpoint is None or (info is not None and info.mode not in ("", "chat")):
        return None
    if info is None and endpoint.base_url == _OPENAI_BASE:
        return None  # it may be one that OpenAI answers by another API; litellm knows by the name
    return Route(model, name, provider, endpoint, False, info)


def _endpoint(litellm: Any, provider: str, key: str | None, base: str | None) -> Endpoint | None:
    if provider not in _OPENAI_PROTOCOL:
        return None
    if provider == "openai":
        return _openai_endpoint(key or litellm.api_key, base or litellm.api_base)
    return Endpoint(base, key) if key and base else None


def _openai_endpoint(key: str | None, base: str | None) -> Endpoint | None:
    key = key or os.environ.get("OPENAI_API_KEY")
    base = (
        base
        or os.environ.get("OPENAI_BASE_URL")
        or os.environ.get("OPENAI_API_BASE")
        or _OPENAI_BASE
    )
    headers = {
        header: value
        for header, variable in (
            ("OpenAI-Organization", "OPENAI_ORGANIZATION"),
            ("OpenAI-Project", "OPENAI_PROJECT"),
        )
        if (value := os.environ.get(variable))
    }
    return Endpoint(base, key, headers) if key else None


def _info(litellm: Any, model: str) -> Mapping[str, Any]:
    try:
        info: Mapping[str, Any] = litellm.get_model_info(model)
    except Exception:  # litellm raises for every model that is not in its table
        return {}
    return info


def _no_key(model: str, provider: str, variables: list[str], naming: Naming) -> SubLLMError:
    text = (
        f"{model}: no key for {provider}. Set {' or '.join(variables)} in the environment of the "
        "rlm-mcp server (any value for a local server that asks for none), or set "
        f"{naming.setting} to a model whose key is there."
    )
    return SubLLMError(text, kind="no_key", provider=provider, model=model, calls=0)
