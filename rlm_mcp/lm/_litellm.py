"""Any model that litellm knows.

Reads the keys and addresses that litellm reads: for `openai/...` OPENAI_API_KEY and, for another
server with the same protocol, OPENAI_BASE_URL (before OPENAI_API_BASE, which also works); for
`hosted_vllm/...` HOSTED_VLLM_API_BASE; for `ollama_chat/...` OLLAMA_API_BASE.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import threading
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import anyio
from anyio import to_thread

from ..errors import SubLLMError
from ._asking import Asking
from ._litellm_reply import read_response, trouble_of
from ._messages import messages_of
from ._pauses import Pauses
from ._reply import ProviderReply
from ._routes import Route, find_route, route_by_name
from ._table import ModelTable
from ._trouble import Trouble, copied
from ._types import Answer, JsonSchema, Request, Turn, Usage, estimate_tokens
from ._wire import OpenAIWire

_WIRE_PARAMETERS = {"max_tokens", "max_completion_tokens", "response_format"}
_NO_PARAMETERS = {"stream", "fake_stream", "extra_body", "json_mode"}
_MAX_ROUTES = 1000

# What litellm's own models make pydantic warn of, in calls, so that it cannot be caught there.
_LITELLM_WARNINGS = (r".*using the `ReadOnly` qualifier", r"Pydantic serializer warnings")

_import_lock = threading.Lock()


def import_litellm() -> Any:
    """Import litellm, which takes seconds, and make it quiet."""
    # Without the first, importing fetches a price table; without the second, it reads a `.env`.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    os.environ.setdefault("LITELLM_LOG", "ERROR")
    with _import_lock:
        # Its objects stay. Looking through them for garbage again and again took 15 to 30 % of the
        # import and about a tenth of the processor time of each call after it (measured).
        gc.disable()
        try:
            import litellm
        finally:
            gc.freeze()
            gc.enable()

        litellm.suppress_debug_info = True  # else it prints to standard output
        litellm.telemetry = False
        logging.getLogger("LiteLLM").setLevel(logging.ERROR)
    for message in _LITELLM_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    return litellm


async def close_litellm(litellm: Any) -> None:
    """Close the connections that litellm keeps, and forget the closed clients: it would use them
    again."""
    await litellm.close_litellm_async_clients()
    litellm.in_memory_llm_clients_cache.flush_cache()


class LiteLLMModel:
    """Ask through litellm; import it, off the event loop, at the first call that needs it.

    A call without parameters to a server with the OpenAI protocol does not (see `route_by_name`).

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
        self._routes: dict[str, Route | SubLLMError] = {}
        self._named: dict[str, Route | None] = {}
        self._learning = anyio.Lock()
        self._parameters: dict[tuple[str, int | None, str], dict[str, Any]] = {}
        self._wire = OpenAIWire()
        self._pauses = Pauses()
        self._table = ModelTable()

    async def load(self) -> None:
        """Import litellm now, so that no call waits the seconds this takes."""
        if self._litellm is None:
            self._litellm = await to_thread.run_sync(import_litellm, abandon_on_cancel=True)

    async def ask(self, request: Request) -> Answer:
        """Answer one request, with retries, or raise `SubLLMError`."""
        model = request.model or self.default_model
        route = self._routes.get(model)
        if route is None and request.schema is None and request.max_tokens is None:
            route = await self._by_name(model)
        if route is None:
            await self.load()
            route = await self._learn(model)
        if isinstance(route, SubLLMError):
            raise copied(route)
        _check_attachments(route, request)
        source = _Source(self, route)
        return await Asking(source, request, self._pauses, backoff_s=self._backoff_s).run()

    async def estimate(self, request: Request) -> Usage:
        """Guess by the length of the request, with the prices of litellm's table."""
        guess = Usage.guess(request)
        info = await self._table.find(request.model or self.default_model)
        if info is None:
            return guess
        written = min(guess.output_tokens, info.longest or guess.output_tokens)
        usd = info.usd(guess.input_tokens, written)
        return replace(guess, output_tokens=written, usd=usd)

    async def aclose(self) -> None:
        """Close the connections, also those that litellm keeps."""
        await self._wire.aclose()
        if self._litellm is not None:
            await close_litellm(self._litellm)

    async def _by_name(self, model: str) -> Route | None:
        if not self._fast_path:
            return None
        if model not in self._named:
            async with self._learning:  # the first reads the table for all
                if model not in self._named:
                    found = await to_thread.run_sync(route_by_name, model)
                    if len(self._named) >= _MAX_ROUTES:
                        self._named.clear()
                    self._named[model] = found
        return self._named[model]

    async def _learn(self, model: str) -> Route | SubLLMError:
        async with self._learning:
            if (known := self._routes.get(model)) is not None:
                return known
            found: Route | SubLLMError
            try:
                found = await to_thread.run_sync(self._find, model, abandon_on_cancel=True)
            except SubLLMError as error:
                found = error
            if len(self._routes) >= _MAX_ROUTES:  # guest code may name any number of models
                self._routes.clear()
            self._routes[model] = found
            return found

    def _find(self, model: str) -> Route:
        return find_route(self._litellm, model, fast_path=self._fast_path)

    async def send(
        self, route: Route, request: Request, messages: list[dict[str, Any]], wanted: dict[str, Any]
    ) -> ProviderReply:
        """Ask a model once, on the fast path where there is one."""
        if route.endpoint is not None:
            parameters = self._wire_parameters(route, wanted)
            if parameters is not None:
                body = {"model": route.name, "messages": messages, **parameters}
                try:
                    return _priced(route, await self._wire.chat(route.endpoint, body))
                except Trouble as trouble:
                    used = trouble.usage
                    if used.usd is None and route.info is not None:
                        usd = route.info.usd(used.input_tokens, used.output_tokens)
                        trouble.usage = replace(used, usd=usd)
                    raise
        return await self._ask_litellm(route, messages, wanted, request.timeout_s)

    def _wire_parameters(self, route: Route, wanted: dict[str, Any]) -> dict[str, Any] | None:
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

    async def _ask_litellm(
        self,
        route: Route,
        messages: list[dict[str, Any]],
        parameters: dict[str, Any],
        timeout_s: float,
    ) -> ProviderReply:
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
            trouble = trouble_of(error)
        else:
            priced = route.info is not None and bool(route.info.prices)
            return read_response(response, priced=priced)
        raise trouble


class _Source:
    """A model of litellm, as `Asking` sees it."""

    def __init__(self, litellm: LiteLLMModel, route: Route) -> None:
        self._litellm = litellm
        self._route = route

    @property
    def model(self) -> str:
        return self._route.model

    @property
    def provider(self) -> str:
        return self._route.provider

    @property
    def native_schema(self) -> bool:
        return self._route.native_schema

    async def send(
        self, request: Request, text: str, after: Sequence[Turn], schema: JsonSchema | None
    ) -> ProviderReply:
        wanted: dict[str, Any] = {}
        if request.max_tokens is not None:
            longest = self._route.info.longest if self._route.info is not None else 0
            wanted["max_tokens"] = min(request.max_tokens, longest or request.max_tokens)
        if schema is not None:
            wanted["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": schema},
            }
        messages = messages_of(request.prompt, text, after)
        reply = await self._litellm.send(self._route, request, messages, wanted)
        if reply.input_tokens or reply.output_tokens:
            return reply
        # Some servers count nothing, and budgets would hold nothing then.
        said = sum(estimate_tokens(turn.text) for turn in after)
        read = Usage.guess(request).input_tokens + said
        counted = replace(reply, input_tokens=read, output_tokens=estimate_tokens(reply.text))
        return _priced(self._route, counted)


def _priced(route: Route, reply: ProviderReply) -> ProviderReply:
    if route.info is None:
        return reply
    usd = route.info.usd(reply.input_tokens, reply.output_tokens, reply.cached_tokens)
    return replace(reply, usd=usd)


def _check_attachments(route: Route, request: Request) -> None:
    # A model that the table lacks may take anything; its provider says so if it does not.
    for attachment in request.prompt.attachments:
        image = attachment.mime.startswith("image/")
        if not image and attachment.mime != "application/pdf":
            problem = f"{attachment.mime} cannot be sent; images and application/pdf can"
        elif route.info is None or (route.info.images if image else route.info.files):
            continue
        else:
            problem = f"this model takes no {'images' if image else 'PDF files'}"
        text = f"{route.model}: {problem}. Name a model that does, or put the text in the prompt."
        raise SubLLMError(text, kind="refused", provider=route.provider, model=route.model, calls=0)
