"""When a provider says that it is asked too often, all calls to it wait, and not only one."""

from __future__ import annotations

import asyncio
import random
import time

from ._trouble import Trouble

MAX_PAUSE_S = 60.0
"""A guess. A longer wait is for one account or one model, and a reason for its calls to fail."""
_SPREAD = 0.1
"""Part of a pause by which those that waited set off at different moments."""


class Pauses:
    """Until when each provider is to be left alone. For one event loop."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def hold(self, provider: str, seconds: float) -> None:
        """Let all calls to a provider wait."""
        if 0 < seconds <= MAX_PAUSE_S:
            until = time.monotonic() + seconds
            self._until[provider] = max(until, self._until.get(provider, 0.0))

    async def wait(self, provider: str, deadline: float) -> None:
        """Wait while a provider is to be left alone; raise `Trouble` if that is too long."""
        waited = False
        while (left := self._until.get(provider, 0.0) - time.monotonic()) > 0:
            if time.monotonic() + left >= deadline:
                cause = f"{provider} said to wait (to be tried again in {left:.0f} s)"
                raise Trouble("rate_limit", cause)
            await asyncio.sleep(left)
            waited = True
        if waited:
            await asyncio.sleep(random.uniform(0, _SPREAD))
