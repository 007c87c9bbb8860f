"""Vectors of any embedding model that litellm knows, on a server or in a cloud."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import anyio
from anyio import to_thread

from ..errors import SubLLMError
from ._asking import Asking
from ._litellm import close_litellm, import_litellm
from ._litellm_reply import trouble_of
from ._pauses import Pauses
from ._reply import ProviderReply, count_of
from ._routes import Naming, Route, find_route
from ._table import ModelTable
from ._trouble import NEXT_STEPS, Trouble, copied
from ._types import Answer, JsonSchema, Request, Turn, Usage
from ._vectors import Texts, Vectors, direction, tokens_of

NAMING = Naming(
    "RLM_MCP_EMBED_MODEL",
    "openai/text-embedding-3-small, ollama/nomic-embed-text, or model2vec/FOLDER for a model "
    "in a folder",
)
_BY_WORDS = "or by words alone with embed=False"
_STEPS = {
    **NEXT_STEPS,
    "rate_limit": f"Wait and search again, {_BY_WORDS}.",
    "context": f"Search with a smaller size=, {_BY_WORDS}.",
    "timeout": f"Search again, {_BY_WORDS}.",
    "connection": f"Check that the model's server runs, then search again, {_BY_WORDS}.",
    "failed": f"Search again, {_BY_WORDS}, or set RLM_MCP_EMBED_MODEL to another model.",
}
_CHARS_OF_WINDOW = 2
"""Characters that are sent for each token of the model's window: few texts have more tokens than
that, and what is beyond counts for little in the vector of a passage (a guess)."""


class ProviderEmbeddings:
    """Asks litellm for vectors; its requests are `Texts`, its answers `Vectors`.

    For one event loop. litellm is imported, off the event loop, at the first request.

    Args:
        model: in litellm's notation.
        free: whether it runs on this machine and costs nothing.
        backoff_s: the wait before the second try; it doubles with each, with jitter.
    """

    def __init__(self, model: str, *, free: bool = False, backoff_s: float = 0.5) -> None:
        self._model = model
        self._free = free
        self._backoff_s = backoff_s
        self._litellm: Any = None
        self._route: Route | SubLLMError | None = None
        self._learning = anyio.Lock()
        self._pauses = Pauses()
        self._table = ModelTable()

    async def ask(self, request: Request) -> Answer:
        """Return the vectors of texts, after retries, or raise `SubLLMError`."""
        assert isinstance(request, Texts)
        route = await self._find_route()
        source = _Source(self, route, request.texts)
        asking = Asking(source, request, self._pauses, backoff_s=self._backoff_s, steps=_STEPS)
        answer = await asking.run()
        return Vectors(
            answer.text,
            None,
            answer.model,
            answer.input_tokens,
            answer.output_tokens,
            answer.usd,
            calls=answer.calls,
            vectors=source.vectors,
        )

    async def estimate(self, request: Request) -> Usage:
        """Guess by the length of the texts, with the prices of litellm's table."""
        assert isinstance(request, Texts)
        guess = tokens_of(request.texts)
        return replace(guess, usd=await self._usd(guess.input_tokens))

    async def aclose(self) -> None:
        """Close the connections that litellm keeps; may be called twice."""
        if self._litellm is not None:
            await close_litellm(self._litellm)

    async def _find_route(self) -> Route:
        async with self._learning:
            if self._litellm is None:
                self._litellm = await to_thread.run_sync(import_litellm, abandon_on_cancel=True)
            if self._route is None:
                try:
                    self._route = await to_thread.run_sync(
                        lambda: find_route(
                            self._litellm, self._model, fast_path=False, naming=NAMING
                        ),
                        abandon_on_cancel=True,
                    )
                except SubLLMError as error:
                    self._route = error
        if isinstance(self._route, SubLLMError):
            raise copied(self._route)
        return self._route

    async def _usd(self, tokens: int) -> float | None:
        if self._free:
            return 0.0
        info = await self._table.find(self._model)
        return info.usd(tokens, 0) if info is not None else None

    async def send(
        self, route: Route, texts: Sequence[str], timeout_s: float
    ) -> tuple[list[bytes], int, float | None]:
        """Ask once: the directions of the vectors, the tokens that were read, and their price."""
        window = route.info.window if route.info is not None else 0
        if window:
            texts = [text[: window * _CHARS_OF_WINDOW] for text in texts]
        try:
            response = await self._litellm.aembedding(
                model=route.model,
                input=list(texts),
                timeout=timeout_s,
                max_retries=0,
                num_retries=0,
                **{"no-log": True},
            )
        except Exception as error:  # every provider of litellm has errors of its own
            trouble = trouble_of(error)
        else:
            tokens = _tokens(response)
            usd = await self._usd(tokens)
            try:
                # In a thread: a hundred vectors are some hundred thousand numbers.
                found = await to_thread.run_sync(_read, response, len(texts))
            except Trouble as odd:
                odd.usage = Usage(0, 0, tokens, 0, usd)
                raise
            return found, tokens, usd
        raise trouble


class _Source:
    """One request for vectors, as `Asking` sees it."""

    native_schema = False

    def __init__(
        self, embeddings: ProviderEmbeddings, route: Route, texts: tuple[str, ...]
    ) -> None:
        self._embeddings = embeddings
        self._route = route
        self._texts = texts
        self.vectors: tuple[bytes, ...] = ()

    @property
    def model(self) -> str:
        return self._route.model

    @property
    def provider(self) -> str:
        return self._route.provider

    async def send(
        self, request: Request, text: str, after: Sequence[Turn], schema: JsonSchema | None
    ) -> ProviderReply:
        found, tokens, usd = await self._embeddings.send(
            self._route, self._texts, request.timeout_s
        )
        self.vectors = tuple(found)
        return ProviderReply(f"{len(found)} vectors of {len(found[0])} numbers", tokens, 0, usd=usd)


def _tokens(response: Any) -> int:
    try:
        return count_of(getattr(response.usage, "prompt_tokens", 0))
    except (AttributeError, TypeError, ValueError):
        return 0


def _read(response: Any, count: int) -> list[bytes]:
    """The directions in a reply, in the order of the texts; raise `Trouble` for what is none."""
    found: dict[int, bytes] = {}
    try:
        for position, row in enumerate(response.data):
            fields = row if isinstance(row, dict) else row.model_dump()
            index = fields.get("index")
            index = position if index is None else int(index)
            found[index] = direction(fields["embedding"])
    except ValueError as error:
        raise Trouble("failed", f"the reply is no list of vectors: {error}") from None
    except (AttributeError, TypeError, KeyError):
        raise Trouble("failed", "the reply is no list of vectors", True) from None
    if sorted(found) != list(range(count)):
        raise Trouble("failed", f"{count} texts were sent and {len(found)} vectors came back")
    lengths = sorted({len(vector) for vector in found.values()})
    if len(lengths) > 1:
        raise Trouble(
            "failed", f"vectors of {lengths[0]} and of {lengths[-1]} numbers in one reply"
        )
    return [found[index] for index in range(count)]
