"""What a server with the OpenAI protocol says, as `LocalOpenAIServer` says it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

EmbedFunction = Callable[[str], list[float]]

_CHARS_PER_TOKEN = 4  # a guess that holds for English; it only has to be the same every time


def echo(messages: list[dict[str, Any]]) -> str:
    """Answer with the text of the last message."""
    return text_of(messages[-1]) if messages else ""


def hashed(text: str) -> list[float]:
    """A vector of 64 numbers in which each word of a text counts at a place of its own."""
    found = [0.0] * 64
    for word in text.lower().split():
        found[hashlib.sha256(word.encode("utf-8", "replace")).digest()[0] % 64] += 1.0
    return found


def completion(body: dict[str, Any], answer: str, number: int) -> dict[str, Any]:
    """The reply to a chat request.

    Args:
        body: of the request.
        answer: of the model; cut where the request bounds its length.
        number: of the reply.
    """
    asked = sum(_tokens(text_of(message)) for message in body["messages"])
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    finish = "stop"
    if limit is not None and _tokens(answer) > limit:
        answer, finish = answer[: int(limit) * _CHARS_PER_TOKEN], "length"
    answered = _tokens(answer)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": answer},
        "finish_reason": finish,
    }
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 0,
        "model": body.get("model", ""),
        "choices": [choice],
        "usage": {
            "prompt_tokens": asked,
            "completion_tokens": answered,
            "total_tokens": asked + answered,
        },
    }


def embeddings(body: dict[str, Any], embed: EmbedFunction) -> dict[str, Any]:
    """The reply to a request for vectors."""
    texts = [str(text) for text in body["input"]]
    asked = sum(map(_tokens, texts))
    data = [
        {"object": "embedding", "index": index, "embedding": embed(text)}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": asked, "total_tokens": asked}
    return {"object": "list", "data": data, "model": body.get("model", ""), "usage": usage}


def text_of(message: Any) -> str:
    """The text of a message, of all its parts."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(text for text in parts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _tokens(text: str) -> int:
    return math.ceil(len(text) / _CHARS_PER_TOKEN)
