"""Vectors of a provider's model: those that are known, and the others in requests of some dozen."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import anyio
from anyio import to_thread

from ..errors import StoreError, SubLLMError
from ..store import Answers, KeptAnswer
from ._batch import ask_one, usage_of
from ._embeddings import Embedded, Spent, identity_of
from ._journal import Journal
from ._keys import address_of
from ._model import SubModel
from ._unwritten import settle
from ._vectors import MAX_DIMENSIONS, Vectors, ask_for

_log = logging.getLogger(__name__)

_VERSION = "vectors 1"
"""Of the way to name texts and to keep vectors; another one finds nothing of before."""
REQUEST_TEXTS = 96
"""Of one request: the most that Cohere takes; others take more."""
REQUEST_CHARS = 200_000
"""Of one request, about 50,000 tokens: a sixth of what OpenAI takes."""
AT_ONCE = 8
"""Requests for one search (a guess: some thousand passages in some seconds)."""
_ROUNDS = 2
"""A model that has changed is asked again for what was known of it before, once."""


class KnownEmbeddings:
    """Asks a provider for the vectors that are not known from before. For one event loop.

    Args:
        name: of the model, in litellm's notation.
        unasked: texts that a search may have embedded that did not ask for it.
        store: where known vectors are.
        journal: writes new ones.
        timeout_s: for one request, tries and waits included.
    """

    weight = 1.0
    waits = True

    def __init__(
        self, name: str, unasked: int, store: Answers, journal: Journal, timeout_s: float
    ) -> None:
        self.name = name
        self.unasked = unasked
        self._store = store
        self._journal = journal
        self._timeout_s = timeout_s
        self._flights: dict[str, asyncio.Event] = {}

    async def identity(self) -> str:
        """The name, and what the environment says of where it is."""
        return identity_of(self.name, address_of(self.name))

    async def embed(
        self,
        owner: str,
        texts: Sequence[str],
        dimensions: int | None,
        model: SubModel,
        spent: Spent,
    ) -> Embedded:
        """The vectors of texts; none is asked for twice, also not at the same time."""
        keys = await to_thread.run_sync(self._keys, texts)
        wanted = dict(zip(keys, texts, strict=True))
        found = _of_one_length(await self._look(wanted), dimensions)
        for _ in range(1 + _ROUNDS):
            fresh = await self._get(wanted, found, model, spent)
            found = _of_one_length(found | fresh, _length(fresh))
            if len(found) == len(wanted):
                data = b"".join([found[key] for key in keys])
                return Embedded(_length(found) or 0, data)
        raise SubLLMError(
            f"{self.name}: it gives vectors of different lengths for the same texts. Set "
            "RLM_MCP_EMBED_MODEL to another model, or search by words alone with embed=False.",
            kind="failed",
            model=self.name,
        )

    async def aclose(self) -> None:
        """Do nothing: the way to the provider is closed by whoever opened it."""

    def _keys(self, texts: Iterable[str]) -> list[str]:
        base = hashlib.sha256("\0".join((_VERSION, self.name, address_of(self.name))).encode())
        keys = []
        for text in texts:
            digest = base.copy()
            digest.update(text.encode("utf-8", "surrogatepass"))
            keys.append(digest.hexdigest())
        return keys

    async def _look(self, keys: Iterable[str]) -> dict[str, bytes]:
        wanted = list(keys)
        waiting = self._journal.waiting()
        rows = {key: waiting[key] for key in wanted if key in waiting}
        try:
            rows = await to_thread.run_sync(self._store.find, wanted) | rows
        except StoreError as error:
            # Then all others are asked for: dearer than knowing, and better than failing.
            _log.warning("known vectors cannot be read: %s", error)
        return {
            key: row.answer for key, row in rows.items() if 0 < len(row.answer) <= MAX_DIMENSIONS
        }

    async def _get(
        self, wanted: Mapping[str, str], found: Mapping[str, bytes], model: SubModel, spent: Spent
    ) -> dict[str, bytes]:
        """The vectors that are not found yet."""
        fresh: dict[str, bytes] = {}
        while missing := [key for key in wanted if key not in found and key not in fresh]:
            mine = {key: wanted[key] for key in missing if key not in self._flights}
            if mine:
                fresh |= await self._ask(mine, model, spent)
                continue
            # Another search is asking for it.
            await self._flights[missing[0]].wait()
            fresh |= await self._look(missing)
        return fresh

    async def _ask(
        self, texts: Mapping[str, str], model: SubModel, spent: Spent
    ) -> dict[str, bytes]:
        """Ask for all of them, some requests at a time, and keep what comes.

        Raises:
            SubLLMError: what came before it is kept.
        """
        landed = asyncio.Event()
        self._flights.update(dict.fromkeys(texts, landed))
        requests = _requests(texts)
        found: dict[str, bytes] = {}
        errors: list[SubLLMError] = []

        async def work() -> None:
            for part in requests:  # all of them take from one
                request = ask_for([texts[key] for key in part], self.name, self._timeout_s)
                result = await ask_one(model, request)
                spent(usage_of(result))
                if isinstance(result, SubLLMError):
                    errors.append(result)
                elif not isinstance(result, Vectors) or len(result.vectors) != len(part):
                    text = f"{self.name}: this model gives answers and no vectors"
                    errors.append(SubLLMError(text, kind="failed", model=self.name))
                else:
                    vectors = dict(zip(part, result.vectors, strict=True))
                    found.update(vectors)
                    kept = (KeptAnswer(key, self.name, vector) for key, vector in vectors.items())
                    await settle(self._journal.keep(*kept))
                if errors:
                    return

        try:
            async with anyio.create_task_group() as workers:
                for _ in range(AT_ONCE):
                    workers.start_soon(work)
        finally:
            for key in texts:
                del self._flights[key]
            landed.set()
        if errors:
            raise errors[0]
        return found


def _requests(texts: Mapping[str, str]) -> Iterator[list[str]]:
    """The keys of texts, as many as fit into a request."""
    part: list[str] = []
    size = 0
    for key, text in texts.items():
        if part and (len(part) == REQUEST_TEXTS or size + len(text) > REQUEST_CHARS):
            yield part
            part, size = [], 0
        part.append(key)
        size += len(text)
    if part:
        yield part


def _length(found: Mapping[str, bytes]) -> int | None:
    """The length of vectors that all have the same, or that most have."""
    counts = Counter(map(len, found.values())).most_common(1)
    return counts[0][0] if counts else None


def _of_one_length(found: Mapping[str, bytes], length: int | None) -> dict[str, bytes]:
    """Those of a length; left out, of that which most have."""
    length = length or _length(found)
    return {key: vector for key, vector in found.items() if len(vector) == length}
