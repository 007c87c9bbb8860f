"""The way of sub-LLM calls from a space to a model, put together from its stages."""

from __future__ import annotations

from ..errors import StoreError, SubLLMError
from ..store import Answers, Spending
from ._account import Account
from ._bounded import IN_FLIGHT, Bounded
from ._budget import KINDS, NO_BUDGET, Budget
from ._budgeted import Budgeted
from ._by_kind import ByKind
from ._cache import AnswerCache
from ._cached import Cached
from ._embed_known import KnownEmbeddings
from ._embed_local import LocalEmbeddings
from ._embed_provider import ProviderEmbeddings
from ._embeddings import LOCAL, Embedder, NoEmbedder, unasked_of
from ._journal import Journal
from ._model import SubModel
from ._scrubbed import Scrubbed
from ._types import DEFAULT_TIMEOUT_S
from ._windowed import Windowed

CACHE_MB = 512
"""Of known answers (a guess: about half a million short ones)."""


class Calls:
    """What the calls of all spaces of a server share. For one event loop.

    Args:
        source: answers requests, as a `Router` does.
        default_model: who is asked if a request does not say.
        answers: of the store.
        cache_mb: bytes of known answers, in MB.
        in_flight: calls to one provider.
        each: what one call may use.
        embed_model: makes vectors of texts; `None` for none.
        call_seconds: that one request for vectors may take.

    Attributes:
        source: with bounds, but no account: for what nobody pays for.
        embedder: makes vectors; a provider's it asks for by the way that it is given.
    """

    def __init__(
        self,
        source: SubModel,
        default_model: str,
        answers: Answers,
        *,
        cache_mb: int = CACHE_MB,
        in_flight: int = IN_FLIGHT,
        each: Budget = NO_BUDGET,
        embed_model: str | None = None,
        call_seconds: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        self.default_model = default_model
        self._each = each
        self._journal = Journal(answers, cache_mb << 20)
        self._cache = AnswerCache(answers, self._journal)
        self.embedder: Embedder = NoEmbedder()
        if embed_model is not None and embed_model.startswith(f"{LOCAL}/"):
            self.embedder = LocalEmbeddings(embed_model)
        elif embed_model is not None:
            unasked = unasked_of(embed_model)
            self.embedder = KnownEmbeddings(
                embed_model, unasked, answers, self._journal, call_seconds
            )
            source = ByKind(source, ProviderEmbeddings(embed_model, free=unasked > 0))
        bounded = Bounded(Scrubbed(source), default_model, in_flight)
        self.source: SubModel = Windowed(bounded, default_model)

    def open_account(self, space: str, budget: Budget) -> Account:
        """The account of a space; it begins with what the space has spent before.

        Args:
            space: its handle.
            budget: of all its calls, ever; seconds are those that calls take, added up.
        """

        async def load() -> Spending:
            try:
                return await self._journal.spent(space)
            except StoreError as error:
                if budget == Budget():
                    return Spending()  # nothing depends on it, and the answer is worth more
                text = f"budget: what space {space} has spent cannot be read: {error}"
                raise SubLLMError(text, kind="budget", calls=0) from error

        return Account(
            f"space {space}",
            budget,
            raised_by={kind: f"RLM_MCP_MAX_{kind.upper()}" for kind in KINDS},
            load=load,
            on_spent=self._journal.spend(space),
            adds_up=True,
        )

    def model(self, account: Account) -> SubModel:
        """What answers requests that an account pays for; known answers cost it nothing."""
        budgeted = Budgeted(self.source, account, self._each)
        return Cached(budgeted, self._cache, self.default_model, account.count_known)

    @property
    def trouble(self) -> str:
        """Why answers are not being kept, in words; empty if they are."""
        return self._journal.trouble

    async def settled(self) -> None:
        """Wait until what was spent so far is written, or cannot be."""
        await self._journal.settled()

    async def aclose(self) -> None:
        """Write what came in, and close the source; may be called twice."""
        await self._journal.aclose()
        await self.embedder.aclose()
        await self.source.aclose()
