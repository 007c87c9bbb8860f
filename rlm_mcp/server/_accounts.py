"""Who pays for the sub-LLM calls of each space, for as long as this server has it."""

from __future__ import annotations

import logging
from weakref import WeakKeyDictionary

import anyio

from ..lm import Account, Budget, Calls
from ..space import Space

_log = logging.getLogger(__name__)

END_SECONDS = 10.0
"""For calls that were cancelled to come to their end."""


class Accounts:
    """The accounts of the spaces of one server.

    Args:
        calls: open them.
        budget: of each space.
    """

    def __init__(self, calls: Calls, budget: Budget) -> None:
        self._calls = calls
        self._budget = budget
        # By the space as it was opened: another server may spend for it once this one closed it.
        self._accounts: WeakKeyDictionary[Space, Account] = WeakKeyDictionary()

    def of(self, space: Space) -> Account:
        """What pays for the sub-LLM calls of a space."""
        account = self._accounts.get(space)
        if account is None:
            account = self._accounts[space] = self._calls.open_account(space.handle, self._budget)
        return account

    async def end(self, space: Space) -> None:
        """Pay for nothing more, and write what was spent: another server may open the space next.

        Runs that work on its forks end with the next call that they make.
        """
        account = self.of(space)
        with anyio.move_on_after(END_SECONDS) as scope:
            await account.end()
        if scope.cancelled_caught:
            _log.warning("calls for space %s do not end", space.handle)
        await self._calls.settled()
