"""What guest code asks of the sub-model: read as if an attacker had written it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from anyio import to_thread
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rlm_mcp.errors import BadRequestError, SubLLMError

from ._batch import OnProgress, ask_all
from ._model import SubModel
from ._schema import MAX_SCHEMA_CHARS, UnusableSchemaError, check_schema
from ._types import DEFAULT_TIMEOUT_S, Answer, Prompt, Request

# Some providers of litellm take a URL as the model's name and would send the key there.
_MODEL_NAME = re.compile(r"[A-Za-z0-9](?!.*//)[\w./:@+\-]{0,199}", re.ASCII)
_MAX_PROBLEMS = 3


@dataclass(frozen=True, slots=True)
class CallLimits:
    """The bounds of one call from the guest.

    Args:
        max_requests: prompts in one map.
        max_prompt_bytes: of one prompt in UTF-8.
        max_concurrency: calls in flight.
        timeout_s: for one call, tries and waits included.
        models: the names that the guest may ask for; None for any.
    """

    max_requests: int = 10_000
    max_prompt_bytes: int = 20 * 1024 * 1024
    max_concurrency: int = 256
    timeout_s: float = DEFAULT_TIMEOUT_S
    models: frozenset[str] | None = None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class _GuestRequest(_Strict):
    prompt: str
    model: str | None = None
    max_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    # `Any`, so that pydantic copies nothing: `check_schema` reads it, with its own bounds.
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None


class _GuestCall(_Strict):
    requests: list[_GuestRequest]
    concurrency: Annotated[int, Field(ge=1)] = 16


async def answer_guest(
    fields: Mapping[str, Any],
    model: SubModel,
    on_progress: OnProgress | None = None,
    limits: CallLimits = CallLimits(),
) -> dict[str, Any]:
    """Answer the guest's operation `sub_llm`; raise `BadRequestError` for fields that are wrong.

    Returns `{"results": [...]}` in the order of the requests, where each is `{"text", "data"}` or
    `{"error": {"kind", "provider", "model", "message"}}`.
    """
    # In a thread: megabytes from the guest must not hold up the server.
    call = await to_thread.run_sync(_read, fields, limits)
    requests = [
        Request(
            Prompt(asked.prompt), asked.model, asked.max_tokens, asked.schema_, limits.timeout_s
        )
        for asked in call.requests
    ]
    results = await ask_all(model, requests, concurrency=call.concurrency, on_progress=on_progress)
    return {"results": [_render(result) for result in results]}


def _read(fields: Mapping[str, Any], limits: CallLimits) -> _GuestCall:
    asked = fields.get("requests")
    # Before pydantic looks at each of them.
    if isinstance(asked, list) and len(asked) > limits.max_requests:
        raise BadRequestError(
            f"{len(asked)} prompts in one call; at most {limits.max_requests}: ask in several."
        )
    try:
        call = _GuestCall.model_validate(dict(fields))
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_context=False)[:_MAX_PROBLEMS]
        ]
        raise BadRequestError(f"sub_llm cannot use this: {'; '.join(problems)}"[:1000]) from None
    if call.concurrency > limits.max_concurrency:
        raise BadRequestError(
            f"concurrency={call.concurrency} is more than {limits.max_concurrency}"
        )
    for index, request in enumerate(call.requests):
        _check_prompt(index, request.prompt, limits)
        _check_model(index, request.model, limits)
    _check_schemas(call)
    return call


def _check_prompt(index: int, prompt: str, limits: CallLimits) -> None:
    if not prompt.strip():
        raise BadRequestError(f"prompt {index} is empty")
    size = len(prompt)
    if size <= limits.max_prompt_bytes:
        try:
            size = len(prompt.encode())
        except UnicodeEncodeError as error:
            raise BadRequestError(
                f"prompt {index} holds a lone surrogate at {error.start}, which no model can read: "
                'mend it with text.encode("utf-8", "replace").decode()'
            ) from None
    if size > limits.max_prompt_bytes:
        raise BadRequestError(
            f"prompt {index} has {size:,} bytes; at most {limits.max_prompt_bytes:,}: "
            "split it, for example with chunks(text)."
        )


def _check_model(index: int, model: str | None, limits: CallLimits) -> None:
    if model is None:
        return
    if not _MODEL_NAME.fullmatch(model):
        raise BadRequestError(f"request {index}: this is not a model's name: {model[:100]!r}")
    if limits.models is not None and model not in limits.models:
        allowed = ", ".join(sorted(limits.models)) or "none but the default"
        raise BadRequestError(f"model {model!r} is not allowed here; allowed: {allowed}")


def _check_schemas(call: _GuestCall) -> None:
    # A map sends the same schema many times; what is bounded is the work for different ones.
    seen: set[str] = set()
    total = 0
    for index, request in enumerate(call.requests):
        if request.schema_ is None:
            continue
        try:
            text = json.dumps(request.schema_, allow_nan=False)
            if text in seen:
                continue
            total += len(text)
            if total > 2 * MAX_SCHEMA_CHARS:
                raise UnusableSchemaError("the schemas of one call are too large together")
            check_schema(request.schema_)
        except (UnusableSchemaError, ValueError, TypeError, RecursionError) as error:
            raise BadRequestError(f"request {index}: {error}") from None
        seen.add(text)


def _render(result: Answer | SubLLMError) -> dict[str, Any]:
    if isinstance(result, Answer):
        return {"text": result.text, "data": result.data}
    error = {
        "kind": result.kind,
        "provider": result.provider,
        "model": result.model,
        "message": str(result),
    }
    return {"error": error}
