"""How what is reserved for a request follows its tries, and becomes what it used."""

from __future__ import annotations

import time
from typing import Self

from ..store import Spending
from ._account import Account
from ._held import Held
from ._types import Request, Usage


class Hold:
    """What is reserved for one request, from its first try to its end; a `Meter`.

    Made by `open`.
    """

    def __init__(self, account: Account, held: Held, request: Request) -> None:
        self._account = account
        self._each = held
        self._reserved = True
        self._tries = 0
        self._open = False
        self._said = 0
        self._request = request
        self._began = time.monotonic()

    @classmethod
    async def open(cls, account: Account, request: Request, need: Usage) -> Self:
        """Reserve what a request may use at most; see `Account.reserve`.

        Args:
            account: which pays.
            request: what is asked.
            need: one call's tokens and dollars; `usd` is None for an unknown price.
        """
        held = Held.of(need)
        await account.reserve(held, request)
        return cls(account, held, request)

    @property
    def tries(self) -> int:
        """How often it was sent."""
        return self._tries

    async def begin(self) -> None:
        """Reserve for another try what was reserved for the first, and what was said since."""
        if not self._reserved:
            self._each = self._grown()
            await self._account.reserve(self._each, self._request)
            self._reserved = True
        self._tries += 1
        self._open = True

    def end(self, usage: Usage | None) -> None:
        """Settle a try; one that was given up counts as all that it may be charged for."""
        self._open = False
        usage = usage or self._most()
        self._said = usage.output_tokens
        self._settle(_spending(usage))

    def _most(self) -> Usage:
        each = self._each
        if not each.tokens:  # no budget asks for more than its being counted
            return Usage(calls=1, usd=None)
        return Usage(1, 0, each.input_tokens, each.output_tokens, each.usd)

    def _grown(self) -> Held:
        # An answer that did not fit its schema is part of the next prompt.
        each = self._each
        if not each.tokens:
            return Held(1, 0, 0, each.usd)
        usd = each.usd * (each.tokens + self._said) / each.tokens if each.usd else each.usd
        return Held(1, each.input_tokens + self._said, each.output_tokens, usd)

    def close(self, usage: Usage | None) -> None:
        """Settle what no try did, and release the rest.

        Args:
            usage: of the whole request; `None` if it was cancelled.
        """
        failed = usage.failed if usage is not None else int(self._tries > 0)
        if self._open:
            self.end(None)
        seconds = time.monotonic() - self._began
        if self._tries == 0 and usage is not None:
            self._settle(_spending(usage, seconds))
        else:
            self._settle(Spending(failed=failed, seconds=seconds))

    def _settle(self, spending: Spending) -> None:
        self._account.add(spending)
        if self._reserved:
            self._reserved = False
            self._account.release(self._each)


def _spending(usage: Usage, seconds: float = 0.0) -> Spending:
    """Return usage as it is kept: dollars as far as they are known, and the calls that are not."""
    return Spending(
        usage.calls,
        usage.failed,
        usage.cached,
        usage.input_tokens,
        usage.output_tokens,
        usage.usd or 0.0,
        usage.calls if usage.usd is None else 0,
        seconds,
    )
