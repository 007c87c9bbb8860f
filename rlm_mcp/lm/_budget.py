"""What may be used, what was, and what is reserved for calls in flight.

Accounts stand in a chain (an execution's, its space's, and those of a tree of recursion), and a
call must fit into all of them. What it may use at most is reserved in each before it is sent; what
it did use is settled there after every try. All of this happens between two `await`s, so that
no number of concurrent callers gets past a budget.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field

import anyio

from rlm_mcp.errors import SubLLMError

from ..store import Spending
from ._types import Request, Usage

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that may be used; `None` is without a bound.

    Args:
        calls: that are sent, tries included.
        tokens: read and written.
        usd: US dollars.
        seconds: from the opening of the account on.
    """

    calls: int | None = None
    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None


@dataclass(slots=True)
class _Held:
    """What is reserved, or is to be."""

    calls: int = 0
    tokens: int = 0
    usd: float | None = 0.0

    def add(self, other: _Held, sign: int = 1) -> None:
        self.calls += sign * other.calls
        self.tokens += sign * other.tokens
        self.usd = (self.usd or 0.0) + sign * (other.usd or 0.0)


@dataclass(eq=False)
class Account:
    """What one owner may use and has used. For one event loop.

    Args:
        name: of the owner, for errors: `this execution`, `space main`.
        budget: what it may use.
        parent: whose budget holds as well.
        raised_by: for each kind of budget, what raises it: `{"calls": "RLM_MCP_MAX_CALLS"}`.
        load: reads what was spent before, at the first use.
        on_spent: is told what is spent, as it is.
    """

    name: str
    budget: Budget = Budget()
    parent: Account | None = None
    raised_by: Mapping[str, str] = field(default_factory=dict)
    load: Callable[[], Awaitable[Spending]] | None = None
    on_spent: Callable[[Spending], None] | None = None

    def __post_init__(self) -> None:
        self._spent = Spending()
        self._held = _Held()
        self._began = time.monotonic()
        self._settled = anyio.Event()
        self._loading: anyio.Event | None = None

    def chain(self) -> Iterator[Account]:
        """This account and those above it."""
        account: Account | None = self
        while account is not None:
            yield account
            account = account.parent

    async def spent(self) -> Spending:
        """What was used so far."""
        await self._ready()
        return self._spent

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
        self._add(Spending(cached=1))

    def _add(self, spending: Spending) -> None:
        # Only after `_ready`: what was added before it would be loaded again, and count twice.
        for account in self.chain():
            account._spent += spending
            if account.on_spent is not None:
                account.on_spent(spending)

    def seconds_left(self) -> float:
        """Until the first budget of time in the chain has passed."""
        now = time.monotonic()
        return min(
            (
                account._began + account.budget.seconds - now
                for account in self.chain()
                if account.budget.seconds is not None
            ),
            default=math.inf,
        )

    def bounds(self, kind: str) -> bool:
        """Whether any account of the chain has a budget of a kind."""
        return any(getattr(account.budget, kind) is not None for account in self.chain())

    def left(self) -> Budget:
        """What is left of the budgets, the smallest of the chain for each kind."""
        left: dict[str, float | None] = {}
        for kind in ("calls", "tokens", "usd"):
            rests = [
                limit - getattr(account._spent, kind)
                for account in self.chain()
                if (limit := getattr(account.budget, kind)) is not None
            ]
            left[kind] = max(min(rests), 0) if rests else None
        seconds = self.seconds_left()
        return Budget(
            calls=None if left["calls"] is None else int(left["calls"]),
            tokens=None if left["tokens"] is None else int(left["tokens"]),
            usd=left["usd"],
            seconds=None if seconds == math.inf else max(seconds, 0.0),
        )

    async def hold(self, request: Request, need: Usage) -> Hold:
        """Reserve what a request may use at most.

        Waits while only what other calls have reserved stands in the way.

        Args:
            request: what is asked; its time limit bounds the wait.
            need: one call's tokens and dollars; `usd` is None for an unknown price.

        Raises:
            SubLLMError: of kind `budget`, which names the budget and what raises it.
        """
        await self._ready()
        held = _Held(1, need.input_tokens + need.output_tokens, need.usd)
        await self._reserve(held, request)
        return Hold(self, held, request)

    def fits(self, need: Usage) -> bool:
        """Whether a request would fit if no other call were in flight."""
        held = _Held(1, need.input_tokens + need.output_tokens, need.usd)
        return all(account._over(held, _Held()) is None for account in self.chain())

    async def _reserve(self, held: _Held, request: Request) -> None:
        lacking = self._lacking(held, request)
        if lacking is not None:
            with anyio.move_on_after(request.timeout_s):
                while lacking is not None:
                    await lacking._settled.wait()
                    lacking = self._lacking(held, request)
        if lacking is not None:
            raise _error(
                request,
                f"what calls in flight have reserved left no room within {request.timeout_s:g} s",
                "Lower concurrency or max_tokens, or raise the budget.",
            )
        for account in self.chain():
            account._held.add(held)

    def _lacking(self, held: _Held, request: Request) -> Account | None:
        """The first account without room for now; raise where there will be none."""
        waiting = None
        for account in self.chain():
            if (kind := account._over(held, _Held())) is not None:
                raise account._refusal(kind, held, request)
            if waiting is None and account._over(held, account._held) is not None:
                waiting = account
        return waiting

    def _over(self, need: _Held, others: _Held) -> str | None:
        budget, spent = self.budget, self._spent
        if budget.seconds is not None and time.monotonic() >= self._began + budget.seconds:
            return "seconds"
        if budget.calls is not None and spent.calls + others.calls + need.calls > budget.calls:
            return "calls"
        if budget.tokens is not None and spent.tokens + others.tokens + need.tokens > budget.tokens:
            return "tokens"
        if budget.usd is not None:
            if need.usd is None:
                return "usd"
            total = spent.usd + (others.usd or 0.0) + need.usd
            if total > budget.usd + _ROUNDING:
                return "usd"
        return None

    def _refusal(self, kind: str, need: _Held, request: Request) -> SubLLMError:
        setting = self.raised_by.get(kind, f"the budget of {kind}")
        step = f"Raise {setting}, or do without more calls."
        spent, budget = self._spent, self.budget
        if kind == "usd" and need.usd is None:
            cause = (
                f"{self.name} has a budget of ${budget.usd:g} and the price of "
                f"{request.model or 'this model'} is unknown, so it cannot be kept"
            )
            step = (
                f"Bound calls or tokens instead of {setting}, or name a model with a known price."
            )
        elif kind == "usd":
            cause = (
                f"{self.name} has spent ${spent.usd:.4f} of ${budget.usd:g} "
                f"and this call may cost ${need.usd:.4f}"
            )
        elif kind == "tokens":
            cause = (
                f"{self.name} has used {spent.tokens:,} of {budget.tokens:,} tokens "
                f"and this call may use {need.tokens:,}"
            )
        elif kind == "calls":
            cause = f"{self.name} has made {spent.calls:,} of {budget.calls:,} sub-LLM calls"
        else:
            cause = f"the {budget.seconds:g} s of {self.name} have passed"
        return _error(request, cause, step)

    def out_of_time(self, request: Request) -> SubLLMError:
        """The error for a call that a budget of seconds ended."""
        for account in self.chain():
            if account._over(_Held(), _Held()) == "seconds":
                return account._refusal("seconds", _Held(), request)
        return self._refusal("seconds", _Held(), request)

    def _release(self, held: _Held) -> None:
        for account in self.chain():
            account._held.add(held, -1)
            event, account._settled = account._settled, anyio.Event()
            event.set()


class Hold:
    """What is reserved for one request, from its first try to its end; a `Meter`."""

    def __init__(self, account: Account, held: _Held, request: Request) -> None:
        self._account = account
        self._each = held
        self._reserved = True
        self._tries = 0
        self._open = False
        self._said = 0
        self._request = request

    async def begin(self) -> None:
        """Reserve for another try what was reserved for the first, and what was said since."""
        if not self._reserved:
            self._each = self._grown()
            await self._account._reserve(self._each, self._request)
            self._reserved = True
        self._tries += 1
        self._open = True

    def end(self, usage: Usage) -> None:
        """Settle a try."""
        self._open = False
        self._said = usage.output_tokens
        self._settle(spending_of(usage))

    def _grown(self) -> _Held:
        # An answer that did not fit its schema is part of the next prompt.
        tokens = self._each.tokens + self._said
        if not self._each.tokens or not self._each.usd:
            return _Held(1, tokens if self._each.tokens else 0, self._each.usd)
        return _Held(1, tokens, self._each.usd * tokens / self._each.tokens)

    def close(self, usage: Usage | None) -> None:
        """Settle what no try did, and release the rest.

        Args:
            usage: of the whole request; `None` if it was cancelled.
        """
        failed = usage.failed if usage is not None else int(self._tries > 0)
        if self._open:
            self.end(Usage(calls=1, usd=None))
        if self._tries == 0 and usage is not None:
            self._settle(spending_of(usage))
        else:
            self._settle(Spending(failed=failed))

    def _settle(self, spending: Spending) -> None:
        if spending != Spending():
            self._account._add(spending)
        if self._reserved:
            self._reserved = False
            self._account._release(self._each)


def spending_of(usage: Usage) -> Spending:
    """Return usage as it is kept: dollars as far as they are known, and the calls that are not."""
    return Spending(
        usage.calls,
        usage.failed,
        usage.cached,
        usage.input_tokens,
        usage.output_tokens,
        usage.usd or 0.0,
        usage.calls if usage.usd is None else 0,
    )


def _error(request: Request, cause: str, step: str) -> SubLLMError:
    return SubLLMError(
        f"budget: {cause}. {step}", kind="budget", model=request.model or "", calls=0
    )
