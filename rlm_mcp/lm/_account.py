"""What was used, and what is reserved for calls in flight, against budgets.

Accounts stand in a chain (one call's, an execution's, those of a tree of recursion, a space's), and
a call must fit into all of them. What it may use at most is reserved in each before it is sent;
what it did use is settled there after every try. All of this happens between two `await`s, so that
no number of concurrent callers gets past a budget.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import anyio

from ..errors import SubLLMError
from ..store import Spending
from ._budget import KINDS, NO_BUDGET, Budget
from ._call_seconds import CallSeconds
from ._held import Held
from ._types import Request, Usage

_ROUNDING = 1e-9
_COUNTS = ("calls", "tokens", "input_tokens", "output_tokens")
_UNTIMED = contextlib.nullcontext()


@dataclass(eq=False)
class Account:
    """What one owner may use and has used. For one event loop.

    Args:
        name: of the owner, for errors: `this execution`, `space main`.
        budget: what it may use.
        parent: whose budget holds as well.
        raised_by: for each kind of budget, what raises it: `{"calls": "RLM_MCP_MAX_CALLS"}`.
        otherwise: what can be done instead of raising it.
        load: reads what was spent before, at the first use.
        on_spent: is told what is spent, as it is.
        adds_up: whether `budget.seconds` are those that its calls take, added up, each from when
            it was let through to its end; else they pass from the opening of the account on.
        kept: what is kept of the parent's budget for those who ask the parent itself; then
            `budget` is the rest, and what counts against it is all that the parent uses.
    """

    name: str
    budget: Budget = NO_BUDGET
    parent: Account | None = None
    raised_by: Mapping[str, str] = field(default_factory=dict)
    otherwise: str = "do without more calls"
    load: Callable[[], Awaitable[Spending]] | None = None
    on_spent: Callable[[Spending], None] | None = None
    adds_up: bool = False
    kept: Budget | None = None

    def __post_init__(self) -> None:
        self._spent = Spending()
        self._held = Held()
        self._began = time.monotonic()
        self._settled: asyncio.Event | None = None
        self._chain: tuple[Account, ...] = (self, *(self.parent.chain() if self.parent else ()))
        self._loading: anyio.Event | None = None
        self._limits = [
            (kind, most) for kind in _COUNTS if (most := getattr(self.budget, kind)) is not None
        ]
        self._kinds = {kind for kind in KINDS if getattr(self.budget, kind) is not None}
        self._counts = self.parent if self.kept is not None and self.parent is not None else self
        self._ended = False
        self._taking: CallSeconds | None = None
        if self.adds_up and (most := self.budget.seconds) is not None:
            self._taking = CallSeconds(lambda: most - self._spent.seconds)

    def keeping(self, kept: Budget) -> Account:
        """An account for some of the calls, which leaves a part of the budget to the others.

        Args:
            kept: the part that is left to them.
        """
        rest = {
            kind: most - (getattr(kept, kind) or 0)
            for kind in KINDS
            if (most := getattr(self.budget, kind)) is not None
        }
        least = Budget.made(rest)
        return Account(self.name, least, self, self.raised_by, self.otherwise, kept=kept)

    def chain(self) -> tuple[Account, ...]:
        """This account and those above it."""
        return self._chain

    async def end(self) -> None:
        """Pay for nothing more, since another account may be opened for the owner elsewhere.

        Calls under way go on, and what they may use at most is counted as spent until they have
        ended. Only where their seconds are bounded they are cancelled, and waited for.
        """
        if self._ended:
            return
        self._ended = True
        if self._taking is not None:
            await self._taking.end()
        if self.on_spent is not None and self._held != Held():
            self.on_spent(self._held.as_spent())

    async def spent(self) -> Spending:
        """What was used so far."""
        await self._ready()
        return self._spent

    @property
    def usage(self) -> Usage:
        """What was used since it was opened, as the sum of its calls."""
        spent = self._spent
        usd = None if spent.unpriced else spent.usd
        tokens = spent.input_tokens, spent.output_tokens
        return Usage(spent.calls, spent.failed, *tokens, usd, spent.cached)

    async def _ready(self) -> None:
        for account in self.chain():
            while account.load is not None:
                if account._loading is not None:
                    await account._loading.wait()  # all go on at once, not one after another
                    continue
                loaded = account._loading = anyio.Event()
                try:
                    account._spent += await account.load()
                    account.load = None
                finally:
                    account._loading = None
                    loaded.set()

    async def count_known(self) -> None:
        """Count an answer that was known, here and above."""
        await self._ready()
        self.add(Spending(cached=1))

    def add(self, spending: Spending) -> None:
        """Count what was used, here and above; what was used before must have been read."""
        for account in self.chain():
            account._spent += spending
            if account.on_spent is not None:
                account.on_spent(spending)

    def seconds_left(self) -> float:
        """Until the first deadline of the chain."""
        left = math.inf
        for account in self.chain():
            if "seconds" in account._kinds:
                left = min(left, account._until_deadline())
        return left

    def _until_deadline(self) -> float:
        if self.budget.seconds is None or self.adds_up:
            return math.inf
        return self._counts._began + self.budget.seconds - time.monotonic()

    def taking(self) -> AbstractContextManager[object]:
        """Time a call, and cancel it when what calls may take together is used up.

        One account of a chain adds seconds up: that of the space, at its end.
        """
        for account in self.chain():
            if account._taking is not None:
                return account._taking.call()
        return _UNTIMED

    def bounds(self, *kinds: str) -> bool:
        """Whether any account of the chain has a budget of one of these kinds."""
        for account in self._chain:  # most have no budget, and this is asked of every call
            if account._kinds and not account._kinds.isdisjoint(kinds):
                return True
        return False

    def left(self) -> Budget:
        """What is left of the budgets, the smallest of the chain for each kind."""
        left: dict[str, float] = {}
        for account in self.chain():
            counts = account._counts
            rests = {kind: most - getattr(counts._spent, kind) for kind, most in account._limits}
            if account.budget.usd is not None:
                rests["usd"] = account.budget.usd - counts._spent.usd
            if account.budget.seconds is not None:
                taking = account._taking
                rests["seconds"] = taking.left if taking else account._until_deadline()
            for kind, rest in rests.items():
                left[kind] = max(min(rest, left.get(kind, rest)), 0)
        return Budget.made(left)

    def fits(self, need: Usage) -> bool:
        """Whether a request would fit if no other call were in flight."""
        held = Held.of(need)
        return all(account._over(held, others=False) is None for account in self.chain())

    async def reserve(self, held: Held, request: Request) -> None:
        """Reserve what a try of a request may use at most, here and above.

        Waits while only what other calls have reserved stands in the way.

        Args:
            held: how much that is.
            request: what is asked; its time limit bounds the wait.

        Raises:
            SubLLMError: of kind `budget`, which names the budget and what raises it.
        """
        await self._ready()
        lacking = self._lacking(held, request)
        if lacking is not None:
            with anyio.move_on_after(request.timeout_s):
                while lacking is not None:
                    await lacking._until_settled()
                    lacking = self._lacking(held, request)
        if lacking is not None:
            raise _error(
                request,
                f"what calls in flight have reserved left no room within {request.timeout_s:g} s",
                "Lower concurrency or max_tokens, or raise the budget.",
            )
        for account in self.chain():
            account._held.add(held)

    def _lacking(self, held: Held, request: Request) -> Account | None:
        """The first account without room for now; raise where there will be none."""
        waiting = None
        for account in self.chain():
            if account._ended:
                raise account._closed(request)
            if (kind := account._over(held, others=False)) is not None:
                raise account._refusal(kind, held, request)
            if waiting is None and account._over(held, others=True) is not None:
                waiting = account
        return waiting

    def _over(self, need: Held, *, others: bool) -> str | None:
        """The kind of budget that a call would go over, with what others reserved or without."""
        if not self._kinds:
            return None
        budget, counts = self.budget, self._counts
        spent, held = counts._spent, counts._held
        for kind, most in self._limits:
            used = getattr(spent, kind) + getattr(need, kind)
            if used + (getattr(held, kind) if others else 0) > most:
                return kind
        if budget.usd is not None:
            if need.usd is None:
                return "usd"
            total = spent.usd + need.usd + ((held.usd or 0.0) if others else 0.0)
            if total > budget.usd + _ROUNDING:
                return "usd"
        if self._taking is not None:
            return "seconds" if self._taking.left <= 0 else None
        return "seconds" if self._until_deadline() <= 0 else None

    def _refusal(self, kind: str, need: Held, request: Request) -> SubLLMError:
        setting = self.raised_by.get(kind, f"the budget of {kind}")
        step = f"Raise {setting}, or {self.otherwise}."
        if kind == "usd" and need.usd is None:
            cause = (
                f"{self.name} has a budget of ${self.budget.usd:g} and the price of "
                f"{request.model or 'this model'} is unknown, so it cannot be kept"
            )
            step = (
                f"Bound calls or tokens instead of {setting}, or name a model with a known price."
            )
            return _error(request, cause, step)
        # Of the whole budget: what is kept of it is said beside it.
        most = getattr(self._counts.budget, kind)
        spent = getattr(self._counts._spent, kind)
        kept = getattr(self.kept, kind, None) or 0
        if kind == "usd":
            cause = (
                f"{self.name} has spent ${spent:.4f} of ${most:g} "
                f"and this call may cost ${need.usd:.4f}"
            )
        elif kind == "calls":
            cause = f"{self.name} has made {spent:,} of {most:,} sub-LLM calls"
        elif kind != "seconds":
            has = f"has used {spent:,} of {most:,}" if spent else f"may use {most:,}"
            may = getattr(need, kind)
            cause = f"{self.name} {has} {kind.replace('_', ' ')} and this call may use {may:,}"
        elif self.adds_up:
            cause = f"the sub-LLM calls of {self.name} have taken their {most:g} s"
        else:
            cause = f"the {most:g} s of {self.name} have passed"
        if kept:
            cause += f", and the last {_amount(kind, kept)} of it are kept to conclude"
        return _error(request, cause, step)

    def _closed(self, request: Request) -> SubLLMError:
        text = f"{self.name} was closed, and nothing is asked for it any more"
        return SubLLMError(text, kind="failed", model=request.model or "", calls=0)

    def cut_short(self, request: Request) -> SubLLMError:
        """The error for a call that an account ended: for want of seconds, or with itself."""
        for account in self.chain():
            if account._ended:
                return account._closed(request)
        timed = [account for account in self.chain() if account.budget.seconds is not None]
        first = min(
            timed,
            key=lambda account: (
                account._taking.left if account._taking else account._until_deadline()
            ),
        )
        return first._refusal("seconds", Held(), request)

    def release(self, held: Held) -> None:
        """Let others have what was reserved."""
        for account in self.chain():
            account._held.add(held, -1)
            if account._ended and account.on_spent is not None:
                account.on_spent(held.as_spent(-1))
            if account._settled is not None:
                account._settled.set()
                account._settled = None

    async def _until_settled(self) -> None:
        if self._settled is None:
            self._settled = asyncio.Event()
        await self._settled.wait()


def _amount(kind: str, number: float) -> str:
    return Budget.made({kind: number}).words[0]


def _error(request: Request, cause: str, step: str) -> SubLLMError:
    return SubLLMError(
        f"budget: {cause}. {step}", kind="budget", model=request.model or "", calls=0
    )
