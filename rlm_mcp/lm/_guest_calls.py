"""What guest code asks of the sub-model: read as if an attacker had written it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, TypeVar

from anyio import to_thread
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import BadRequestError, SubLLMError
from ._batch import OnProgress, ask_all
from ._model import SubModel
from ._schema import MAX_SCHEMA_CHARS, UnusableSchemaError, check_schema
from ._types import DEFAULT_TIMEOUT_S, Answer, Attachment, Prompt, Request, Usage

# Some providers of litellm take a URL as the model's name and would send the key there.
_MODEL_NAME = re.compile(r"[A-Za-z0-9](?!.*//)[\w./:@+\-\[\]]{0,199}", re.ASCII)
_MAX_PROBLEMS = 3
MAX_REPLY_CHARS = 4_000_000
"""Of the answers in one message, which may have 64 MB; a character is at most 12 bytes of JSON,
in the text and in the data that was read from it."""
_MAX_RESTS = 64
"""Maps of one call whose answers are not all handed out: one, and one in each fork of a `pmap`."""
_AT_ONCE = 100
"""Requests that are estimated together: an estimate may take time without waiting."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """The bounds of what guest code asks.

    Args:
        max_requests: prompts in one map, and calls that one execution waits for.
        max_prompt_bytes: of one prompt in UTF-8.
        max_attached_bytes: of all attachments of a prompt (the largest that a provider takes in
            one request is 32 MB).
        max_attachments: of a prompt.
        max_concurrency: calls in flight of a map.
        max_in_flight: calls in flight of those that an execution awaits.
        max_waiting_bytes: of the requests that an execution waits for.
        timeout_s: for one call, tries and waits included.
        models: the names that the guest may ask for; None for any.
        unbounded: models (None is the default) whose questions are all asked at once, whatever
            the guest's `concurrency`.
    """

    max_requests: int = 10_000
    max_prompt_bytes: int = 20 * 1024 * 1024
    max_attached_bytes: int = 30_000_000
    max_attachments: int = 100
    max_concurrency: int = 256
    max_in_flight: int = 100
    max_waiting_bytes: int = 128 * 1024 * 1024
    timeout_s: float = DEFAULT_TIMEOUT_S
    models: frozenset[str] | None = None
    unbounded: frozenset[str | None] = frozenset()


class Strict(BaseModel):
    """A message from the guest: no field more, none of another type, nothing of it in errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


_Message = TypeVar("_Message", bound=Strict)


class _GuestAttachment(Strict):
    mime: Literal["image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf"]
    data: str


class _GuestRequest(Strict):
    prompt: str
    model: str | None = None
    max_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    # `Any`, so that pydantic copies nothing: `check_schema` reads it, with its own bounds.
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    attachments: list[_GuestAttachment] = []
    fresh: bool = False


class _GuestCall(Strict):
    requests: list[Any]
    concurrency: Annotated[int, Field(ge=1)] = 16
    # Of a map that is sent in several messages, for its progress.
    before: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    total: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class Rest:
    """Answers that fit into no single message, until they are asked for."""

    def __init__(self) -> None:
        self._left: dict[str, Sequence[Answer | SubLLMError]] = {}

    def first(self, results: Sequence[Answer | SubLLMError]) -> dict[str, Any]:
        """A message with what fits of them, and with the name of the `rest` if there is one."""
        part = fitting(results)
        if len(part) == len(results):
            return {"results": part}
        name = secrets.token_hex(8)
        self._left[name] = results[len(part) :]
        if len(self._left) > _MAX_RESTS:
            del self._left[next(iter(self._left))]
        return {"results": part, "rest": name}

    def more(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the guest's operation `sub_llm_rest`: the next message of the `rest` it names.

        Raises:
            BadRequestError: there is none of that name.
        """
        name = fields.get("rest")
        left = self._left.pop(name, None) if isinstance(name, str) else None
        if left is None:
            raise BadRequestError("these answers are not kept here; ask again")
        return self.first(left)


async def answer_guest(
    fields: Mapping[str, Any],
    model: SubModel,
    on_progress: OnProgress | None = None,
    limits: CallLimits = CallLimits(),
    rest: Rest | None = None,
) -> dict[str, Any]:
    """Answer the guest's operation `sub_llm`; raise `BadRequestError` for fields that are wrong.

    Args:
        fields: what the guest sent.
        model: answers.
        on_progress: is told how far it is.
        limits: of the requests.
        rest: keeps what does not fit into this message.

    Returns:
        `{"results": [...]}` in the order of the requests, where each is what `render` makes, as
        far as they fit into one message; then `rest` names the others.
    """
    # In a thread: megabytes from the guest must not hold up the server.
    requests, concurrency = await to_thread.run_sync(_read, fields, limits)
    if requests and all(request.model in limits.unbounded for request in requests):
        concurrency = len(requests)
    results = await ask_all(model, requests, concurrency=concurrency, on_progress=on_progress)
    return (rest or Rest()).first(results)


async def estimate_guest(
    fields: Mapping[str, Any], model: SubModel, limits: CallLimits = CallLimits()
) -> dict[str, Any]:
    """Answer the guest's operation `sub_llm_estimate`, which asks nothing of the model.

    Returns `{"estimate": {"calls", "cached", "input_tokens", "output_tokens", "usd"}}`.
    """
    requests, _ = await to_thread.run_sync(_read, fields, limits)
    usage = Usage()
    for begin in range(0, len(requests), _AT_ONCE):
        # Together, since known answers that are looked for at the same time are one query.
        part = requests[begin : begin + _AT_ONCE]
        usage = sum(await asyncio.gather(*map(model.estimate, part)), usage)
    found = asdict(usage)
    del found["failed"], found["cut"]
    return {"estimate": found}


def _read(fields: Mapping[str, Any], limits: CallLimits) -> tuple[list[Request], int]:
    asked = fields.get("requests")
    # Before pydantic looks at each of them.
    if isinstance(asked, list) and len(asked) > limits.max_requests:
        raise BadRequestError(
            f"{len(asked)} prompts in one call; at most {limits.max_requests}: ask in several."
        )
    call = checked(_GuestCall, fields, "sub_llm")
    if call.concurrency > limits.max_concurrency:
        raise BadRequestError(
            f"concurrency={call.concurrency} is more than {limits.max_concurrency}"
        )
    reader = RequestReader(limits)
    alone = len(call.requests) == 1
    requests = [
        reader.read(one, "the prompt" if alone else f"prompt {index}")
        for index, one in enumerate(call.requests)
    ]
    return requests, call.concurrency


def checked(model: type[_Message], fields: Any, name: str) -> _Message:
    """A message of the guest.

    Raises:
        BadRequestError: it is not of the form; `name` says which it is.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_context=False)[:_MAX_PROBLEMS]
        ]
        raise BadRequestError(f"{name} cannot be used: {'; '.join(problems)}"[:1000]) from None


class RequestReader:
    """Reads the requests of one message.

    Args:
        limits: that each has to keep.
    """

    def __init__(self, limits: CallLimits) -> None:
        self._limits = limits
        self._schemas: set[str] = set()
        self._schema_chars = 0

    def read(self, fields: Any, name: str) -> Request:
        """Check one request; `name` says which in errors.

        Raises:
            BadRequestError: it cannot be sent.
        """
        asked = checked(_GuestRequest, fields, name)
        limits = self._limits
        _check_prompt(name, asked.prompt, limits)
        _check_model(name, asked.model, limits)
        self._check_schema(asked.schema_)
        prompt = Prompt(asked.prompt, attachments=_attachments(name, asked.attachments, limits))
        return Request(
            prompt, asked.model, asked.max_tokens, asked.schema_, limits.timeout_s, asked.fresh
        )

    def _check_schema(self, schema: dict[str, Any] | None) -> None:
        # A map sends the same schema many times; what is bounded is the work for different ones.
        if schema is None:
            return
        try:
            text = json.dumps(schema, allow_nan=False)
            if text in self._schemas:
                return
            self._schema_chars += len(text)
            if self._schema_chars > 2 * MAX_SCHEMA_CHARS:
                raise UnusableSchemaError("the schemas of one call are too large together")
            check_schema(schema)
        except (UnusableSchemaError, ValueError, TypeError, RecursionError) as error:
            raise BadRequestError(str(error)) from None
        self._schemas.add(text)


def _attachments(
    name: str, asked: list[_GuestAttachment], limits: CallLimits
) -> tuple[Attachment, ...]:
    if len(asked) > limits.max_attachments:
        raise BadRequestError(
            f"{name} has {len(asked)} attachments; at most {limits.max_attachments}"
        )
    # Four characters are three bytes.
    if sum(len(part.data) for part in asked) // 4 * 3 > limits.max_attached_bytes + 3 * len(asked):
        raise BadRequestError(
            f"the attachments of {name} have more than {limits.max_attached_bytes:,} bytes"
        )
    try:
        return tuple(
            Attachment(part.mime, base64.b64decode(part.data, validate=True)) for part in asked
        )
    except (binascii.Error, ValueError):
        raise BadRequestError(f"an attachment of {name} is not base64") from None


def _check_prompt(name: str, prompt: str, limits: CallLimits) -> None:
    if not prompt.strip():
        raise BadRequestError(f"{name} is empty: say in words what is asked")
    size = len(prompt)
    if size <= limits.max_prompt_bytes:
        try:
            size = len(prompt.encode())
        except UnicodeEncodeError as error:
            raise BadRequestError(
                f"{name} holds a lone surrogate at {error.start}, which no model can read: "
                'mend it with text.encode("utf-8", "replace").decode()'
            ) from None
    if size > limits.max_prompt_bytes:
        raise BadRequestError(
            f"{name} has {size:,} bytes; at most {limits.max_prompt_bytes:,}: "
            "split it, for example with chunks(text)."
        )


def is_model_name(name: str) -> bool:
    """Whether a text can be a model's name, and no address that a key would be sent to."""
    return _MODEL_NAME.fullmatch(name) is not None


def _check_model(name: str, model: str | None, limits: CallLimits) -> None:
    if model is None:
        return
    if not is_model_name(model):
        raise BadRequestError(f"{name}: this is not a model's name: {model[:100]!r}")
    if limits.models is not None and model not in limits.models:
        allowed = ", ".join(sorted(limits.models)) or "none but the default"
        raise BadRequestError(f"model {model!r} is not allowed here; allowed: {allowed}")


def fitting(results: Sequence[Answer | SubLLMError]) -> list[dict[str, Any]]:
    """The first of some results as `render` makes them: as many as fit into one message."""
    taken: list[dict[str, Any]] = []
    room = MAX_REPLY_CHARS
    for result in results:
        rendered = render(result)
        room -= len(rendered.get("text", ""))
        if room < 0 and taken:
            break
        if room < 0 and len(json.dumps(rendered)) > 12 * MAX_REPLY_CHARS:
            rendered = render(SubLLMError("the answer is over 48 MB", kind="failed"))
        taken.append(rendered)
    return taken


def render(result: Answer | SubLLMError) -> dict[str, Any]:
    """An answer as `{"text", "data", "model", "spent"}`, an error as `{"error", "spent"}`."""
    spent = [result.input_tokens, result.output_tokens, result.usd]
    if isinstance(result, Answer):
        if result.cached:
            spent = [0, 0, 0.0]
        return {"text": result.text, "data": result.data, "model": result.model, "spent": spent}
    error = {
        "kind": result.kind,
        "provider": result.provider,
        "model": result.model,
        "message": str(result),
    }
    return {"error": error, "spent": spent}
