"""What litellm returns and raises, in the project's words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ._reply import ProviderReply, check_text, count_of, text_of
from ._trouble import Trouble, trouble_from_status, without_prefix
from ._types import Usage


def trouble_of(error: Exception) -> Trouble:
    """Return what an exception of litellm means; it maps the same fault to several classes."""
    message = without_prefix(str(getattr(error, "message", "") or error))
    message = message.partition("Traceback (most recent call last)")[0]  # with paths of the host
    names = set(_class_names(error))
    if "ContextWindowExceededError" in names:
        return Trouble("context", f"the prompt is too long: {message}")
    if "ContentPolicyViolationError" in names:
        return Trouble("refused", f"the provider's rules refused the prompt: {message}")
    if "Timeout" in names or "APITimeoutError" in names:
        return Trouble("timeout", f"the provider timed out: {message}", True)
    if "api_key client option must be set" in message:
        return Trouble("no_key", "the provider wants a key and none is set")
    if "APIConnectionError" in names or names & _CONNECTION_CLASSES:
        return Trouble("connection", f"no connection: {message}", True)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status > 0:
        return trouble_from_status(status, message, headers=_headers_of(error))
    return Trouble("failed", f"{type(error).__name__}: {message}")


_CONNECTION_CLASSES = {
    "ClientConnectionError", "ClientConnectorError", "ConnectError", "ReadError",
    "RemoteProtocolError", "ServerDisconnectedError", "ConnectionError",
}  # fmt: skip


def _class_names(error: BaseException) -> list[str]:
    names: list[str] = []
    current: BaseException | None = error
    for _ in range(10):  # chains of causes can be circular
        if current is None:
            break
        names += [kind.__name__ for kind in type(current).__mro__]
        current = current.__cause__ or current.__context__
    return names


def _headers_of(error: Exception) -> Mapping[str, str]:
    for found in (
        getattr(error, "litellm_response_headers", None),
        getattr(getattr(error, "response", None), "headers", None),
        getattr(error, "headers", None),
    ):
        if isinstance(found, Mapping) and any(name.lower() == "retry-after" for name in found):
            return found
    return {}


def read_response(response: Any, *, priced: bool) -> ProviderReply:
    """Return the reply in a response of litellm; raise `Trouble` for one that is none."""
    try:
        choice = response.choices[0]
        content = text_of(choice.message.content)
        finish, refusal = choice.finish_reason, getattr(choice.message, "refusal", None)
        usage = getattr(response, "usage", None)
        asked = count_of(getattr(usage, "prompt_tokens", 0))
        answered = count_of(getattr(usage, "completion_tokens", 0))
        cost = response._hidden_params.get("response_cost")
    except (AttributeError, IndexError, TypeError, ValueError):
        raise Trouble("failed", "the reply is not a chat completion", True) from None
    known = priced and isinstance(cost, int | float) and 0 <= cost < math.inf
    usd = float(cost) if known else None
    try:
        text = check_text(content, finish, refusal)
    except Trouble as trouble:
        trouble.usage = Usage(0, 0, asked, answered, usd)
        raise
    return ProviderReply(text, asked, answered, 0, finish == "length", usd)
