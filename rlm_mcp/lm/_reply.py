"""One answer of a provider, before it is checked, and what must not look like one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._trouble import Trouble
from ._types import Usage

_MAX_TOKENS = 1 << 40
"""Of one call; no model reads or writes as many, and sums of them are still kept exactly."""


@dataclass(frozen=True, slots=True)
class ProviderReply:
    """One answer of a provider."""

    text: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    truncated: bool = False
    usd: float | None = None

    @property
    def usage(self) -> Usage:
        """What it used, beside the call itself."""
        return Usage(0, 0, self.input_tokens, self.output_tokens, self.usd)


def count_of(value: Any) -> int:
    """The tokens that a provider counts: neither less than none nor more than can be kept.

    None for what is no number: an answer that was paid for is not lost for that.
    """
    try:
        return min(max(int(value or 0), 0), _MAX_TOKENS)
    except OverflowError:  # JSON can name infinity
        return _MAX_TOKENS
    except (ValueError, TypeError):
        return 0


def text_of(content: Any) -> str | None:
    """Return the text of a message's content, which may come in parts, or None without any."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        texts = [part for part in parts if isinstance(part, str)]
        return "".join(texts) if texts else None
    return content if isinstance(content, str) else None


def check_text(text: str | None, finish: Any, refusal: Any) -> str:
    """Return the text of a reply, or raise `Trouble` for one that must not look like an answer."""
    if refusal and not text:
        raise Trouble("refused", f"the model declined: {refusal}")
    if finish == "content_filter":
        raise Trouble("refused", "the provider's filter withheld the answer")
    if text is None or (not text and finish == "length"):
        if finish == "length":
            raise Trouble("failed", "max_tokens was used up before any text; raise it")
        raise Trouble("failed", "the reply holds no text", True)
    # Half of a surrogate pair, which JSON can name, is no character.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
