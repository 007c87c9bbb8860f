"""Names a question, so that the same one is not paid for twice."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator

from ._types import Request

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
    parameters = {
        "model": model,
        "address": address_of(model),
        "max_tokens": request.max_tokens,
        "schema": None if schema is None else json.dumps(schema, sort_keys=True),
        "system": prompt.system,
        "history": [[turn.role, turn.text] for turn in prompt.history],
        "attachments": [attachment.mime for attachment in prompt.attachments],
    }
    yield json.dumps(parameters, sort_keys=True).encode()
    yield prompt.text.encode("utf-8", "surrogatepass")
    for attachment in prompt.attachments:
        yield attachment.data


def address_of(model: str) -> str:
    """Where the environment says that a provider is; the same name elsewhere is another model."""
    provider = model.partition("/")[0].upper().removesuffix("_CHAT")
    found = [os.environ.get(f"{provider}{suffix}", "") for suffix in _ADDRESS_SUFFIXES]
    return " ".join(found).strip()
