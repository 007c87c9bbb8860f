"""The values that pass between a caller and a sub-model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

JsonSchema = dict[str, Any]

# A guess: reasoning models take minutes on 100,000 characters; beyond this a call is lost.
DEFAULT_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked: the text, and instructions that stand above it."""

    text: str
    system: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a sub-model.

    Args:
        prompt: what is asked.
        model: in litellm's notation; left out, the default of the one who answers.
        max_tokens: the most tokens of the answer.
        schema: a JSON Schema that the answer must fit; it then comes back as `Answer.data`.
        timeout_s: seconds for everything: tries, waits and repeated questions.
    """

    prompt: Prompt
    model: str | None = None
    max_tokens: int | None = None
    schema: JsonSchema | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sub-model replied.

    Args:
        text: the reply as written.
        data: the value parsed from it, when the request had a schema.
        model: who replied, in litellm's notation.
        input_tokens: over all tries that were answered, as are the next two.
        output_tokens: tokens that were written.
        usd: the price, or None when it is unknown.
        truncated: the reply ended at the limit of tokens.
    """

    text: str
    data: Any = None
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """What calls have used. `usd` is None as soon as one price is unknown."""

    calls: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = 0.0

    def __add__(self, other: Usage) -> Usage:
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return Usage(
            self.calls + other.calls,
            self.failed + other.failed,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            usd,
        )

    @classmethod
    def of(cls, answer: Answer) -> Usage:
        """Return what one answer used."""
        return cls(1, 0, answer.input_tokens, answer.output_tokens, answer.usd)
