"""What went wrong in a call to a provider, in the project's words and without secrets."""

from __future__ import annotations

import email.utils
import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import SubLLMError
from ._types import NOTHING, Usage

_MAX_CAUSE_CHARS = 300
_SECRET_NAME = re.compile(r"(_KEY|_TOKEN|_SECRET|_PASSWORD|_KEY_ID)$", re.IGNORECASE)
# Shorter values, such as the `x` one gives a local server, would blot out ordinary text.
_MIN_SECRET_CHARS = 6
_PLACEHOLDERS = frozenset({
    "anything", "dummy-key", "llama.cpp", "llamacpp", "lm-studio", "lm_studio", "lmstudio",
    "no-key", "no-key-required", "not-needed", "not_needed", "ollama", "placeholder",
    "sk-no-key-required",
})  # fmt: skip
"""What documentation gives as the key of servers that want none; some are words of answers."""
_LOOKS_SECRET = re.compile(r"\bsk-[\w*.\-]{4,}|(?<=[Bb]earer )[\w*.\-~+/=]{6,}|(?<=://)[^/\s@]+@")
# litellm puts its own class and the provider's before the text, often more than once.
_PREFIX = re.compile(r"^\s*(litellm\.)?[A-Za-z_]*(Error|Exception|Timeout)\s*[:\-]\s*(?=\S)")
_CONTEXT_WORDS = re.compile(
    r"context.?length|context.?window|maximum context|prompt is too long|too many (input )?tokens"
    r"|input is too long|exceeds the (maximum|model'?s).{0,30}tokens",
    re.IGNORECASE,
)
_NO_MONEY_WORDS = re.compile(
    r"insufficient_quota|credit balance|billing|payment required", re.IGNORECASE
)
_FILTER_WORDS = re.compile(r"content.?(policy|filter|management)|safety", re.IGNORECASE)

NEXT_STEPS: Mapping[str, str] = {
    "refused": "Check the key and what it may use; trying again will not help.",
    "rate_limit": "Wait and run it again, or lower concurrency.",
    "context": "Split the text, for example with chunks(text), and ask for each part.",
    "no_key": "Log in, or set the key, in the environment of the rlm-mcp server.",
    "timeout": "Make the prompt shorter, or run it again.",
    "connection": "Check that the address is right and the server runs, then run it again.",
    "failed": "Run it again, or name another model with model=.",
}


@dataclass(eq=False)  # not frozen: raising an exception sets attributes of it
class Trouble(Exception):  # noqa: N818 - inside the package only, always turned into SubLLMError
    """One failed try. Never leaves the package.

    Args:
        kind: as in `SubLLMError`.
        cause: one line, not yet scrubbed.
        again: whether another try may help.
        retry_after_s: how long the provider asks to wait.
        status: the HTTP status, or 0.
        usage: what the try used in vain, beside the call itself.
    """

    kind: str
    cause: str
    again: bool = False
    retry_after_s: float | None = None
    status: int = 0
    usage: Usage = NOTHING


def trouble_from_status(
    status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None
) -> Trouble:
    """Return the trouble that an HTTP error reply stands for."""
    words = f"{message} {code}"
    wait = _retry_after(headers or {})
    if status in (401, 403):
        return Trouble("refused", f"the provider refused ({status}): {message}", status=status)
    if status == 402 or (status in (400, 403, 429) and _NO_MONEY_WORDS.search(words)):
        return Trouble("refused", f"the account cannot pay ({status}): {message}", status=status)
    if status in (400, 413, 422) and (_CONTEXT_WORDS.search(words) or status == 413):
        return Trouble("context", f"the prompt is too long ({status}): {message}", status=status)
    if status == 400 and _FILTER_WORDS.search(words):
        cause = f"the provider's rules refused the prompt: {message}"
        return Trouble("refused", cause, status=status)
    if status == 429:
        return Trouble("rate_limit", f"too many requests (429): {message}", True, wait, status)
    if status == 408:
        return Trouble("timeout", f"the provider timed out (408): {message}", True, wait, status)
    if status == 404:
        return Trouble("failed", f"no such model or address (404): {message}", status=status)
    again = status >= 500 or status in (409, 425)
    return Trouble("failed", f"the provider failed ({status}): {message}", again, wait, status)


def to_error(
    trouble: Trouble,
    *,
    provider: str,
    model: str,
    tries: int = 1,
    usage: Usage = NOTHING,
    steps: Mapping[str, str] = NEXT_STEPS,
) -> SubLLMError:
    """Return the error for the caller: model, cause, next step, what was spent, and no secret."""
    cause = _shorten(scrub(trouble.cause)).rstrip(". ")
    if tries > 1:
        cause += f", after {tries} tries"
    step = steps.get(trouble.kind, "")
    text = f"{model}: {cause}. {step}".strip()
    error = SubLLMError(text, kind=trouble.kind, provider=provider, model=model)
    return charged(error, usage)


def charged(error: SubLLMError, usage: Usage) -> SubLLMError:
    """Return the error with what was spent in vain."""
    error.calls = usage.calls
    error.input_tokens, error.output_tokens = usage.input_tokens, usage.output_tokens
    error.usd = usage.usd
    return error


def copied(error: SubLLMError) -> SubLLMError:
    """Return the same error for another caller, for whom nothing was spent.

    A new one each time: an exception that is raised again collects tracebacks.
    """
    copy = SubLLMError(str(error), kind=error.kind, provider=error.provider, model=error.model)
    return charged(copy, NOTHING)


def secret_values() -> list[str]:
    """Return the values of the variables that are named like secrets, the longest first."""
    values = {
        value.strip()
        for name, value in os.environ.items()
        if _SECRET_NAME.search(name) and len(value.strip()) >= _MIN_SECRET_CHARS
    }
    values = {value for value in values if value.lower() not in _PLACEHOLDERS}
    return sorted(values, key=len, reverse=True)


def scrub(text: str, values: Sequence[str] | None = None) -> str:
    """Return the text without secrets: `values`, else `secret_values()`, and what looks like one.

    Reading the environment takes longer than the rest, so those with many texts do it once.
    """
    for value in secret_values() if values is None else values:
        text = text.replace(value, "[secret]")
    # Looking for these first is ten times faster than the pattern, and most texts have none.
    if "sk-" in text or "earer " in text or "://" in text:
        text = _LOOKS_SECRET.sub("[secret]", text)
    return text


def without_prefix(text: str) -> str:
    """Return a provider's text without the names of exception classes before it."""
    while match := _PREFIX.match(text):
        text = text[match.end() :]
    return text


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_CAUSE_CHARS else line[: _MAX_CAUSE_CHARS - 3] + "..."


def _retry_after(headers: Mapping[str, str]) -> float | None:
    given = {name.lower(): value for name, value in headers.items()}
    value = given.get("retry-after")
    try:
        # OpenAI and Azure say it in milliseconds as well, where whole seconds would be too long.
        seconds = float(given["retry-after-ms"]) / 1000
    except (KeyError, ValueError):
        seconds = math.nan
    if value is None or seconds >= 0:
        return seconds if seconds >= 0 else None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError, OSError):
            return None
    return max(seconds, 0.0) if seconds == seconds else None
