"""The values that pass between a caller and a sub-model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import SubLLMError

JsonSchema = dict[str, Any]

# A guess: reasoning models take minutes on 100,000 characters; beyond this a call is lost.
DEFAULT_TIMEOUT_S = 300.0

DEFAULT_OUTPUT_TOKENS = 4096
"""Assumed of an answer whose length nothing bounds (a guess: answers are mostly shorter)."""
CHARS_PER_TOKEN = 4
"""Of English text and of code, by the tokenizers in use; other scripts have more tokens."""


IMAGE_TOKENS = 1600
"""Of an image: the most that Anthropic counts for one; other providers count less."""
_BYTES_PER_TOKEN = 25
"""Of other attachments (a guess: a page of a PDF has about 50 KB and 2,000 tokens)."""

_INSTRUCTION_TOKENS = 40
"""With which a schema is put into a prompt."""


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has, rounded up; without any model's tokenizer."""
    wide = 0 if text.isascii() else len(text.encode("utf-8", "replace")) - len(text)
    return -(-(len(text) + wide) // CHARS_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Turn:
    """What was said before in a conversation.

    Args:
        role: `user` or `assistant`.
        text: of it.
    """

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part of a prompt that is not text.

    Args:
        mime: its media type, such as `image/png` or `application/pdf`.
        data: its bytes.
    """

    mime: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked.

    Args:
        text: of the question.
        system: instructions that stand above all.
        history: what was said before, the oldest first.
        attachments: images and other parts, for models that take them.
        known_as: stands for the text and the history where it is looked for whether the answer is
            known, since parts of them, such as times, make no other question.
    """

    text: str
    system: str | None = None
    history: tuple[Turn, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    known_as: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a sub-model.

    Args:
        prompt: what is asked.
        model: in litellm's notation; left out, the default of the one who answers.
        max_tokens: the most tokens of the answer.
        schema: a JSON Schema that the answer must fit; it then comes back as `Answer.data`.
        timeout_s: seconds for everything: tries, waits and repeated questions.
        fresh: ask even if the answer to the same question is known.
    """

    prompt: Prompt
    model: str | None = None
    max_tokens: int | None = None
    schema: JsonSchema | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    fresh: bool = False


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
        cached: it was known from before, and nothing was spent.
        calls: requests that were sent for it, tries included.
    """

    text: str
    data: Any = None
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = None
    truncated: bool = False
    cached: bool = False
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Usage:
    """What calls have used. `usd` is None as soon as one price is unknown.

    `calls` counts what was asked of a model, `cached` the answers that were known from before,
    `cut` the answers of both kinds that end at the limit of tokens.
    """

    calls: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = 0.0
    cached: int = 0
    cut: int = 0

    def __add__(self, other: Usage) -> Usage:
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return Usage(
            self.calls + other.calls,
            self.failed + other.failed,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            usd,
            self.cached + other.cached,
            self.cut + other.cut,
        )

    @property
    def asked(self) -> bool:
        """Whether anything was asked, be it known, paid for, or refused before it was sent."""
        return bool(self.calls or self.cached or self.failed)

    @classmethod
    def guess(cls, request: Request) -> Usage:
        """Return what a request may use, where nothing is known of the model."""
        prompt = request.prompt
        texts = (prompt.text, prompt.system or "", *(turn.text for turn in prompt.history))
        read = sum(map(estimate_tokens, texts)) + sum(map(_attached_tokens, prompt.attachments))
        if request.schema is not None:
            read += estimate_tokens(json.dumps(request.schema)) + _INSTRUCTION_TOKENS
        return cls(1, 0, read, request.max_tokens or DEFAULT_OUTPUT_TOKENS, None)

    @classmethod
    def of(cls, answer: Answer) -> Usage:
        """Return what one answer used."""
        cut = int(answer.truncated)
        if answer.cached:
            return cls(cached=1, cut=cut)
        tokens = answer.input_tokens, answer.output_tokens
        return cls(answer.calls, 0, *tokens, answer.usd, cut=cut)

    @classmethod
    def of_error(cls, error: SubLLMError) -> Usage:
        """Return what a call used that failed."""
        return cls(error.calls, 1, error.input_tokens, error.output_tokens, error.usd)


NOTHING = Usage()


def _attached_tokens(attachment: Attachment) -> int:
    if attachment.mime.startswith("image/"):
        return IMAGE_TOKENS
    return len(attachment.data) // _BYTES_PER_TOKEN + 1
