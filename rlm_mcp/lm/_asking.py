"""One request on its way to a model: tries and waits, and an answer that fits its schema."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from anyio import to_thread

from ..errors import SubLLMError
from ._meter import METER
from ._pauses import Pauses
from ._reply import ProviderReply
from ._schema import (
    SchemaMismatchError,
    UnusableSchemaError,
    check_schema,
    instruction,
    is_object_schema,
    read_data,
)
from ._trouble import NEXT_STEPS, Trouble, charged, to_error
from ._types import Answer, JsonSchema, Request, Turn, Usage

MAX_TRIES = 4
SCHEMA_REPEATS = 2
_MAX_WAIT_S = 20.0
_MAX_FEEDBACK_CHARS = 20_000
CUT_OFF = "it was cut off at the limit of its tokens"
_SIMPLER = "Simplify the schema, or say in the prompt what you expect."
_LONGER = "Raise max_tokens, or ask for less in one call."


class Source(Protocol):
    """Where a request can be sent, once."""

    @property
    def model(self) -> str:
        """Its name, in the notation of `Request.model`."""
        ...

    @property
    def provider(self) -> str:
        """Whose it is; what is paused when it says that it is asked too often."""
        ...

    @property
    def native_schema(self) -> bool:
        """Whether it takes a schema beside the prompt."""
        ...

    async def send(
        self, request: Request, text: str, after: Sequence[Turn], schema: JsonSchema | None
    ) -> ProviderReply:
        """Ask once; raise `Trouble` for what goes wrong. It needs no time limit.

        Args:
            request: what is asked.
            text: of the prompt, with what a schema adds to it.
            after: what was said since, by both sides.
            schema: for the model's own structured output.
        """
        ...


class _NoNativeSchemaError(Exception):
    """The model does not take a schema although it should: put it into the prompt."""


class Asking:
    """One request, asked until there is a good answer.

    Args:
        source: where it is sent.
        request: what is asked.
        pauses: of all providers.
        backoff_s: the wait before the second try; it doubles with each, with jitter.
        steps: what to do next, for errors, by their kind.

    Attributes:
        usage: of all tries so far, answered or not.
    """

    def __init__(
        self,
        source: Source,
        request: Request,
        pauses: Pauses,
        *,
        backoff_s: float,
        steps: Mapping[str, str] = NEXT_STEPS,
    ) -> None:
        self._source = source
        self._request = request
        self._pauses = pauses
        self._backoff_s = backoff_s
        self._steps = steps
        self._deadline = 0.0
        self.usage = Usage()

    async def run(self) -> Answer:
        """Return the answer, or raise `SubLLMError` with what was spent in vain."""
        self._deadline = time.monotonic() + self._request.timeout_s
        limit = asyncio.timeout(self._request.timeout_s)
        try:
            async with limit:
                return await self._checked()
        except TimeoutError:
            if not limit.expired():
                raise
        raise self._error(Trouble("timeout", f"no answer within {self._request.timeout_s:g} s"))

    async def _checked(self) -> Answer:
        schema = self._request.schema
        native = False
        if schema is not None:
            try:
                check_schema(schema)
            except UnusableSchemaError as error:
                raise self._schema_error(str(error)) from None
            native = self._source.native_schema and is_object_schema(schema)
        after: list[Turn] = []
        problem = ""
        for _ in range(1 + SCHEMA_REPEATS):
            try:
                reply = await self._tried(after, native=native)
            except _NoNativeSchemaError:
                native = False
                reply = await self._tried(after, native=native)
            if schema is None:
                return self._answer(reply, None)
            try:
                return self._answer(reply, await to_thread.run_sync(read_data, reply.text, schema))
            except UnusableSchemaError as error:
                raise self._schema_error(str(error)) from None
            except SchemaMismatchError as error:
                problem = str(error)
            complaint = f"That does not fit: {problem}. Answer again with the corrected JSON alone."
            if reply.truncated:
                problem = CUT_OFF
                complaint = f"That does not fit: {problem}. Answer again with JSON that is shorter."
            said = reply.text[:_MAX_FEEDBACK_CHARS] or "(nothing)"
            after += [Turn("assistant", said), Turn("user", complaint)]
        cause = f"the answer does not fit the schema after {1 + SCHEMA_REPEATS} tries: {problem}"
        raise self._schema_error(cause, _LONGER if problem == CUT_OFF else _SIMPLER)

    async def _tried(self, after: Sequence[Turn], *, native: bool) -> ProviderReply:
        schema = self._request.schema
        text = self._request.prompt.text
        if schema is not None and not native:
            text = f"{text}\n\n{instruction(schema)}"
        for number in range(1, MAX_TRIES + 1):
            try:
                await self._pauses.wait(self._source.provider, self._deadline)
                return await self._once(text, after, schema if native else None)
            except Trouble as error:
                trouble = error
            if native and trouble.status == 400 and "schema" in trouble.cause.lower():
                raise _NoNativeSchemaError
            asked_for = trouble.retry_after_s or 0.0
            if trouble.kind == "rate_limit":
                self._pauses.hold(self._source.provider, asked_for)
            wait = min(self._backoff_s * 2 ** (number - 1), _MAX_WAIT_S)
            wait = max(wait * random.uniform(0.5, 1.0), asked_for)
            left = self._deadline - time.monotonic()
            if not trouble.again or number == MAX_TRIES or wait >= left:
                if trouble.again and asked_for and wait >= left:
                    cause = f"{trouble.cause} (to be tried again in {asked_for:.0f} s)"
                    trouble = Trouble(trouble.kind, cause, status=trouble.status)
                break
            await asyncio.sleep(wait)
        raise self._error(trouble, tries=number)

    async def _once(
        self, text: str, after: Sequence[Turn], schema: JsonSchema | None
    ) -> ProviderReply:
        meter = METER.get()
        if meter is not None:
            try:
                await meter.begin()
            except SubLLMError as error:
                raise charged(error, self.usage) from None
        self.usage += Usage(calls=1)
        used: Usage | None = None
        try:
            reply = await self._source.send(self._request, text, after, schema)
            used = reply.usage
        except Trouble as trouble:
            used = trouble.usage
            raise
        finally:
            # Also when it was cancelled: the request was sent, and nobody says what it cost.
            self.usage += used or Usage(usd=None)
            if meter is not None:
                meter.end(Usage(calls=1) + used if used is not None else None)
        return reply

    def _answer(self, reply: ProviderReply, data: object) -> Answer:
        return Answer(
            reply.text,
            data,
            self._source.model,
            self.usage.input_tokens,
            self.usage.output_tokens,
            self.usage.usd,
            reply.truncated,
            calls=self.usage.calls,
        )

    def _error(self, trouble: Trouble, tries: int = 1) -> SubLLMError:
        return to_error(
            trouble,
            provider=self._source.provider,
            model=self._source.model,
            tries=tries,
            usage=self.usage,
            steps=self._steps,
        )

    def _schema_error(self, cause: str, step: str = _SIMPLER) -> SubLLMError:
        text = f"{self._source.model}: {cause}. {step}"
        error = SubLLMError(
            text, kind="schema", provider=self._source.provider, model=self._source.model
        )
        return charged(error, self.usage)
