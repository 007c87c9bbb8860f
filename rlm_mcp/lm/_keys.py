"""Names a question, so that the same one is not paid for twice."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from functools import lru_cache

from ._types import Prompt, Request

_VERSION = b"1"
"""Of the way to name questions and to keep answers; another one finds nothing of before."""
_ADDRESS_SUFFIXES = ("_BASE_URL", "_API_BASE")


def key_of(request: Request, model: str) -> str:
    """Return the SHA-256, in hex, of all that decides what a model answers.

    Args:
        request: what is asked.
        model: who is asked, if the request leaves it open.
    """
    digest = hashlib.sha256(_VERSION)
    for part in _parts(request, request.model or model):
        # The length first, so that no two questions are written in the same way.
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()


def _parts(request: Request, model: str) -> Iterator[bytes]:
    prompt = request.prompt
    schema = request.schema
    yield _parameters(
        model,
        address_of(model),
        request.max_tokens,
        None if schema is None else json.dumps(schema, sort_keys=True),
        prompt.system,
        _conversation(prompt),
        tuple(attachment.mime for attachment in prompt.attachments),
    )
    yield b"" if prompt.known_as is not None else prompt.text.encode("utf-8", "surrogatepass")
    for attachment in prompt.attachments:
        yield attachment.data


def _conversation(prompt: Prompt) -> tuple[tuple[str, str], ...]:
    if prompt.known_as is not None:
        return (("known as", prompt.known_as),)  # which is the role of no turn
    return tuple((turn.role, turn.text) for turn in prompt.history)


@lru_cache(maxsize=8)  # the requests of a map differ in their prompt alone
def _parameters(
    model: str,
    address: str,
    max_tokens: int | None,
    schema: str | None,
    system: str | None,
    history: tuple[tuple[str, str], ...],
    attachments: tuple[str, ...],
) -> bytes:
    parameters = {
        "model": model,
        "address": address,
        "max_tokens": max_tokens,
        "schema": schema,
        "system": system,
        "history": history,
        "attachments": attachments,
    }
    return json.dumps(parameters, sort_keys=True).encode()


def address_of(model: str) -> str:
    """Where the environment says that a provider is; the same name elsewhere is another model."""
    provider = model.partition("/")[0].upper().removesuffix("_CHAT")
    found = [os.environ.get(f"{provider}{suffix}", "") for suffix in _ADDRESS_SUFFIXES]
    return " ".join(found).strip()
