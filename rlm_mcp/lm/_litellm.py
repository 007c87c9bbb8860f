"""Any model that litellm knows.

Reads the keys and addresses that litellm reads: for `openai/...` OPENAI_API_KEY and, for another
server with the same protocol, OPENAI_BASE_URL (before OPENAI_API_BASE, which also works); for
`hosted_vllm/...` HOSTED_VLLM_API_BASE; for `ollama_chat/...` OLLAMA_API_BASE.
"""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
from anyio import to_thread

from rlm_mcp.errors import SubLLMError

from ._schema import (
    SchemaMismatchError,
    UnusableSchemaError,
    check_schema,
    instruction,
    is_object_schema,
    read_data,
)
from ._trouble import Trouble, to_error, trouble_from_status, without_prefix
from ._types import Answer, JsonSchema, Request, Usage
from ._wire import Endpoint, OpenAIWire, Reply, check_text, text_of

MAX_TRIES = 4
SCHEMA_REPEATS = 2
_MAX_WAIT_S = 20.0
_MAX_FEEDBACK_CHARS = 20_000

# Providers whose chat protocol is OpenAI's without changes, so that the fast path may serve them.
_OPENAI_PROTOCOL = {"openai", "hosted_vllm", "lm_studio", "llamafile", "groq", "cerebras", "xai"}
_OPENAI_BASE = "https://api.openai.com/v1"
_WIRE_PARAMETERS = {"max_tokens", "max_completion_tokens", "response_format"}
_NO_PARAMETERS = {"stream", "fake_stream", "extra_body", "json_mode"}
# litellm prints a code to standard output for these, which is the MCP connection.
_TERMINAL_LOGIN = {"github_copilot", "chatgpt"}
_MAX_ROUTES = 1000
# Where an account can also come from a file, a role or a login, litellm cannot tell beforehand.
_OTHER_CREDENTIALS = {"azure", "azure_ai", "bedrock", "bedrock_converse", "sagemaker", "vertex_ai"}

# What litellm's own models make pydantic warn of, in calls, so that it cannot be caught there.
_LITELLM_WARNINGS = (r".*using the `ReadOnly` qualifier", r"Pydantic serializer warnings")

_import_lock = threading.Lock()


def _import_litellm() -> Any:
    # Without the first, importing fetches a price table; without the second, it reads a `.env`.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    os.environ.setdefault("LITELLM_LOG", "ERROR")
    with _import_lock:
        import litellm

        litellm.suppress_debug_info = True  # else it prints to standard output
        litellm.telemetry = False
        logging.getLogger("LiteLLM").setLevel(logging.ERROR)
    for message in _LITELLM_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    return litellm


@dataclass(frozen=True, slots=True)
class _Prices:
    """US dollars for a token, kept here because litellm takes 1 ms to look them up."""

    read: float
    cached: float
    written: float
    in_steps: bool

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> _Prices | None:
        read, written = info.get("input_cost_per_token"), info.get("output_cost_per_token")
        if read is None or written is None:
            return None
        cached = info.get("cache_read_input_token_cost")
        in_steps = any("_above_" in name and value for name, value in info.items())
        return cls(read, read if cached is None else cached, written, in_steps)


@dataclass(frozen=True, slots=True)
class _Route:
    """What litellm says about a model name."""

    model: str
    name: str
    provider: str
    endpoint: Endpoint | None
    native_schema: bool
    prices: _Prices | None


class LiteLLMModel:
    """Ask through litellm; import it, off the event loop, at the first call.

    For one event loop. `aclose()` may be called twice; the model can be used again after it.

    Args:
        default_model: used where a request names none, in litellm's notation.
        backoff_s: the wait before the second try; it doubles with each, with jitter.
        fast_path: post straight to servers with the OpenAI protocol (see `_wire`).
    """

    def __init__(
        self, default_model: str, *, backoff_s: float = 0.5, fast_path: bool = True
    ) -> None:
        self.default_model = default_model
        self._backoff_s = backoff_s
        self._fast_path = fast_path
        self._litellm: Any = None
        self._routes: dict[str, _Route | SubLLMError] = {}
        self._learning = anyio.Lock()
        self._parameters: dict[tuple[str, int | None, str], dict[str, Any]] = {}
        self._wire = OpenAIWire()

    async def load(self) -> None:
        """Import litellm now, so that the first call does not wait the seconds this takes."""
        if self._litellm is None:
            self._litellm = await to_thread.run_sync(_import_litellm, abandon_on_cancel=True)

    async def ask(self, request: Request) -> Answer:
        """Answer one request, with retries, or raise `SubLLMError`."""
        await self.load()
        model = request.model or self.default_model
        route = self._routes.get(model) or await self._learn(model)
        if isinstance(route, SubLLMError):
            # A new one each time: an exception that is raised again collects tracebacks.
            raise SubLLMError(str(route), kind=route.kind, provider=route.provider, model=model)
        deadline = anyio.current_time() + request.timeout_s
        with anyio.move_on_at(deadline):
            return await self._ask_checked(route, request, deadline)
        trouble = Trouble("timeout", f"no answer within {request.timeout_s:g} s")
        raise to_error(trouble, provider=route.provider, model=model)

    async def estimate(self, request: Request) -> Usage:
        """Guess by the length of the request."""
        return Usage.guess(request)

    async def aclose(self) -> None:
        """Close the connections, also those that litellm keeps."""
        await self._wire.aclose()
        if self._litellm is not None:
            await self._litellm.close_litellm_async_clients()

    async def _learn(self, model: str) -> _Route | SubLLMError:
        async with self._learning:
            if (known := self._routes.get(model)) is not None:
                return known
            found: _Route | SubLLMError
            try:
                found = await to_thread.run_sync(self._find_route, model, abandon_on_cancel=True)
            except SubLLMError as error:
                found = error
            if len(self._routes) >= _MAX_ROUTES:  # guest code may name any number of models
                self._routes.clear()
            self._routes[model] = found
            return found

    def _find_route(self, model: str) -> _Route:
        litellm = self._litellm
        if (provider := model.partition("/")[0]) in _TERMINAL_LOGIN:
            text = f"{model}: {provider} logs in through a terminal, which a server does not have."
            raise SubLLMError(text, kind="refused", provider=provider, model=model)
        try:
            name, provider, key, base = litellm.get_llm_provider(model)
            missing = litellm.validate_environment(model)["missing_keys"]
        except Exception as error:
            cause = f"litellm does not know this model ({type(error).__name__})"
            text = f"{model}: {cause}. Write provider/model, for example openai/gpt-6-luna."
            raise SubLLMError(text, kind="failed", model=model) from None
        keys = [variable for variable in missing if variable.endswith("_API_KEY")]
        if keys and provider not in _OTHER_CREDENTIALS:
            raise _no_key(model, provider, keys)
        info = self._info(model)
        # A model that is answered by another API than chat must go through litellm.
        plain = self._fast_path and info.get("mode") in (None, "chat")
        return _Route(
            model,
            name,
            provider,
            self._endpoint(provider, key, base) if plain else None,
            bool(litellm.supports_response_schema(model=name, custom_llm_provider=provider)),
            _Prices.of(info),
        )

    def _endpoint(self, provider: str, key: str | None, base: str | None) -> Endpoint | None:
        if provider not in _OPENAI_PROTOCOL:
            return None
        headers = {}
        if provider == "openai":
            key = key or self._litellm.api_key or os.environ.get("OPENAI_API_KEY")
            base = (
                base
                or self._litellm.api_base
                or os.environ.get("OPENAI_BASE_URL")
                or os.environ.get("OPENAI_API_BASE")
                or _OPENAI_BASE
            )
            for header, variable in (
                ("OpenAI-Organization", "OPENAI_ORGANIZATION"),
                ("OpenAI-Project", "OPENAI_PROJECT"),
            ):
                if value := os.environ.get(variable):
                    headers[header] = value
        return Endpoint(base, key, headers) if key and base else None

    def _info(self, model: str) -> Mapping[str, Any]:
        try:
            info: Mapping[str, Any] = self._litellm.get_model_info(model)
        except Exception:  # litellm raises for every model that is not in its table
            return {}
        return info

    async def _ask_checked(self, route: _Route, request: Request, deadline: float) -> Answer:
        schema = request.schema
        native = False
        if schema is not None:
            _check_schema(schema, route)
            native = route.native_schema and is_object_schema(schema)
        messages = _messages(request, schema, native)
        total = Reply("", 0, 0, usd=0.0)
        problem = ""
        for _ in range(1 + SCHEMA_REPEATS):
            try:
                reply = await self._ask_again(route, request, messages, native, deadline)
            except _NoNativeSchemaError:
                native = False
                messages = _messages(request, schema, native)
                reply = await self._ask_again(route, request, messages, native, deadline)
            total = _sum(total, reply)
            if schema is None:
                return _answer(route, total, reply, None)
            try:
                data = await to_thread.run_sync(read_data, reply.text, schema)
                return _answer(route, total, reply, data)
            except UnusableSchemaError as error:
                raise _schema_error(str(error), route) from None
            except SchemaMismatchError as error:
                problem = str(error)
            messages = [*messages, *_feedback(reply.text, problem)]
        cause = f"the answer does not fit the schema after {1 + SCHEMA_REPEATS} tries: {problem}"
        raise _schema_error(cause, route)

    async def _ask_again(
        self,
        route: _Route,
        request: Request,
        messages: list[dict[str, Any]],
        native: bool,
        deadline: float,
    ) -> Reply:
        schema = request.schema if native else None
        for number in range(1, MAX_TRIES + 1):
            try:
                return await self._ask_once(route, messages, request, schema)
            except Trouble as error:
                trouble = error
            if native and trouble.status == 400 and "schema" in trouble.cause.lower():
                raise _NoNativeSchemaError
            wait = min(self._backoff_s * 2 ** (number - 1), _MAX_WAIT_S)
            wait = max(wait * random.uniform(0.5, 1.0), trouble.retry_after_s or 0.0)
            left = deadline - anyio.current_time()
            if not trouble.again or number == MAX_TRIES or wait >= left:
                if trouble.again and trouble.retry_after_s and wait >= left:
                    cause = f"{trouble.cause} (to be tried again in {trouble.retry_after_s:.0f} s)"
                    trouble = Trouble(trouble.kind, cause, status=trouble.status)
                break
            await anyio.sleep(wait)
        raise to_error(trouble, provider=route.provider, model=route.model, tries=number)

    async def _ask_once(
        self,
        route: _Route,
        messages: list[dict[str, Any]],
        request: Request,
        schema: JsonSchema | None,
    ) -> Reply:
        wanted: dict[str, Any] = {}
        if request.max_tokens is not None:
            wanted["max_tokens"] = request.max_tokens
        if schema is not None:
            wanted["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": schema},
            }
        if route.endpoint is not None:
            parameters = self._wire_parameters(route, wanted)
            if parameters is not None:
                body = {"model": route.name, "messages": messages, **parameters}
                reply = await self._wire.chat(route.endpoint, body)
                return self._priced(route, reply)
        return await self._ask_litellm(route, messages, wanted, request.timeout_s)

    def _wire_parameters(self, route: _Route, wanted: dict[str, Any]) -> dict[str, Any] | None:
        """Return the parameters under the names that this model takes, or None if it is odd."""
        if not wanted:
            return {}
        schema = json.dumps(wanted.get("response_format"))
        key = (route.model, wanted.get("max_tokens"), schema)
        if (known := self._parameters.get(key)) is not None:
            return known
        try:
            mapped = self._litellm.get_optional_params(
                model=route.name, custom_llm_provider=route.provider, **wanted
            )
        except Exception:  # the same error comes again, as a Trouble, from litellm's own path
            return None
        parameters = {name: mapped[name] for name in mapped if name not in _NO_PARAMETERS}
        if set(parameters) - _WIRE_PARAMETERS or mapped.get("extra_body"):
            return None
        if len(self._parameters) > 1000:
            self._parameters.clear()
        self._parameters[key] = parameters
        return parameters

    def _priced(self, route: _Route, reply: Reply) -> Reply:
        prices = route.prices
        usd: float | None = None
        if prices is not None and prices.in_steps:
            try:
                usd = sum(
                    self._litellm.cost_per_token(
                        model=route.model,
                        prompt_tokens=reply.input_tokens,
                        completion_tokens=reply.output_tokens,
                        cache_read_input_tokens=reply.cached_tokens,
                    )
                )
            except Exception:  # an unknown price is no reason to lose the answer
                usd = None
        elif prices is not None:
            fresh = max(reply.input_tokens - reply.cached_tokens, 0)
            usd = fresh * prices.read + reply.cached_tokens * prices.cached
            usd += reply.output_tokens * prices.written
        return Reply(
            reply.text,
            reply.input_tokens,
            reply.output_tokens,
            reply.cached_tokens,
            reply.truncated,
            usd,
        )

    async def _ask_litellm(
        self,
        route: _Route,
        messages: list[dict[str, Any]],
        parameters: dict[str, Any],
        timeout_s: float,
    ) -> Reply:
        # The time-out is the whole call's, although less may be left: litellm keeps a client, with
        # its connections, for each different one, and `ask` ends the call in time anyway.
        try:
            response = await self._litellm.acompletion(
                model=route.model,
                messages=messages,
                timeout=timeout_s,
                max_retries=0,
                num_retries=0,
                **parameters,
                **{"no-log": True},
            )
        except Exception as error:  # every provider of litellm has errors of its own
            trouble = _trouble_of(error)
        else:
            return _read_response(response, priced=route.prices is not None)
        raise trouble


class _NoNativeSchemaError(Exception):
    """The provider does not take a schema although litellm says so: put it into the prompt."""


def _messages(request: Request, schema: JsonSchema | None, native: bool) -> list[dict[str, Any]]:
    text = request.prompt.text
    if schema is not None and not native:
        text = f"{text}\n\n{instruction(schema)}"
    messages = [{"role": turn.role, "content": turn.text} for turn in request.prompt.history]
    messages.append({"role": "user", "content": text})
    if request.prompt.system is not None:
        messages.insert(0, {"role": "system", "content": request.prompt.system})
    return messages


def _feedback(reply: str, problem: str) -> list[dict[str, Any]]:
    complaint = f"That does not fit: {problem}. Answer again with the corrected JSON alone."
    return [
        {"role": "assistant", "content": reply[:_MAX_FEEDBACK_CHARS] or "(nothing)"},
        {"role": "user", "content": complaint},
    ]


def _sum(total: Reply, reply: Reply) -> Reply:
    usd = None if total.usd is None or reply.usd is None else total.usd + reply.usd
    return Reply(
        reply.text,
        total.input_tokens + reply.input_tokens,
        total.output_tokens + reply.output_tokens,
        usd=usd,
    )


def _answer(route: _Route, total: Reply, reply: Reply, data: Any) -> Answer:
    return Answer(
        reply.text,
        data,
        route.model,
        total.input_tokens,
        total.output_tokens,
        total.usd,
        reply.truncated,
    )


def _check_schema(schema: JsonSchema, route: _Route) -> None:
    try:
        check_schema(schema)
    except UnusableSchemaError as error:
        raise _schema_error(str(error), route) from None


def _schema_error(cause: str, route: _Route) -> SubLLMError:
    text = f"{route.model}: {cause}. Simplify the schema, or say in the prompt what you expect."
    return SubLLMError(text, kind="schema", provider=route.provider, model=route.model)


def _no_key(model: str, provider: str, variables: list[str]) -> SubLLMError:
    text = (
        f"{model}: no key for {provider}. Set {' or '.join(variables)} in the environment of the "
        "rlm-mcp server (any value for a local server that asks for none), or set "
        "RLM_MCP_SUB_MODEL to a model whose key is there."
    )
    return SubLLMError(text, kind="no_key", provider=provider, model=model)


def _trouble_of(error: Exception) -> Trouble:
    """Return what an exception of litellm means; it maps the same fault to several classes."""
    message = without_prefix(str(getattr(error, "message", "") or error))
    names = set(_class_names(error))
    if "ContextWindowExceededError" in names:
        return Trouble("context", f"the prompt is too long: {message}")
    if "ContentPolicyViolationError" in names:
        return Trouble("refused", f"the provider's rules refused the prompt: {message}")
    if "Timeout" in names or "APITimeoutError" in names:
        return Trouble("timeout", f"the provider timed out: {message}", True)
    if "api_key client option must be set" in message:
        return Trouble("no_key", "the provider wants a key and none is set")
    if "APIConnectionError" in names or names & _CONNECTION_CLASSES:
        return Trouble("connection", f"no connection: {message}", True)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status > 0:
        return trouble_from_status(status, message, headers=_headers_of(error))
    return Trouble("failed", f"{type(error).__name__}: {message}")


_CONNECTION_CLASSES = {
    "ClientConnectionError", "ClientConnectorError", "ConnectError", "ReadError",
    "RemoteProtocolError", "ServerDisconnectedError", "ConnectionError",
}  # fmt: skip


def _class_names(error: BaseException) -> list[str]:
    names: list[str] = []
    current: BaseException | None = error
    for _ in range(10):  # chains of causes can be circular
        if current is None:
            break
        names += [kind.__name__ for kind in type(current).__mro__]
        current = current.__cause__ or current.__context__
    return names


def _headers_of(error: Exception) -> Mapping[str, str]:
    for found in (
        getattr(error, "litellm_response_headers", None),
        getattr(getattr(error, "response", None), "headers", None),
        getattr(error, "headers", None),
    ):
        if isinstance(found, Mapping) and any(name.lower() == "retry-after" for name in found):
            return found
    return {}


def _read_response(response: Any, *, priced: bool) -> Reply:
    try:
        choice = response.choices[0]
        content = text_of(choice.message.content)
        finish, refusal = choice.finish_reason, getattr(choice.message, "refusal", None)
        usage = getattr(response, "usage", None)
        asked = int(getattr(usage, "prompt_tokens", 0) or 0)
        answered = int(getattr(usage, "completion_tokens", 0) or 0)
        cost = response._hidden_params.get("response_cost")
    except (AttributeError, IndexError, TypeError, ValueError):
        raise Trouble("failed", "the reply is not a chat completion", True) from None
    usd = float(cost) if priced and isinstance(cost, int | float) else None
    text = check_text(content, finish, refusal)
    return Reply(text, asked, answered, 0, finish == "length", usd)
